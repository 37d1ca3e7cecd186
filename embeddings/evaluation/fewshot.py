"""``booru_evaluate fewshot``: recognition from a few pictures of each, on classes of one's own."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from booru_ml.conf import config
from booru_ml.errors import InvalidInput
from booru_ml.evaluation.task import Answer, Options, Say, Task, natural, positive
from booru_ml.progress import progress
from embeddings.methods import METHODS

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.training.manifest import Sample
    from booru_ml.types import FloatArray
    from embeddings.chances import Calibration
    from embeddings.evaluation.episodes import Result
    from embeddings.evaluation.open_set import OpenSet
    from embeddings.games import Labelled

Floors = dict[tuple[int, int], tuple[float, float]]
"""Accuracy at 16×16 pixels and its interval, by ways and shots."""


class FewShot(Task):
    name = "fewshot"
    help = "recognition of characters from a few pictures of each; support and query never share a group"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--data",
            type=Path,
            required=True,
            metavar="DIR",
            help="class subfolders, or a manifest.csv with path, character and perhaps group and split",
        )
        parser.add_argument("--split", help="only rows of this split, where the manifest has the column")
        parser.add_argument("--ways", type=positive, nargs="+", default=[5, 20], help="classes; default: 5 20")
        parser.add_argument("--shots", type=positive, nargs="+", default=[1, 5], help="pictures of each; 1 5")
        parser.add_argument("--episodes", type=positive, default=600, help="of each setting; default: %(default)s")
        parser.add_argument("--queries", type=positive, default=10, help="of each class; default: %(default)s")
        parser.add_argument("--seed", type=natural, default=0)
        parser.add_argument("--method", choices=[item.name for item in METHODS], help="default: all of them")
        parser.add_argument(
            "--encoder", metavar="E", help="a checkpoint's folder or name; default: the first configured one"
        )
        parser.add_argument(
            "--looks", type=positive, default=1, help="classes joined into one, as its costumes; default: %(default)s"
        )
        parser.add_argument("--threads", type=positive, default=1, help="of what is fitted on its answers")

    def ask(self, options: Options, say: Say) -> Answer:
        from booru_ml.evaluation.pictures import gather
        from booru_ml.training import manifest
        from embeddings import games
        from embeddings.evaluation import open_set

        checkpoint = _encoder(options["encoder"], options["threads"])
        calibration, calibrated = _calibration(checkpoint, options["method"])
        material = gather(manifest.read(options["data"], label="character", split=options["split"]), say)
        vectors, seconds = _encode(checkpoint, material.samples)
        one = games.normalised(vectors, material.labels, [str(group) for group in material.groups])
        pixels = material.pixels
        if options["looks"] > 1:
            one, kept = games.join_looks(one, options["looks"], seed=options["seed"])
            pixels = pixels[kept]
        results, floors = _play(one, pixels, calibration, options, say)
        if not calibrated:
            say(f"{checkpoint.version} was not calibrated for this; its ECE is that of general constants.")
        shots = max(shots for _, shots in floors)
        known = open_set.ask(one, calibration, shots=shots, queries=options["queries"], seed=options["seed"])
        head = (
            f"{checkpoint.version} on {options['data']}: {len(one.labels)} pictures, {len(one.classes)} classes, "
            f"{len(set(one.groups))} groups; {len(material.unreadable)} unreadable; {1000 * seconds:.0f} ms to encode"
        )
        return Answer(
            _report(checkpoint.version, calibration.method, results, floors, known),
            [head, *_table(results, floors, calibration), *_open_set(known)],
            _drawing(known, checkpoint.name),
        )


def _encoder(name: str | None, threads: int) -> Checkpoint:
    """By folder or name; else the first configured one that has an embedding. Raises ``BooruError``."""
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.evaluation import measured

    configured = [Checkpoint.read(folder) for folder in config().CHECKPOINTS]
    named = [item for item in configured if name == item.name or (name is None and item.embedding_dim)]
    chosen = measured.load(str(named[0].path) if named else name or "", threads)
    if not chosen.embedding_dim:
        raise InvalidInput(f"{chosen.path} has no embedding head, so its pictures cannot be compared.")
    return chosen


def _calibration(checkpoint: Checkpoint, method: str | None) -> tuple[Calibration, bool]:
    """The constants of the picture space, and whether they were fitted to it and to this method."""
    from embeddings import calibration
    from embeddings.chances import Calibration

    known = calibration.of(checkpoint)
    found = known.get("picture") or Calibration()
    return replace(found, method=method or found.method), "picture" in known and method in (None, found.method)


def _encode(checkpoint: Checkpoint, samples: Sequence[Sample]) -> tuple[FloatArray, float]:
    """Vectors (N, D) as uploads get them, and seconds for each."""
    from booru_ml.checkpoint import HeadKind
    from booru_ml.evaluation.pictures import ask

    head = next(head.name for head in checkpoint.heads.values() if head.kind is HeadKind.EMBEDDING)
    began = time.perf_counter()
    vectors = ask(checkpoint, samples, [head])[head]
    return vectors, (time.perf_counter() - began) / len(samples)


def _play(
    one: Labelled, pixels: FloatArray, calibration: Calibration, options: Options, say: Say
) -> tuple[list[Result], Floors]:
    """Every method in the same episodes of each setting that the data can fill. Raises ``InvalidInput`` for none."""
    from embeddings.evaluation import episodes

    methods = [method for method in METHODS if options["method"] in (None, method.name)]
    settings = list(dict.fromkeys(product(options["ways"], options["shots"])))
    results: list[Result] = []
    floors: Floors = {}
    with progress("Playing episodes", total=len(settings) * len(methods)) as advance:
        for ways, shots in settings:
            drawn = {"queries": options["queries"], "count": options["episodes"], "seed": options["seed"]}
            played = list(episodes.episodes(one, ways=ways, shots=shots, **drawn))
            if not played:
                say(f"{ways} ways × {shots} shots is left out: {_lack(one, ways, shots)}")
                advance(len(methods))
                continue
            floors[ways, shots] = episodes.nearest_pixels(pixels, played)
            for method in methods:
                built = method.build(sharpness=calibration.sharpness)
                results.append(episodes.score(one, played, built, ways=ways, shots=shots))
                advance()
    if not results:
        raise InvalidInput(f"{options['data']} can fill none of these settings; ask for fewer --ways or --shots.")
    return results, floors


def _report(
    encoder: str, default: str, results: Sequence[Result], floors: Floors, known: OpenSet | None
) -> dict[str, Any]:
    def share(name: str) -> float | None:
        return None if known is None else round(getattr(known, name), 4)

    return {
        "encoder": encoder,
        "results": [
            {
                "method": row.method,
                "default": row.method == default,
                "ways": row.ways,
                "shots": row.shots,
                "accuracy": round(row.accuracy, 4),
                "ci95": round(row.ci95, 4),
                "seconds_per_query": float(f"{row.seconds_per_query:.3g}"),
            }
            for row in results
        ],
        "open_set": {name: share(name) for name in ("auroc", "tpr_at_fpr5", "oscr")},
        "ece": share("ece"),
        "pixel_1nn": round(max(mean for mean, _ in floors.values()), 4),
    }


def _lack(one: Labelled, ways: int, shots: int) -> str:
    from embeddings import sampling

    able = sum(sampling.most_shots(groups) >= shots for groups in one.classes.values())
    if able >= ways:
        return "its classes share their groups, so that nothing is left to ask about."
    return f"{able} of {len(one.classes)} classes have {shots} pictures to show and another group to ask about."


def _table(results: Sequence[Result], floors: Floors, calibration: Calibration) -> Iterator[str]:
    yield f"{'ways × shots':<14}{'method':<38}{'accuracy':>10}{'± 95 %':>8}{'ms/query':>10}"
    titles = {method.name: method.title for method in METHODS}
    for (ways, shots), (mean, ci95) in floors.items():
        yield f"{f'{ways} × {shots}':<14}{'nearest at 16×16 pixels':<38}{100 * mean:>10.2f}{100 * ci95:>8.2f}"
        for row in results:
            if (row.ways, row.shots) == (ways, shots):
                title = titles[row.method] + (" *" if row.method == calibration.method else "")
                numbers = f"{100 * row.accuracy:>10.2f}{100 * row.ci95:>8.2f}{1000 * row.seconds_per_query:>10.3f}"
                yield f"{'':<14}{title:<38}{numbers}"
    yield "* how uploads are recognised with this checkpoint"


def _open_set(found: OpenSet | None) -> Iterator[str]:
    if found is None:
        yield "Two classes or more, each of two groups that are not the other's, are needed to ask about strangers."
        return
    yield (
        f"Half of the classes unknown ({found.ways} enrolled from {found.shots} pictures): AUROC {found.auroc:.3f}, "
        f"TPR at 5 % FPR {found.tpr_at_fpr5:.3f}, OSCR {found.oscr:.3f}; probability's ECE {found.ece:.3f}"
    )


def _drawing(found: OpenSet | None, name: str) -> Callable[[Path], None] | None:
    from embeddings.evaluation import open_set

    if found is None:
        return None
    title = f"{name}, ECE {found.ece:.3f}"
    return lambda folder: open_set.plot(found, folder / "reliability.png", title=title)
