"""Routes: the ways of running one checkpoint's network, behind one call.

Every exact route gives the same answers, and one in bfloat16 serves only a checkpoint that answers as well in it, so
which one does is a matter of speed and memory alone: ``booru_ml.nn.routes.probe`` measures them where the worker runs,
``choices`` remembers the fastest. Nothing here is imported before a route is opened, so that a worker that runs the
graph never loads torch.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from booru_ml.checkpoint import files
from booru_ml.errors import CheckpointError, InvalidInput
from booru_ml.nn.routes import gpus, machine
from booru_ml.nn.routes.choices import Choices, Place

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.nn.routes.session import Session

logger = logging.getLogger(__name__)

# Has to be said before a runtime is imported; else it reports every process to its publisher, under an id that it
# leaves in the user's home. OpenVINO does without the package that reports where there is none.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

INSTALL = {
    "onnxruntime": "pip install onnxruntime",
    "openvino": "pip install 'booru-ml[openvino]'",
    "torch": "pip install 'booru-ml[gpu]'",
    "timm": "pip install 'booru-ml[gpu]'",
}


@dataclass(frozen=True, kw_only=True)
class Route:
    """``graph``: runs the folder's model.onnx, else its weights in torch. ``half``: multiplies in bfloat16.
    ``compiled``: takes minutes to start."""

    name: str
    packages: tuple[str, ...]
    graph: bool = False
    gpu: bool = False
    half: bool = False
    channels_last: bool = False
    compiled: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(package for package in self.packages if find_spec(package) is None)


_TORCH = ("torch", "timm")
ROUTES = {
    route.name: route
    for route in (
        Route(name="onnx", packages=("onnxruntime",), graph=True),
        Route(name="openvino", packages=("openvino",), graph=True),
        Route(name="openvino-bf16", packages=("openvino",), graph=True, half=True),
        Route(name="torch", packages=_TORCH, gpu=True),
        Route(name="torch-channels-last", packages=_TORCH, gpu=True, channels_last=True),
        Route(name="torch-compiled", packages=_TORCH, gpu=True, channels_last=True, compiled=True),
        Route(name="torch-bf16", packages=_TORCH, gpu=True, channels_last=True, half=True),
        Route(name="torch-bf16-compiled", packages=_TORCH, gpu=True, channels_last=True, half=True, compiled=True),
    )
}
RUNTIMES = ("auto", *ROUTES)


def open_session(
    checkpoint: Checkpoint,
    *,
    runtime: str = "auto",
    device: str = "auto",
    threads: int = 1,
    batch_size: int = 16,
    choices: Choices | None = None,
) -> Session:
    """One checkpoint, loaded. ``auto``: the route that was measured to be the fastest here, else the usual one.

    Raises ``CheckpointError`` or ``InvalidInput`` with the way out.
    """
    if runtime not in RUNTIMES:
        raise InvalidInput(f"BOORU_ML['RUNTIME'] must be one of {', '.join(RUNTIMES)}, not {runtime!r}.")
    if device == "auto" or device.startswith("cuda"):
        wants_torch = runtime == "auto" or ROUTES[runtime].gpu
        device = gpus.resolve(device) if wants_torch else "cpu"
    if runtime != "auto":
        return _open(ROUTES[runtime], checkpoint, device=device, threads=threads)
    place = Place.here(checkpoint, device=device, threads=threads, batch_size=batch_size)
    known = choices.read(place) if choices else None
    if choices and known is None and len(rivals := available(checkpoint, device)) > 1:
        names = ", ".join(route.name for route in rivals)
        logger.info("%s: manage.py booru_model probe finds the fastest of %s", checkpoint.name, names)
    last: CheckpointError | None = None
    for route in _candidates(checkpoint, device, known.route if known else ""):
        try:
            return _open(route, checkpoint, device=device, threads=threads)
        except CheckpointError as error:
            logger.warning("route %s does not serve %s: %s", route.name, checkpoint.name, error.message)
            last = last or error
    raise last or CheckpointError(
        f"Checkpoint {checkpoint.path} needs torch and timm here, which are not installed. "
        f"Install booru-ml[gpu], or add a {files.ONNX} to the folder."
    )


def usual(checkpoint: Checkpoint, device: str) -> Route:
    """What serves where nothing was measured: exact, and in need of no more than the default install if possible."""
    return ROUTES["onnx" if device == "cpu" and checkpoint.has_onnx else "torch"]


def available(checkpoint: Checkpoint, device: str, *, compiled: bool = False) -> list[Route]:
    """The routes that could serve here, the usual one first."""
    first = usual(checkpoint, device)
    fit = [
        route
        for route in ROUTES.values()
        if not route.missing
        and (checkpoint.has_onnx or not route.graph)
        and (route.gpu or device == "cpu")
        and (compiled or not route.compiled)
        and (not route.half or device != "cpu" or machine.multiplies_bfloat16())
    ]
    return sorted(fit, key=lambda route: route is not first)


def torch_installed() -> bool:
    """Whether torch and timm could be imported; imports neither."""
    return not ROUTES["torch"].missing


def choices_in(folder: str | Path) -> Choices:
    """The measured choices; an empty name means the user's own cache."""
    return Choices(Path(folder) if folder else machine.user_cache())


def _candidates(checkpoint: Checkpoint, device: str, known: str) -> Iterator[Route]:
    """The measured route, the usual one, and torch, which can do without a graph."""
    names = dict.fromkeys((known, usual(checkpoint, device).name, "torch"))
    yield from (ROUTES[name] for name in names if name in ROUTES and not ROUTES[name].missing)


def _open(route: Route, checkpoint: Checkpoint, *, device: str, threads: int) -> Session:
    if route.missing:
        raise CheckpointError(
            f"Checkpoint {checkpoint.path} cannot run by {route.name}: {' and '.join(route.missing)} not installed. "
            f"{INSTALL[route.missing[0]]}, or set BOORU_ML['RUNTIME'] to 'auto'."
        )
    if route.graph and not checkpoint.has_onnx:
        raise CheckpointError(
            f"Checkpoint {checkpoint.path} has no {files.ONNX}, or one that was not made from these weights. Write one "
            f"where torch is installed: manage.py booru_model export {checkpoint.path}, or set BOORU_ML['RUNTIME'] to "
            "'auto'."
        )
    if route.name == "onnx":
        from booru_ml.nn.routes.onnx import OnnxSession

        return OnnxSession(checkpoint, threads=threads)
    if route.graph:
        from booru_ml.nn.routes.openvino import OpenVinoSession

        return OpenVinoSession(checkpoint, threads=threads, half=route.half)
    from booru_ml.nn.routes import devices
    from booru_ml.nn.routes.torch import TorchSession

    return TorchSession(checkpoint, route, devices.open_device(device), threads=threads)
