"""What ``booru_train`` is asked for a network: from folders and settings to a checkpoint folder and its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from booru_ml.checkpoint import Checkpoint
from booru_ml.errors import InvalidInput
from booru_ml.training import encoder, manifest, reports, studies, trainer
from booru_ml.training.architectures import UNTRAINED, Start, from_checkpoint, from_name
from booru_ml.training.audit import Audit
from booru_ml.training.cost import cost
from booru_ml.training.material import Folders
from booru_ml.training.runs import Curve, Run, write_table
from booru_ml.training.settings import Settings
from booru_ml.training.tasks import TASKS, Task
from booru_ml.training.trainer import Bench

Say = Callable[[str], Any]
LONGEST_WAIT = timedelta(hours=12)
"""Of processes for the one that looks at the pictures."""
FROZEN_UNTRAINED = (
    "Note: this network starts from nothing, so its frozen layers stay as chance made them. "
    "Give --base, --weights or --pretrained, or --frozen without a value to teach all of it."
)


@dataclass(frozen=True)
class Order:
    """``task``: of ``TASKS``, or encoder. The network starts from the folder ``base``, or by name from ``weights``,
    from ``pretrained`` ones on this machine, or from nothing. ``teacher``: whose embedding an encoder copies."""

    task: str
    folders: Folders
    settings: Settings
    out: Path | None = None
    architecture: str = ""
    base: Path | None = None
    weights: Path | None = None
    pretrained: bool = False
    grades: tuple[str, ...] = ()
    strangers: tuple[Path, ...] = ()
    teacher: Path | None = None
    pairs: bool = False
    rates: tuple[float, ...] = ()
    lengths: tuple[int, ...] = ()
    device: str = "auto"
    workers: int = 0
    restart: bool = False

    @property
    def target(self) -> Task:
        return TASKS[self.task].graded(self.grades)

    def start(self) -> tuple[Start, Checkpoint | None]:
        """The network before its first lesson. Raises ``InvalidInput``."""
        if self.base is not None:
            if self.architecture or self.weights or self.pretrained:
                raise InvalidInput(
                    "--base brings its architecture and weights; leave out --arch, --weights, --pretrained."
                )
            base = Checkpoint.load(self.base)
            return from_checkpoint(base, size=self.settings.size), base
        if not self.architecture:
            raise InvalidInput("Name a network by --arch (a paper's or timm's name), or a checkpoint folder by --base.")
        size, seed = self.settings.size, self.settings.seed
        name = self.architecture
        return from_name(name, size=size, weights=self.weights, pretrained=self.pretrained, seed=seed), None


def check(order: Order) -> Audit:
    """What the folders hold, and what is wrong with them."""
    if order.task == "encoder":
        return order.folders.identities("character", order.settings)
    found = order.folders.samples(order.target, order.settings)
    order.target.labels(found.samples)
    return found


@contextmanager
def together() -> Iterator[None]:
    """What several processes train within: at the end each takes leave of the others, without which one may abort as it
    exits, and take the launcher's word of success along."""
    try:
        yield
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def carry_out(order: Order, say: Say) -> dict[str, Any]:
    """Trains, tests, writes the checkpoint; the row of a comparison comes back. Raises ``BooruError``."""
    if order.out is None:
        raise InvalidInput("Name the checkpoint folder to write by --out.")
    start, base = order.start()
    teacher = Checkpoint.load(order.teacher) if order.teacher else None
    bench = Bench(_accelerator(order), workers=order.workers)
    main = bench.accelerator.is_main_process
    told: Say = say if main else (lambda _: None)
    run = Run(order.out)
    if main:
        if order.restart:
            run.clear()
        folders = [str(path.resolve()) for path in (*order.folders.data, *order.folders.faces)]
        asked = {"task": order.task, "start": start.origin, "data": folders, "grades": list(order.grades)}
        run.agree(order.settings, teacher=teacher.version if teacher else None, **asked)
        if run.samples() is None:
            with run.left_if_refused():
                found = check(order)
            run.keep_samples(found.samples, found.lines)
    bench.accelerator.wait_for_everyone()
    samples = run.samples() or []
    report = (run.folder / "data.txt").read_text(encoding="utf-8").splitlines()
    told("\n".join(report))
    if order.settings.frozen and start.origin.endswith(UNTRAINED):
        told(FROZEN_UNTRAINED)
    if order.task == "encoder":
        return _encoder(order, start, base, teacher, samples, bench, run, report, told)
    if order.pairs:
        rows = studies.pairs(start, samples, order.target, order.settings, bench, run)
        told("\n".join(f"{row['one']} / {row['other']}: {row['accuracy']:.3f}" for row in rows))
        reached = [float(row["accuracy"]) for row in rows]
        told(f"{len(rows)} pairs: mean {fmean(reached):.3f}, from {min(reached):.3f} to {max(reached):.3f}")
        told(f"{run.folder / 'pairs.csv'}, drawn in pairs.png")
        return {"pairs": len(rows), "accuracy": fmean(reached)} if main else {}
    return _classifier(order, start, samples, bench, run, report, told)


def compare(folder: Path, rows: Sequence[dict[str, Any]], say: Say) -> None:
    """The table of several architectures (table 7 of AniWho), into ``compare.csv``."""
    write_table(folder / "compare.csv", rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for row in [dict(zip(columns, columns, strict=True)), *rows]:
        say("  ".join(f"{_short(row.get(column, '')):>14}" for column in columns))


def _classifier(
    order: Order, start: Start, samples: list[manifest.Sample], bench: Bench, run: Run, report: list[str], say: Say
) -> dict[str, Any]:
    given = trainer.prepare(start, samples, order.target, order.settings, bench)
    settings = order.settings
    if order.rates:
        lengths = order.lengths or (settings.epochs,)
        settings = studies.sweep(start, given, settings, bench, run, rates=order.rates, lengths=lengths)
        say(f"best on validation: rate {settings.rate:g}, {settings.epochs} epochs ({run.folder / 'sweep.csv'})")
        learner, curve = trainer.teach(start, given, settings, bench, run.below("chosen"))
    else:
        learner, curve = trainer.teach(start, given, settings, bench, run)
    _tell(curve, say)
    if not bench.accelerator.is_main_process or order.out is None:
        return {}
    tested = None
    if "test" in given.sets:
        tested = trainer.floored(trainer.tested(learner, given, settings, bench, "test"), given)
    figures = reports.write(run.folder, tested, curve, task=order.task, start=start.origin)
    card = _card(order, start, settings, report, figures)
    written = trainer.publish(order.out, start, learner, given, settings, bench, card)
    return _done(written, start, figures.get("test", {}), run, say)


def _encoder(
    order: Order,
    start: Start,
    base: Checkpoint | None,
    teacher: Checkpoint | None,
    samples: list[manifest.Sample],
    bench: Bench,
    run: Run,
    report: list[str],
    say: Say,
) -> dict[str, Any]:
    names = manifest.called(order.strangers)
    strangers = {name: manifest.read(folder, label="character", split="test") for folder, name in names.items()}
    learner, curve = encoder.teach(start, samples, order.settings, bench, run, strangers=strangers, teacher=teacher)
    _tell(curve, say)
    if not bench.accelerator.is_main_process or order.out is None:
        return {}
    figures = reports.write(run.folder, None, curve, task=order.task, start=start.origin, epochs=curve)
    card = _card(order, start, order.settings, report, figures, teacher=teacher.version if teacher else "")
    own, size = trainer.preprocess(start, order.settings), order.settings.size
    look = own if base is None or order.settings.look else base.preprocess
    if "img_size" in start.model_args:  # made for the size that it was taught with, whatever its base looked at
        look = replace(look, width=size, height=size)
    written = encoder.publish(order.out, start, learner.backbone, look, card=card, base=base)
    say("Fit its heads next.")
    return _done(written, start, {}, run, say)


def _done(written: Checkpoint, start: Start, test: Any, run: Run, say: Say) -> dict[str, Any]:
    figures = {name: value for name, value in test.items() if isinstance(value, float)}
    if test:
        interval = "; accuracy's 95 % interval {} to {}".format(*test["accuracy_ci95"]) if "accuracy" in test else ""
        tiles = f" in {test['tiles']:,} tiles" if "tiles" in test else ""
        said = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        say(f"{test['pictures']:,} test pictures{tiles}: {said}{interval}")
        for part, found in test.get("long_tail", {}).items():
            say(f"  {part}: {found['accuracy']:.4f} in {found['classes']} classes")
    spent = cost(written)
    say(f"{spent.parameters:,} parameters, {spent.milliseconds:g} ms for a picture on one core")
    say(f"{written.version} written into {written.path}; curves and tables in {run.folder}")
    limits = dict(zip(("low", "high"), test.get("accuracy_ci95", ()), strict=False))
    counted = {"pictures": test["pictures"]} if test else {}
    costs = {"parameters": spent.parameters, "ms": spent.milliseconds}
    return {"architecture": start.architecture, **figures, **limits, **counted, **costs}


def _accelerator(order: Order) -> Accelerator:
    return Accelerator(
        # Without its being said, processes of a machine without a GPU would not know of each other.
        cpu=order.device == "cpu" or not torch.accelerator.is_available(),
        mixed_precision=order.settings.precision,
        gradient_accumulation_steps=order.settings.accumulate,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
    )


def _tell(curve: Curve, say: Say) -> None:
    for row in curve:
        say("  ".join(f"{name} {_short(value)}" for name, value in row.items()))


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _card(
    order: Order, start: Start, settings: Settings, report: Sequence[str], figures: Any, *, teacher: str = ""
) -> str:
    """What is known of the weights; their terms only their maker knows."""
    usual = asdict(Settings())
    chosen = [
        f"{item.name} {getattr(settings, item.name)}"
        for item in fields(settings)
        if asdict(settings)[item.name] != usual[item.name]
    ]
    folders = ", ".join(folder.name for folder in (*order.folders.data, *order.folders.faces))
    test = figures.get("test")
    copied = f" to say what {teacher} says" if teacher else ""
    lines = [
        f"# {order.out.name if order.out else ''}",
        f"{start.origin}, taught by `booru_train {order.task}`{copied}: {'; '.join(chosen) or 'usual settings'}.",
        "## Data",
        f"Folders {folders}.",
        "\n".join(f"- {line}" for line in report),
        "## Figures",
        f"Test pictures, {test['pictures']:,} of them: "
        + ", ".join(f"{name} {value:.4f}" for name, value in test.items() if isinstance(value, float))
        + "."
        if test
        else "Not tested.",
        "## Terms and limits",
        "The pictures' terms may bind these weights. Write them down here before you pass the folder on.",
    ]
    return "\n\n".join(lines) + "\n"
