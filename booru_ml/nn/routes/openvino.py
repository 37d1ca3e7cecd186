"""The graph by OpenVINO on the CPU (an extra): the faster one on processors that multiply bfloat16."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino

from booru_ml.checkpoint import files
from booru_ml.errors import CheckpointError
from booru_ml.nn.routes.session import Outputs, Session

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.types import FloatArray


class OpenVinoSession(Session):
    shares_cores = True

    def __init__(self, checkpoint: Checkpoint, *, threads: int = 1, half: bool = False) -> None:
        super().__init__(checkpoint, route="openvino-bf16" if half else "openvino")
        graph = checkpoint.path / files.ONNX
        try:
            core = openvino.Core()
            model = core.compile_model(
                core.read_model(str(graph)),
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": threads,
                    "NUM_STREAMS": 1,
                    "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
                    # Several workers share this machine: pinned threads would meet on the same core.
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except RuntimeError as error:
            raise CheckpointError(
                f"Checkpoint {checkpoint.path}: OpenVINO cannot load {files.ONNX} ({error}). "
                f"Write it anew: manage.py booru_model export {checkpoint.path}, or set BOORU_ML['RUNTIME'] to 'onnx'."
            ) from error
        self._request: Any = model.create_infer_request()
        self._outputs = {output.get_any_name(): number for number, output in enumerate(model.outputs)}
        if not set(checkpoint.heads) <= set(self._outputs):
            raise CheckpointError(
                f"Checkpoint {checkpoint.path}: {files.ONNX} lacks heads of config.json. Export it anew."
            )

    def run(self, batch: FloatArray, *, only: Collection[str] = ()) -> Outputs:
        self._request.infer({0: batch}, share_inputs=True)
        return {
            # A copy: the next forward writes into the same memory.
            name: np.array(self._request.get_output_tensor(number).data, np.float32)
            for name, number in self._outputs.items()
            if not only or name in only
        }

    def close(self) -> None:
        self._request = None
