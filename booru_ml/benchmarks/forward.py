"""What the networks cost on each route, and how much of a bare model's speed is left with everything around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from booru_ml.errors import CheckpointError
from booru_ml.nn.routes import ROUTES, available, gpus
from booru_ml.nn.routes.arms import arms, interleave

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.pipeline.images import DecoderPool
    from booru_ml.types import Picture

ROUNDS = 5
GPU_BATCHES = 20
"""The fewest of a round on a GPU: less is over before decoding and forwards overlap."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    device: str = "auto"
    threads: int = 1
    sizes: Sequence[int] = (1, 4, 16, 32)
    seconds: float = 10.0
    compiled: bool = False


def routes(checkpoint: Checkpoint, setting: Setting, say: Callable[[str], Any]) -> list[dict[str, Any]]:
    """A row for each route that could serve and each batch size: ms and pictures per second of the network alone,
    normalisation included, and the resident MiB of a process that does nothing else."""
    device = gpus.resolve(setting.device) if setting.device != "cpu" else "cpu"
    names = [route.name for route in available(checkpoint, device, compiled=setting.compiled)]
    with arms(checkpoint, names, device=device, threads=setting.threads) as started:
        running = []
        for arm in started:
            try:
                arm.seconds(1)
                running.append(arm)
            except CheckpointError as error:
                say(f"{checkpoint.name}: {arm.route} is left out: {error.message}")
        spent = interleave(running, setting.sizes, seconds=setting.seconds)
        return [
            {
                "checkpoint": checkpoint.name,
                "device": device,
                "route": arm.route,
                "batch": size,
                "ms": round(1000 * spent[arm.route, size], 2),
                "img_s": round(size / spent[arm.route, size], 1),
                "rss_mib": round(arm.rss_mib),
            }
            for arm in running
            for size in setting.sizes
        ]


@contextmanager
def random_checkpoint(architecture: str, side: int | None) -> Iterator[Checkpoint]:
    """A timm architecture with random weights: speed does not ask what a network knows. Raises ``CheckpointError``."""
    from timm.models import save_for_hf

    from booru_ml.checkpoint import Checkpoint, pin
    from booru_ml.nn import backbones

    arguments = {"img_size": side} if side else {}
    model = backbones.create(architecture, arguments, 0)
    with TemporaryDirectory(prefix="booru-bench-") as folder:
        save_for_hf(model, folder, model_args=arguments or None, safe_serialization=True)
        pin(Path(folder))
        yield Checkpoint.load(folder)


def beside_bare(
    checkpoint: Checkpoint, paths: Sequence[Path], *, route: str, setting: Setting, batch_size: int, decoders: int
) -> dict[str, Any]:
    """Pictures per second of the bare model on a batch that stays on the device, of the engine on decoded pictures,
    and of the engine while guarded processes decode what comes next; medians of interleaved rounds of full batches,
    for which ``paths`` are taken over and over."""
    from booru_ml.nn.engine import Engine
    from booru_ml.pipeline.images import DecoderPool, Limits

    device = gpus.resolve(setting.device) if setting.device != "cpu" else "cpu"
    with ExitStack() as stack:
        engine = stack.enter_context(
            closing(Engine([checkpoint], runtime=route, device=device, threads=setting.threads, batch_size=batch_size))
        )
        pool = stack.enter_context(DecoderPool(workers=decoders, limits=Limits.from_config()))
        engine.warm_up()
        batches = max(-(-len(paths) // batch_size), 1 if device == "cpu" else GPU_BATCHES)
        count = batches * batch_size
        bare = _bare(checkpoint, route, device, batch_size, batches=batches)
        known = [picture for batch in _decoded(pool, paths, batch_size) for picture in batch]
        pictures = [known[number % len(known)] for number in range(count)]
        paths = [paths[number % len(paths)] for number in range(count)]
        ways: dict[str, Callable[[], object]] = {
            "bare_img_s": bare,
            "engine_img_s": lambda: [engine.infer(batch) for batch in _cut(pictures, batch_size)],
            "decode_and_engine_img_s": lambda: [engine.infer(batch) for batch in _decoded(pool, paths, batch_size)],
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS + 1):  # the first warms up
            for name, way in ways.items():
                begun = perf_counter()
                way()
                if number:
                    spent[name].append(perf_counter() - begun)
    speed = {name: round(count / median(values), 1) for name, values in spent.items()}
    return {
        "architecture": checkpoint.architecture,
        "side": checkpoint.preprocess.width,
        "device": device,
        "route": route,
        "batch": batch_size,
        "decoders": decoders,
        "pictures": count,
        **speed,
        "ratio_bare": round(speed["decode_and_engine_img_s"] / speed["bare_img_s"], 3),
    }


def _bare(checkpoint: Checkpoint, name: str, device: str, batch_size: int, *, batches: int) -> Callable[[], None]:
    """The same arithmetic with nothing around it: no transfers, no autocast, no Python between layers but the model's
    own."""
    import torch

    from booru_ml.nn import network

    route = ROUTES[name]
    layout = torch.channels_last if route.channels_last else torch.contiguous_format
    number = torch.bfloat16 if route.half else torch.float32
    net: Any = network.load(checkpoint)
    net = net.to(device=device, dtype=number, memory_format=layout)
    run = torch.compile(net) if route.compiled else net
    shape = (batch_size, 3, checkpoint.preprocess.height, checkpoint.preprocess.width)
    batch: Any = torch.zeros(shape, device=device, dtype=number)
    batch = batch.contiguous(memory_format=layout)

    def work() -> None:
        with torch.inference_mode():
            for _ in range(batches):
                run(batch)
        if device != "cpu":
            torch.cuda.synchronize(device)

    return work


def _decoded(pool: DecoderPool, paths: Sequence[Path], batch_size: int) -> Iterator[list[Picture]]:
    """Batches of decoded pictures; the next two decode while one is looked at."""
    waiting: deque[list[Future[Picture]]] = deque()
    for part in _cut(paths, batch_size):
        waiting.append([_submitted(pool, path) for path in part])
        if len(waiting) > 2:
            yield [future.result() for future in waiting.popleft()]
    while waiting:
        yield [future.result() for future in waiting.popleft()]


def _submitted(pool: DecoderPool, path: Path) -> Future[Picture]:
    stream = path.open("rb")
    future = pool.submit(stream)
    future.add_done_callback(lambda _: stream.close())
    return future


def _cut(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
