"""Checkpoints become networks: every head, any timm architecture, and nothing that does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint, pin
from booru_ml.errors import CheckpointError
from booru_ml.nn.engine import Engine
from booru_ml.nn.routes import open_session
from booru_ml.nn.transforms import fit, normalise
from booru_ml.nn.verification import patterns, verify
from tests.contracts import frames

pytestmark = pytest.mark.torch

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    from tests.booru_ml.nn import builders

    return builders.every_head(tmp_path_factory.mktemp("checkpoints") / "every-head")


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A copy to harm."""
    import shutil

    return Path(shutil.copytree(checkpoint.path, tmp_path / "every-head"))


def batch_for(checkpoint: Checkpoint) -> np.ndarray:
    return normalise([fit(frame, checkpoint.preprocess) for frame in patterns()], checkpoint.preprocess)


def test_both_runtimes_agree_on_every_kind_of_head(checkpoint: Checkpoint) -> None:
    verdict = verify(checkpoint)
    assert {"onnx", "torch"} <= set(verdict.runtimes)
    assert set(verdict.differences) == set(checkpoint.heads)
    assert max(verdict.differences.values()) <= TOLERANCE


def test_outputs_have_their_shapes_and_ranges(checkpoint: Checkpoint) -> None:
    outputs = open_session(checkpoint, runtime="torch", device="cpu").run(batch_for(checkpoint))
    assert outputs["embedding"].shape == (4, 16)
    assert outputs["faces"].shape[:2] == (4, 3)
    np.testing.assert_allclose(np.linalg.norm(outputs["style"], axis=1), 1, atol=1e-5)
    for name in ("quality", "kind", "coarse"):
        np.testing.assert_allclose(outputs[name].sum(axis=1), 1, atol=1e-5)
        assert (outputs[name] >= 0).all()
    np.testing.assert_allclose(outputs["coarse"][:, 0], outputs["kind"] @ [1, 0.5, 0], atol=1e-6)


def test_only_the_wanted_heads_come_back(checkpoint: Checkpoint) -> None:
    for session in (open_session(checkpoint, runtime="onnx"), open_session(checkpoint, runtime="torch", device="cpu")):
        assert set(session.run(batch_for(checkpoint), only=("embedding",))) == {"embedding"}


def test_faces_come_from_the_heat_map_where_the_checkpoint_says_so(checkpoint: Checkpoint) -> None:
    findings = {
        runtime: Engine([checkpoint], runtime=runtime, device="cpu").infer([frames.picture(frames.with_face())])[0]
        for runtime in ("onnx", "torch")
    }
    assert 1 <= len(findings["onnx"].faces) <= 16
    for one, other in zip(findings["onnx"].faces, findings["torch"].faces, strict=True):
        assert one.score == pytest.approx(other.score, abs=TOLERANCE)
        np.testing.assert_allclose(one.embedding, other.embedding, atol=TOLERANCE)


def test_the_graph_carries_no_second_copy_of_the_weights(checkpoint: Checkpoint) -> None:
    graph = (checkpoint.path / "model.onnx").stat().st_size
    weights = (checkpoint.path / "model.safetensors").stat().st_size
    assert graph < weights / 2


def test_a_graph_of_other_weights_is_not_used(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "heads.safetensors")
    state["kind.layers.0.weight"] *= -3
    save_file(state, folder / "heads.safetensors", metadata={"format": "pt"})
    pin(folder)
    from booru_ml.nn.writing import renew_graph

    checkpoint = Checkpoint.load(folder)
    with pytest.raises(CheckpointError, match="not made from these weights"):
        open_session(checkpoint, runtime="onnx")
    assert open_session(checkpoint, device="cpu").route == "torch"
    assert open_session(renew_graph(checkpoint), device="cpu").route == "onnx"


def test_a_graph_cannot_read_files_outside_its_folder(folder: Path, tmp_path: Path) -> None:
    import onnx

    (tmp_path / "secret").write_bytes((folder / "model.safetensors").read_bytes())
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    pin(folder)
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        open_session(Checkpoint.load(folder), runtime="onnx")


def test_a_graph_that_lacks_a_head_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["booru"]["heads"]["more"] = {"kind": "softmax", "source": "kind", "matrix": [[1, 1, 0], [0, 0, 1]]}
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "labels.csv").open("a") as file:
        file.write("more,x,meta\nmore,y,meta\n")
    pin(folder)
    with pytest.raises(CheckpointError, match="these weights and heads"):
        open_session(Checkpoint.load(folder), runtime="onnx")


def test_thresholds_that_fall_are_refused(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "heads.safetensors")
    state["quality.thresholds"] = torch.tensor([0.5, -0.4])
    save_file(state, folder / "heads.safetensors")
    pin(folder)
    with pytest.raises(CheckpointError, match="must rise"):
        open_session(Checkpoint.load(folder), runtime="torch", device="cpu")


def test_heads_that_do_not_fit_are_named(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "heads.safetensors")
    del state["kind.layers.0.bias"]
    save_file(state, folder / "heads.safetensors")
    pin(folder)
    with pytest.raises(CheckpointError, match=r"kind\.layers\.0\.bias"):
        open_session(Checkpoint.load(folder), runtime="torch", device="cpu")


@pytest.mark.parametrize(
    ("name", "key"), [("model.safetensors", "conv_stem.weight"), ("heads.safetensors", "embedding.projection")]
)
def test_weights_that_are_no_floating_point_numbers_are_refused(folder: Path, name: str, key: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    (folder / "model.onnx").unlink()
    sound = load_file(folder / name)
    endless = sound[key].clone()
    endless.view(-1)[-1] = torch.inf
    too_large = sound[key].double()
    too_large.view(-1)[0] = 1e300
    for harmed, says in (
        ((sound[key] * 100).to(torch.int8), "as int8; the network needs float32"),
        (sound[key] > 0, "as bool; the network needs float32"),
        (sound[key] * 1j, "as complex64; the network needs float32"),
        (endless, "not finite"),
        (too_large, "not finite"),
        (torch.full_like(sound[key], torch.nan), "not finite"),
    ):
        save_file({**sound, key: harmed}, folder / name)
        pin(folder)
        with pytest.raises(
            CheckpointError, match=f"{name} holds .*{key} .*{says}|{name} holds numbers in {key} .*{says}"
        ):
            verify(Checkpoint.load(folder))
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        save_file({key: x.to(kind) if x.is_floating_point() else x for key, x in sound.items()}, folder / name)
        pin(folder)
        assert verify(Checkpoint.load(folder)).runtimes == ("torch",)


def test_a_counter_of_batches_is_a_whole_number(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    counter = next(key for key in state if key.endswith("num_batches_tracked"))
    save_file({**state, counter: state[counter].float()}, folder / "model.safetensors")
    pin(folder)
    with pytest.raises(CheckpointError, match=f"{counter} as float32; the network needs int64"):
        open_session(Checkpoint.load(folder), runtime="torch", device="cpu")


def test_an_architecture_larger_than_its_weights_costs_nothing(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"architecture": "vit_giant_patch14_224", "model_args": {"embed_dim": 65536, "depth": 100}}
    (folder / "config.json").write_text(json.dumps(config))
    pin(folder)
    with pytest.raises(CheckpointError, match=r"do not fit|cannot build"):
        open_session(Checkpoint.load(folder), runtime="torch", device="cpu")


def test_a_network_without_end_is_given_up(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"architecture": "test_vit", "model_args": {"depth": 100_000}}
    (folder / "config.json").write_text(json.dumps(config))
    pin(folder)
    with pytest.raises(CheckpointError, match="far more tensors than the"):
        verify(Checkpoint.load(folder))


def test_what_a_network_works_out_by_itself_may_stand_in_the_file() -> None:
    """timm before 1.0 wrote Swin's masks and tables into the file, too."""
    import torch

    from booru_ml.nn import backbones

    args = {"img_size": 32, "embed_dim": 16, "depths": [2, 1], "num_heads": [1, 1], "window_size": 4}
    model = backbones.create("swinv2_tiny_window8_256", args, 0)
    state = model.state_dict()
    derived = {key: tensor for key, tensor in model.named_buffers() if key not in state}
    assert any(key.endswith("attn_mask") for key in derived)
    again = backbones.load("swinv2_tiny_window8_256", args, 0, {**state, **derived})
    picture = torch.rand(1, 3, 32, 32)
    assert torch.equal(again(picture), model(picture))


def test_an_unknown_architecture_is_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architecture": "resnet_of_tomorrow"}))
    pin(folder)
    with pytest.raises(CheckpointError, match="knows no architecture"):
        open_session(Checkpoint.load(folder), runtime="torch", device="cpu")


@pytest.mark.parametrize("architecture", ["resnet18", "test_vit", "mobilenetv3_small_050"])
def test_any_timm_folder_runs_on_torch(tmp_path: Path, architecture: str) -> None:
    import timm
    import torch

    from tests.booru_ml.nn import builders

    checkpoint = builders.plain_timm(tmp_path / "plain", architecture)
    (finding,) = Engine([checkpoint], device="cpu").infer([frames.picture(frames.ramp(80, 120))])
    model = timm.create_model(f"local-dir:{checkpoint.path}", pretrained=True).eval()
    pixels = normalise([fit(frames.ramp(80, 120), checkpoint.preprocess)], checkpoint.preprocess)
    with torch.inference_mode():
        pooled = model.forward_head(model.forward_features(torch.from_numpy(pixels)), pre_logits=True)[0].numpy()
    np.testing.assert_allclose(finding.embedding, pooled / np.linalg.norm(pooled), atol=TOLERANCE)
    assert finding.embedding.shape == (checkpoint.embedding_dim,)
    assert finding.style.shape == (0,)
    assert not finding.scores


def test_a_folder_without_a_graph_says_how_to_get_one(tmp_path: Path) -> None:
    from tests.booru_ml.nn import builders

    checkpoint = builders.plain_timm(tmp_path / "plain", "test_vit")
    with pytest.raises(CheckpointError, match="booru_model export"):
        open_session(checkpoint, runtime="onnx")


TAGS = [("general", 9), ("sensitive", 9), ("questionable", 9), ("explicit", 9), ("1girl", 0), ("sky", 0), ("miku", 4)]


def test_a_published_tagger_answers_as_timm_does(tmp_path: Path) -> None:
    """The documented recipe: white square, bicubic, BGR, a sigmoid for each tag; the embedding from the same pass."""
    import timm
    import torch
    from PIL import Image

    from tests.booru_ml.nn import builders

    checkpoint = builders.tagger(tmp_path / "wd-small", "test_vit", TAGS)
    frame = frames.blocks(90, 150, 4)
    (finding,) = Engine([checkpoint], device="cpu").infer([frames.picture(frame)])

    square = Image.new("RGB", (150, 150), "white")
    square.paste(Image.fromarray(frame), (0, 30))
    side = checkpoint.preprocess.width
    pixels = np.asarray(square.resize((side, side), Image.Resampling.BICUBIC), np.float32)[..., ::-1] / 255
    tensor = torch.from_numpy(((pixels - 0.5) / 0.5).transpose(2, 0, 1).copy())[None]
    model = timm.create_model(f"local-dir:{checkpoint.path}", pretrained=True).eval()
    with torch.inference_mode():
        expected = model(tensor).sigmoid()[0].numpy()
    np.testing.assert_allclose(finding.scores["rating"].values, expected[:4], atol=TOLERANCE)
    np.testing.assert_allclose(finding.scores["tags"].values, expected[4:], atol=TOLERANCE)
    assert finding.scores["rating"].labels == ("g", "s", "q", "e")
    assert finding.scores["tags"].as_dict().keys() == {"1girl", "sky", "miku"}
    assert np.linalg.norm(finding.embedding) == pytest.approx(1, abs=1e-5)


def test_the_first_checkpoint_that_has_a_head_speaks(tmp_path: Path, checkpoint: Checkpoint) -> None:
    from tests.booru_ml.nn import builders

    other = builders.tagger(tmp_path / "wd-small", "test_vit", TAGS)
    finding = Engine([checkpoint, other], device="cpu").infer([frames.picture(frames.ramp(50, 50))])[0]
    assert finding.scores["tags"].model == checkpoint.version
    assert finding.scores["rating"].model == other.version
    assert finding.embedding.shape == (16,)
