"""The graph by ONNX Runtime on the CPU: the default install's only route, small and quick to start."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, Any

import onnxruntime as ort

from booru_ml.checkpoint import files
from booru_ml.errors import CheckpointError
from booru_ml.nn.routes.session import Outputs, Session

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.types import FloatArray


class OnnxSession(Session):
    shares_cores = True

    def __init__(self, checkpoint: Checkpoint, *, threads: int = 1) -> None:
        super().__init__(checkpoint, route="onnx")
        _share_one_arena()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads must sleep: decoding shares these cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
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
        if not set(checkpoint.heads) <= set(self._outputs):
            raise CheckpointError(
                f"Checkpoint {checkpoint.path}: {files.ONNX} was not made from these weights and heads. "
                f"Write it anew: manage.py booru_model export {checkpoint.path}"
            )

    def run(self, batch: FloatArray, *, only: Collection[str] = ()) -> Outputs:
        wanted = [name for name in self._outputs if not only or name in only]
        return dict(zip(wanted, self._session.run(wanted, {self._input: batch}), strict=True))

    def close(self) -> None:
        self._session = None


@cache
def _share_one_arena() -> None:
    """Checkpoints run one after the other, so their activations can lie in the same memory (one arena, not one each).

    Once per process; a forked child inherits what its parent registered.
    """
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(0, 0, -1, -1))
