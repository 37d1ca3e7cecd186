"""One ONNX graph of backbone and heads whose weights stay in the folder's safetensors files.

The graph names the tensors by file, offset and length (ONNX external data), so a folder carries its weights once and
both runtimes read the same bytes.
"""

from __future__ import annotations

import json
import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch
from onnx import TensorProto, numpy_helper
from onnxscript.optimizer import fold_constants, remove_unused_nodes

from booru_ml.checkpoint import files
from booru_ml.errors import CheckpointError
from booru_ml.nn import network
from booru_ml.nn.routes.session import WEIGHTS_ID

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint

OPSET = 18
INPUT = "pixels"
# Smaller constants stay in the graph: a reference would take as much room.
SMALLEST_REFERENCE = 64


def export(checkpoint: Checkpoint) -> Path:
    """Writes ``model.onnx`` into the checkpoint's folder. The folder must be pinned again afterwards."""
    model = _graph(checkpoint)
    _strip(model)
    left = _refer(model, checkpoint.path)
    model.metadata_props.add(key=WEIGHTS_ID, value=checkpoint.weights_id)
    if left > 2**30:
        raise CheckpointError(f"{left:,} bytes of constants are in no weights file; the graph would be too large.")
    target = checkpoint.path / files.ONNX
    partial = target.with_suffix(".partial")
    partial.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(partial))
    partial.replace(target)
    return target


def _graph(checkpoint: Checkpoint) -> onnx.ModelProto:
    net = network.load(checkpoint)
    shape = (3, checkpoint.preprocess.height, checkpoint.preprocess.width)

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(self.net(pixels).values())

    with _quiet():
        program = torch.onnx.export(
            Flat().eval(),
            (torch.zeros(2, *shape),),
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(net.names),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
            verbose=False,
        )
        if program is None:
            raise CheckpointError("torch gave no ONNX program")
        # Constants only: the exporter's full optimisation would melt batch norms into copies of the weights, and the
        # runtime does the same fusion by itself when it loads the graph.
        fold_constants(program.model, onnx_shape_inference=True)
        remove_unused_nodes(program.model)
        return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters tell every step to whoever listens; only what goes wrong is news here."""
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "onnxscript", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _strip(model: onnx.ModelProto) -> None:
    """Drops what tells only how the graph came to be (source lines, traces): half of a small file."""
    del model.metadata_props[:]
    model.doc_string = ""
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
    for item in [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]:
        item.doc_string = ""
        del item.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    del model.graph.value_info[:]


def _refer(model: onnx.ModelProto, folder: Path) -> int:
    """Turns every constant whose bytes are a tensor of a weights file into a reference; gives back the bytes left."""
    known: dict[tuple[int, bytes], tuple[str, int, int]] = {}
    for name in (files.WEIGHTS, files.HEADS):
        if (folder / name).exists():
            known |= _tensors(folder / name)
    left = 0
    for tensor in model.graph.initializer:
        data = numpy_helper.to_array(tensor).tobytes()
        place = known.get((tensor.data_type, data)) if len(data) >= SMALLEST_REFERENCE else None
        if place is None:
            left += len(data)
            continue
        tensor.ClearField("raw_data")
        for values in ("float_data", "int32_data", "int64_data", "double_data"):
            tensor.ClearField(values)
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in zip(("location", "offset", "length"), place, strict=True):
            tensor.external_data.add(key=key, value=str(value))
    return left


def _tensors(path: Path) -> dict[tuple[int, bytes], tuple[str, int, int]]:
    """(ONNX type, bytes) → (file, offset, length) of each float32 tensor of a safetensors file."""
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (start + offset for offset in entry["data_offsets"])
            found[int(TensorProto.FLOAT), data[begin:end]] = (path.name, begin, end - begin)
    return found
