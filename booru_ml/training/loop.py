"""The training loop: steps by the settings, a look at validation after each epoch, a state that survives a kill.

Everything that chance decides comes from the seed, the epoch and the step, so a run that was cut off and goes on draws
the same curve as one that was not. Several processes (torchrun, ``accelerate launch``) share each step's pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from booru_ml.disk import writing
from booru_ml.errors import BooruError
from booru_ml.progress import progress
from booru_ml.training.objectives import Frozen, Learner
from booru_ml.training.pictures import Deal
from booru_ml.training.runs import Curve, Run
from booru_ml.training.settings import Settings

SAVE_EVERY = 500
"""Steps between states within an epoch."""
CHECK_EVERY = 20
"""Steps between looks at whether the loss is a number: each makes a GPU wait."""

Examine = Callable[[Learner], Mapping[str, float]]
"""Figures of validation: ``loss`` (to be small), and others to be noted."""


class Log(Protocol):
    """Who is told the figures."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...


@dataclass
class Progress:
    """Where a run is: all of it is in ``state.pt``."""

    epoch: int = 0
    step: int = 0
    total: float = 0.0
    factor: float = 1.0
    best: float = math.inf
    best_epoch: int = -1
    waited: int = 0
    curve: Curve = field(default_factory=list)


def fit(
    learner: Learner,
    data: Dataset[Any],
    deal: Deal,
    *,
    settings: Settings,
    frozen: Frozen,
    accelerator: Accelerator,
    run: Run,
    examine: Examine | None = None,
    log: Log | None = None,
    workers: int = 0,
) -> tuple[Learner, Curve]:
    """Teaches ``learner`` and returns what is to be kept: the moving average or the last weights, of the epoch with the
    least validation loss where ``examine`` tells it."""
    state = run.load()
    where = Progress(**state["progress"]) if state else Progress()
    learner.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _teach(learner, frozen)
    average = _average(learner, settings)
    optimiser = _optimiser(learner, settings)
    rates = [group["lr"] for group in optimiser.param_groups]  # before a state brings others along
    if state:
        learner.load_state_dict(state["learner"])
        if average is not None:
            average.load_state_dict(state["average"])
        _restore_chance(state["chance"], accelerator)
    # Kept before it is wrapped: what looks at validation and what is written is the plain module.
    wrapped, prepared = accelerator.prepare(learner, optimiser)
    if state:
        # After ``prepare``, which moves Adam's counts of steps to the device, where each would be waited for.
        optimiser.load_state_dict(state["optimiser"])
    if state and accelerator.scaler is not None and state["scaler"]:
        accelerator.scaler.load_state_dict(state["scaler"])
    kept = learner if average is None else cast(Learner, average.module)

    def save() -> None:
        if accelerator.is_main_process:
            run.save(
                {
                    "progress": {**vars(where)},
                    "learner": learner.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "average": average.state_dict() if average is not None else None,
                    "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
                    "chance": _chance(accelerator),
                }
            )

    if state and accelerator.is_main_process:
        _note(where.curve, where.curve, run, log)  # the kill may have come between the state and its notes
    while where.epoch < settings.epochs and not _over(where, settings):
        _teach(learner, frozen)
        batches = list(deal.batches(where.epoch, skip=where.step))
        loader = _loader(data, batches, accelerator.device, workers)
        titled = f"epoch {where.epoch + 1}/{settings.epochs}"
        with progress(titled, total=deal.steps, done=where.step) as advance:
            losses: list[Tensor] = []
            for pixels, target in loader:
                with accelerator.accumulate(wrapped):
                    at = where.epoch * deal.steps + where.step
                    for group, rate in zip(optimiser.param_groups, rates, strict=True):
                        group["lr"] = _rate(rate, at, deal.steps, where.factor, settings)
                    loss = wrapped(*(part.to(accelerator.device, non_blocking=True) for part in (pixels, target)))
                    accelerator.backward(loss)
                    if accelerator.sync_gradients and settings.clip:
                        accelerator.clip_grad_norm_(learner.backbone.parameters(), settings.clip)
                    prepared.step()
                    prepared.zero_grad(set_to_none=True)
                losses.append(loss.detach())
                if not accelerator.sync_gradients:
                    continue
                if average is not None:
                    average.update_parameters(learner)
                where.step += 1
                advance()
                if where.step % CHECK_EVERY == 0 or where.step == deal.steps:
                    where.total += _sum(losses, where)
                    losses.clear()
                if where.step % SAVE_EVERY == 0 and where.step < deal.steps:
                    save()
        _finish_epoch(where, kept, deal, settings, examine, accelerator, run)
        save()
        if accelerator.is_main_process:
            _note(where.curve, where.curve[-1:], run, log)
        accelerator.wait_for_everyone()
    accelerator.wait_for_everyone()
    if (best := run.best()) is not None:
        kept.load_state_dict(best)
    return kept.eval(), where.curve


def _finish_epoch(
    where: Progress,
    kept: Learner,
    deal: Deal,
    settings: Settings,
    examine: Examine | None,
    accelerator: Accelerator,
    run: Run,
) -> None:
    """Notes the epoch's figures, keeps the weights if they are the best so far, and slows down where they are not."""
    figures: list[Mapping[str, float]] = [{}]
    if examine is not None and accelerator.is_main_process:
        figures = [dict(examine(kept.eval()))]
    # One process looks; all have to agree on what follows from it.
    broadcast_object_list(figures)
    mean = where.total / (deal.steps * settings.accumulate)
    (mean,) = accelerator.reduce(torch.tensor([mean], device=accelerator.device), reduction="mean").tolist()
    row = {"epoch": where.epoch + 1, "train_loss": mean}
    row |= {f"val_{name}": value for name, value in figures[0].items()}
    where.curve.append(row)
    if "loss" in figures[0]:
        better = figures[0]["loss"] < where.best
        where.waited = 0 if better else where.waited + 1
        if better:
            where.best, where.best_epoch = figures[0]["loss"], where.epoch
            if accelerator.is_main_process and settings.keep == "best":
                run.save_best(kept.state_dict())
        elif settings.schedule == "plateau" and where.waited % settings.every == 0:
            where.factor *= settings.factor
    where.epoch, where.step, where.total = where.epoch + 1, 0, 0.0


def _note(curve: Curve, new: Curve, run: Run, log: Log | None) -> None:
    """Writes the curve for people to look at, and what is ``new`` of it into the log."""
    run.write_curve(curve)
    if log is not None:
        with writing(run.logs):
            for row in new:
                for name, value in row.items():
                    log.add_scalar(name, value, int(row["epoch"]))


def _over(where: Progress, settings: Settings) -> bool:
    return bool(settings.patience) and where.waited >= settings.patience


def _teach(learner: Learner, frozen: Frozen) -> None:
    learner.train()
    frozen.hold()


def _average(learner: Learner, settings: Settings) -> torch.optim.swa_utils.AveragedModel | None:
    if not settings.ema:
        return None
    return torch.optim.swa_utils.AveragedModel(
        learner,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.ema),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )


def _optimiser(learner: Learner, settings: Settings) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learner.backbone.parameters() if p.requires_grad], "lr": settings.backbone_rate},
        {"params": list(learner.objective.parameters()), "lr": settings.rate},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    if settings.optimiser == "adam":
        return torch.optim.Adam(groups, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)


def _rate(base: float, at: int, steps: int, factor: float, settings: Settings) -> float:
    """Learning rate of the step ``at`` since the start, ``steps`` to an epoch."""
    slower = 1 + settings.decay * at
    if settings.schedule == "cosine":
        warm, total = steps // 2, steps * settings.epochs
        if at < warm:
            return base * (at + 1) / warm / slower
        return base * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (at - warm) / max(1, total - warm)))) / slower
    if settings.schedule == "steps":
        return float(base * settings.factor ** (at // steps // settings.every) / slower)
    return max(base * factor / slower, min(base, settings.least_rate))


def _sum(losses: list[Tensor], where: Progress) -> float:
    total = float(torch.stack(losses).sum())
    if not math.isfinite(total):
        raise BooruError(f"The loss is no longer a number (epoch {where.epoch + 1}); lower the rates and start anew.")
    return total


def _chance(accelerator: Accelerator) -> dict[str, Tensor]:
    found = {"cpu": torch.get_rng_state()}
    if accelerator.device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(accelerator.device)
    return found


def _restore_chance(chance: Mapping[str, Tensor], accelerator: Accelerator) -> None:
    torch.set_rng_state(chance["cpu"])
    if accelerator.device.type == "cuda" and "cuda" in chance:
        torch.cuda.set_rng_state(chance["cuda"], accelerator.device)


def in_order(data: Dataset[Any], *, batch: int, device: Any, workers: int = 0) -> Iterator[tuple[Any, Any]]:
    """All pictures as they are, in batches of pixels and targets."""
    count = len(data)  # type: ignore[arg-type]
    items = [[(number, 0) for number in range(start, min(start + batch, count))] for start in range(0, count, batch)]
    for pixels, target in _loader(data, items, device, workers):
        yield pixels.to(device, non_blocking=True), target.to(device, non_blocking=True)


def _loader(data: Dataset[Any], batches: list[Any], device: Any, workers: int) -> DataLoader[Any]:
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=torch.device(device).type == "cuda",
        # Its own, as it would else draw from the one that dropout draws from.
        generator=torch.Generator(),
    )


@torch.inference_mode()
def answers(
    learner: Learner, data: Dataset[Any], *, batch: int, device: Any, workers: int = 0
) -> tuple[Tensor, Tensor, float]:
    """Probabilities and targets of all pictures as they are, on the CPU, and the mean loss."""
    said, truth, total = [], [], 0.0
    for pixels, target in in_order(data, batch=batch, device=device, workers=workers):
        features = learner.features(pixels)
        total += float(learner.objective(features, target)) * len(target)
        said.append(learner.objective.answer(features).float().cpu())
        truth.append(target.cpu())
    return torch.cat(said), torch.cat(truth), total / len(data)  # type: ignore[arg-type]
