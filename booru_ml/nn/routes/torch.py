"""The network in torch: eager or compiled, float32 or bfloat16, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from booru_ml.nn import network
from booru_ml.nn.routes.session import Outputs, Session

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.nn.routes import Route
    from booru_ml.nn.routes.devices import Device
    from booru_ml.types import FloatArray, PixelArray


class TorchSession(Session):
    out_of_memory = torch.OutOfMemoryError

    def __init__(self, checkpoint: Checkpoint, route: Route, device: Device, *, threads: int = 1) -> None:
        super().__init__(checkpoint, route=route.name, rows=device.rows)
        torch.set_num_threads(threads)
        self.device = device
        self._half = route.half
        self._layout = torch.channels_last if route.channels_last else torch.contiguous_format
        # ``Any``: torch's own stubs do not know a module's memory format.
        net: Any = network.load(checkpoint)
        if route.half:
            _halve(net)
        self._network: Any = net.to(device=device.torch, memory_format=self._layout)
        if route.compiled:
            # One graph for every batch: a shape of its own for each would be compiled anew in the middle of the work.
            self._network = torch.compile(self._network, dynamic=True)
        self._warm = (1, 2, device.rows) if device.torch.type == "cuda" or route.compiled else (1,)
        scale = torch.tensor(checkpoint.preprocess.std, device=device.torch) * 255
        self._mean = (torch.tensor(checkpoint.preprocess.mean, device=device.torch) * 255)[:, None, None]
        self._factor = (1 / scale)[:, None, None]

    def run(self, batch: FloatArray, *, only: Collection[str] = ()) -> Outputs:
        with torch.inference_mode():
            return self._answer(torch.from_numpy(np.ascontiguousarray(batch)).to(self.device.torch), only)

    def warm_up(self) -> None:
        """The largest forward too: it settles which algorithms serve, and how much memory they take."""
        grey = np.full((self.preprocess.height, self.preprocess.width, 3), 128, np.uint8)
        for rows in self._warm:
            self.see([grey] * rows)

    def close(self) -> None:
        self._network = None
        self.device.release()

    def _forward(self, fitted: Sequence[PixelArray], only: Collection[str]) -> Outputs:
        """Bytes travel, a quarter of the floats' way; the device normalises them."""
        with torch.inference_mode():
            pixels = self.device.upload(np.stack(fitted))
            if self.preprocess.channels == "BGR":
                pixels = pixels.flip(-1)
            return self._answer((pixels.permute(0, 3, 1, 2) - self._mean) * self._factor, only)

    def _answer(self, batch: torch.Tensor, only: Collection[str]) -> Outputs:
        batch = batch.contiguous(memory_format=self._layout)
        with torch.autocast(self.device.torch.type, torch.bfloat16, enabled=self._half):
            found = self._network(batch)
        return self.device.download({name: value for name, value in found.items() if not only or name in only})

    def _make_room(self, rows: int) -> None:
        super()._make_room(rows)
        self.device.release()


def _halve(net: torch.nn.Module) -> None:
    """Weights that autocast would round to bfloat16 anew in every forward are rounded once."""
    for module in net.modules():
        if type(module) in (torch.nn.Linear, torch.nn.Conv2d):  # what is derived from them may do sums with its weights
            module.to(torch.bfloat16)
