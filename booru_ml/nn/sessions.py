"""The two runtimes behind one call: a normalised batch in, every head's output by name out."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from booru_ml.checkpoint import files
from booru_ml.errors import CheckpointError, InvalidInput

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.types import FloatArray

Outputs = dict[str, "FloatArray"]

# Where a graph of ours says which weights it refers to.
WEIGHTS_ID = "booru_ml.weights"


class ForeignGraph(CheckpointError):
    """``model.onnx`` is no graph of ours, or one of other weights: it may be sound, but not for this engine."""


class Session(Protocol):
    """One checkpoint, loaded. Not for use by several threads at once."""

    runtime: str

    def run(self, batch: FloatArray, *, only: Collection[str] = ()) -> Outputs:
        """Outputs by head for N×3×H×W float32; ``only`` names the heads that are wanted (empty: all)."""
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...


class OnnxSession:
    """ONNX Runtime on the CPU."""

    runtime = "onnx"

    def __init__(self, checkpoint: Checkpoint, *, threads: int = 1) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads must sleep: decoding shares these cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._run_options = ort.RunOptions()
        self._run_options.only_execute_path_to_fetches = True
        try:
            self._session: Any = ort.InferenceSession(
                str(checkpoint.path / files.ONNX), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own classes share no base but this
            raise CheckpointError(
                f"Checkpoint {checkpoint.path}: {files.ONNX} cannot be loaded ({error}). "
                f"Write it anew: manage.py booru_model export {checkpoint.path}"
            ) from error
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        made_for = self._session.get_modelmeta().custom_metadata_map.get(WEIGHTS_ID)
        if made_for != checkpoint.weights_id or not set(checkpoint.heads) <= set(self._outputs):
            raise ForeignGraph(
                f"Checkpoint {checkpoint.path}: {files.ONNX} was not made from these weights and heads. "
                f"Write it anew: manage.py booru_model export {checkpoint.path}"
            )

    def run(self, batch: FloatArray, *, only: Collection[str] = ()) -> Outputs:
        wanted = [name for name in self._outputs if not only or name in only]
        values = self._session.run(wanted, {self._input: batch}, self._run_options)
        return dict(zip(wanted, values, strict=True))

    def close(self) -> None:
        self._session = None


class TorchSession:
    """torch on a GPU or the CPU; on a GPU in bfloat16 where ``half`` is on, halving a batch that does not fit."""

    runtime = "torch"

    def __init__(self, checkpoint: Checkpoint, *, device: str = "auto", threads: int = 1, half: bool = False) -> None:
        import torch

        from booru_ml.nn import network

        self._torch = torch
        torch.set_num_threads(threads)
        self.device = torch.device(_device(torch, device))
        self._half = half and self.device.type == "cuda"
        # ``Any``: torch's own stubs do not know a module's memory format.
        net: Any = network.load(checkpoint)
        self._network = net.to(self.device)
        if self.device.type == "cuda":
            self._network = net.to(memory_format=torch.channels_last)

    def run(self, batch: FloatArray, *, only: Collection[str] = ()) -> Outputs:
        try:
            return self._run(batch, only)
        except self._torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            self._torch.cuda.empty_cache()
            middle = len(batch) // 2
            first, second = self.run(batch[:middle], only=only), self.run(batch[middle:], only=only)
            return {name: np.concatenate([first[name], second[name]]) for name in first}

    def _run(self, batch: FloatArray, only: Collection[str]) -> Outputs:
        torch = self._torch
        pixels = torch.from_numpy(np.ascontiguousarray(batch))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True, memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            found = self._network(pixels)
        return {name: value.float().cpu().numpy() for name, value in found.items() if not only or name in only}

    def close(self) -> None:
        self._network = None
        if self.device.type == "cuda":
            self._torch.cuda.empty_cache()


def _device(torch: Any, wanted: str) -> str:
    """``auto`` takes the GPU where there is one."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda" if there else "cpu"
    if wanted.startswith("cuda") and (torch.device(wanted).index or 0) >= there:
        raise InvalidInput(
            f"BOORU_ML['DEVICE'] is {wanted!r}, but torch sees {there or 'no'} CUDA device(s) here. "
            "Say 'auto' or 'cpu', or install torch with CUDA and a driver for it.",
            code="device",
        )
    return wanted


def open_session(checkpoint: Checkpoint, *, runtime: str = "auto", device: str = "auto", threads: int = 1) -> Session:
    """The session for one checkpoint. ``auto``: torch where it is installed and sees a GPU, else the folder's graph,
    else torch on the CPU. Raises ``CheckpointError`` or ``InvalidInput`` with the way out."""
    if runtime not in ("auto", "onnx", "torch"):
        raise InvalidInput(f"BOORU_ML['RUNTIME'] must be auto, onnx or torch, not {runtime!r}.")
    if runtime == "onnx" and not checkpoint.has_onnx:
        raise CheckpointError(
            f"Checkpoint {checkpoint.path} has no {files.ONNX}. Write it where torch is installed: "
            f"manage.py booru_model export {checkpoint.path}, or set BOORU_ML['RUNTIME'] to 'auto'."
        )
    if runtime == "onnx" or (runtime == "auto" and checkpoint.has_onnx and not _gpu_wanted(device)):
        try:
            return OnnxSession(checkpoint, threads=threads)
        except ForeignGraph:
            if runtime == "onnx" or not torch_installed():
                raise
    if not torch_installed():
        raise CheckpointError(
            f"Checkpoint {checkpoint.path} needs torch and timm here, which are not installed. "
            "Install booru-ml[gpu], or add a model.onnx to the folder."
        )
    return TorchSession(checkpoint, device=device, threads=threads, half=True)


def torch_installed() -> bool:
    """Whether torch and timm could be imported; imports neither."""
    from importlib.util import find_spec

    return find_spec("torch") is not None and find_spec("timm") is not None


def _gpu_wanted(device: str) -> bool:
    if device.startswith("cuda"):
        return True
    if device != "auto" or not torch_installed():
        return False
    import torch

    return torch.cuda.is_available()
