"""More than one training: pairs of labels, learning rates by lengths, architectures beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from booru_ml.errors import InvalidInput
from booru_ml.training.architectures import Start
from booru_ml.training.material import Material
from booru_ml.training.reports import draw_pairs, draw_sweep
from booru_ml.training.runs import Run, write_table
from booru_ml.training.settings import Settings
from booru_ml.training.tasks import Task
from booru_ml.training.trainer import Bench, prepare, teach, tested

if TYPE_CHECKING:
    from booru_ml.training.manifest import Sample

Row = dict[str, Any]


def pairs(start: Start, samples: Sequence[Sample], task: Task, settings: Settings, bench: Bench, run: Run) -> list[Row]:
    """Each pair of labels told apart by a network of its own, into ``pairs.csv``, drawn in ``pairs.png``: table 1 of
    "Anime Artist Analysis".

    Raises ``InvalidInput`` for a label without test pictures.
    """
    rows = []
    taught = sorted({sample.label for sample in samples if sample.split == "train"})
    for number, (one, other) in enumerate(combinations(taught, 2), 1):  # labels may not do as names of folders
        two = [sample for sample in samples if sample.label in (one, other)]
        if missing := {one, other} - {sample.label for sample in two if sample.split == "test"}:
            raise InvalidInput(f"No test picture of {', '.join(sorted(missing))}; give --shares a larger last part.")
        given = prepare(start, two, task, settings, bench)
        learner, _ = teach(start, given, settings, bench, run.below(f"pairs/{number}"))
        found = tested(learner, given, settings, bench, "test").summary()
        low, high = found["accuracy_ci95"]
        figures = {"accuracy": found["accuracy"], "low": low, "high": high, "pictures": found["pictures"]}
        rows.append({"one": one, "other": other, **figures})
        if bench.accelerator.is_main_process:
            write_table(run.folder / "pairs.csv", rows)
    if bench.accelerator.is_main_process:
        draw_pairs(run.folder / "pairs.png", rows)
    return rows


def sweep(
    start: Start,
    given: Material,
    settings: Settings,
    bench: Bench,
    run: Run,
    *,
    rates: Sequence[float],
    lengths: Sequence[int],
) -> Settings:
    """Every rate for every length (epochs), into ``sweep.csv`` and ``sweep.png``; the settings best on validation.

    Where the schedule does not know the end, one training of the longest length has all the shorter ones in it. Of
    equals the shorter and then the faster one is taken. Raises ``InvalidInput`` without validation pictures.
    """
    if "val" not in given.sets:
        raise InvalidInput("A sweep is decided by validation pictures; give --shares a second part.")
    rows: list[Row] = []
    for rate in rates:
        for length in lengths if settings.schedule == "cosine" else [max(lengths)]:
            tried = settings.with_({"rate": rate, "epochs": length, "patience": 0})
            _, curve = teach(start, given, tried, bench, run.below(f"sweep/{rate:g}-{length}"))
            ends = [length] if settings.schedule == "cosine" else lengths
            rows += [{"rate": rate, "epochs": end, "accuracy": curve[end - 1]["val_accuracy"]} for end in ends]
    if bench.accelerator.is_main_process:
        write_table(run.folder / "sweep.csv", rows)
        draw_sweep(run.folder / "sweep.png", rows)
    best = min(rows, key=lambda row: (-row["accuracy"], row["epochs"], -row["rate"]))
    return settings.with_({"rate": best["rate"], "epochs": best["epochs"]})
