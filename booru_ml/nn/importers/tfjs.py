"""Weights and layers of the TensorFlow.js bundles in the npm package nsfwjs, by the standard library and numpy."""

from __future__ import annotations

import base64
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from booru_ml.errors import CheckpointError
from booru_ml.types import FloatArray

MODEL = "package/dist/models/mobilenet_v2/model.min.js"
SHARD = "package/dist/models/mobilenet_v2/group1-shard1of1.min.js"
LARGEST = 64 * 2**20

_EXPORT = re.compile(r"\.exports=(\{.*\})\},\{\}\]\},\{\},\[\d+\]\)", re.DOTALL)
_STRING = re.compile(r'"([A-Za-z0-9+/=]{1000,})"')


@dataclass(frozen=True)
class KerasModel:
    """``layers``: Keras' own descriptions in order; ``weights``: float32 arrays by ``layer/tensor``."""

    layers: tuple[dict[str, Any], ...]
    weights: dict[str, FloatArray]


def read(package: Path) -> KerasModel:
    """The MobileNetV2 in ``nsfwjs-*.tgz`` (from ``npm pack``). Raises ``CheckpointError``."""
    try:
        with tarfile.open(package) as archive:
            description, data = (_member(archive, name) for name in (MODEL, SHARD))
        model = json.loads(_as_json(_search(_EXPORT, description)))
        raw = base64.b64decode(_search(_STRING, data), validate=True)
        group = model["weightsManifest"][0]["weights"]
        layers = tuple(model["modelTopology"]["model_config"]["config"]["layers"])
        return KerasModel(layers, _weights(group, raw))
    except (OSError, tarfile.TarError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CheckpointError(f"{package} is not the nsfwjs package that this import knows (4.4.0): {error}") from error


def _member(archive: tarfile.TarFile, name: str) -> str:
    member = archive.getmember(name)
    file = archive.extractfile(member)
    if file is None or member.size > LARGEST:
        raise ValueError(f"{name} is no file of a sensible size")
    return file.read().decode("utf-8")


def _search(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    if match is None:
        raise ValueError("the bundle has another shape")
    return match[1]


def _as_json(script: str) -> str:
    """A minified object literal as JSON: quoted keys, true and false spelt out, numbers with their leading zero."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', script)
    for index in range(0, len(parts), 2):
        part = parts[index].replace("!0", "true").replace("!1", "false")
        part = re.sub(r"([{,])([A-Za-z_]\w*):", r'\1"\2":', part)
        parts[index] = re.sub(r"(?<![\d])\.(\d)", r"0.\1", part)
    return "".join(parts)


def _weights(group: list[dict[str, Any]], raw: bytes) -> dict[str, FloatArray]:
    """value = byte · scale + min, for each tensor in the order of the manifest."""
    found: dict[str, FloatArray] = {}
    at = 0
    for entry in group:
        quantised = entry["quantization"]
        if quantised["dtype"] != "uint8" or entry["dtype"] != "float32":
            raise ValueError(f"{entry['name']} is not float32 in uint8")
        count = int(np.prod(entry["shape"]))
        steps = np.frombuffer(raw, np.uint8, count, at).astype(np.float32)
        found[entry["name"]] = (steps * np.float32(quantised["scale"]) + np.float32(quantised["min"])).reshape(
            entry["shape"]
        )
        at += count
    if at != len(raw):
        raise ValueError(f"{len(raw) - at} bytes of weights are left over")
    return found


def forward(model: KerasModel, batch: FloatArray) -> FloatArray:
    """The Keras graph run in numpy, layer by layer (N×H×W×3 in 0–1 → N×5): the yardstick of the import. Slow."""
    outputs: dict[str, FloatArray] = {}
    for layer in model.layers:
        config, name = layer["config"], layer["config"]["name"]
        inputs = [outputs[node[0]] for node in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else [batch]
        own = {key.split("/")[1]: value for key, value in model.weights.items() if key.split("/")[0] == name}
        outputs[name] = _layer(layer["class_name"], config, inputs, own)
    return outputs[model.layers[-1]["config"]["name"]]


def _layer(kind: str, config: dict[str, Any], inputs: list[FloatArray], own: dict[str, FloatArray]) -> Any:
    x = inputs[0]
    match kind:
        case "InputLayer" | "Dropout":
            return x
        case "ZeroPadding2D":
            return np.pad(x, ((0, 0), *config["padding"], (0, 0)))
        case "Conv2D":
            return _activate(np.einsum("nhwckl,klco->nhwo", _windows(x, config), own["kernel"], optimize=True), config)
        case "DepthwiseConv2D":
            kernel = own["depthwise_kernel"][..., 0]
            return _activate(np.einsum("nhwckl,klc->nhwc", _windows(x, config), kernel, optimize=True), config)
        case "BatchNormalization":
            scale = own["gamma"] / np.sqrt(own["moving_variance"] + np.float32(config["epsilon"]))
            return (x - own["moving_mean"]) * scale + own["beta"]
        case "ReLU":
            return np.clip(x, 0, config["max_value"])
        case "Add":
            return inputs[0] + inputs[1]
        case "AveragePooling2D":
            return _windows(x, config | {"kernel_size": config["pool_size"]}).mean(axis=(4, 5))
        case "Flatten":
            return x.reshape(len(x), -1)
        case "Dense":
            return _activate(x @ own["kernel"] + own["bias"], config)
    raise CheckpointError(f"the import knows no Keras layer {kind}")


def _windows(x: FloatArray, config: dict[str, Any]) -> Any:
    """Sliding windows (N, H', W', C, k, k) under Keras' padding and strides; ``same`` pads more at the end."""
    size, stride = config["kernel_size"], config["strides"]
    if config["padding"] == "same":
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[1:3], size, stride, strict=True)]
        x = np.pad(x, ((0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return view[:, :: stride[0], :: stride[1]]


def _activate(x: FloatArray, config: dict[str, Any]) -> Any:
    match config.get("activation", "linear"):
        case "linear":
            return x
        case "relu":
            return np.maximum(x, 0)
        case "softmax":
            powers = np.exp(x - x.max(axis=-1, keepdims=True))
            return powers / powers.sum(axis=-1, keepdims=True)
    raise CheckpointError(f"the import knows no activation {config['activation']!r}")
