"""``booru_calibrate FOLDER``: teaches a checkpoint what its similarities mean, from labelled pictures."""

from __future__ import annotations

import io
import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from booru_ml.conf import CHECKPOINTS
from booru_ml.disk import beside, whole
from booru_ml.evaluation.task import positive
from booru_ml.management.base import BooruCommand
from booru_ml.progress import track
from embeddings.methods import METHODS
from embeddings.models import Vector

if TYPE_CHECKING:
    from booru_ml.nn.engine import Engine
    from booru_ml.types import Finding, PixelArray
    from embeddings.chances import Calibration
    from embeddings.fitting import Trial
    from embeddings.games import Labelled

BATCH = 16
COPIES = 200
SETTINGS = ((1, 1), (1, 5), (8, 1), (8, 5), (20, 5))


class Command(BooruCommand):
    help = (
        "Fits booru.recognition of a checkpoint: when a picture is near enough to an enrolled subject to be named. "
        "Use pictures that the encoder was not trained on."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dir", type=Path, nargs="?", default=CHECKPOINTS / "booru-lite", metavar="FOLDER")
        parser.add_argument(
            "--characters",
            type=Path,
            nargs="+",
            default=[],
            metavar="DIR",
            help="class subfolders, or a manifest.csv with path, character and perhaps group and split",
        )
        parser.add_argument(
            "--artists", type=Path, nargs="+", default=[], metavar="DIR", help="as above, with path, artist, character"
        )
        parser.add_argument("--split", help="only rows of this split, where a manifest has the column")
        parser.add_argument("--games", type=positive, default=200, help="for each size of gallery (default: 200)")
        parser.add_argument(
            "--method", choices=[item.name for item in METHODS], help="how pictures are compared; default: the best"
        )
        parser.add_argument("--dry-run", action="store_true", help="report, but write nothing")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there, too")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["characters"] and not options["artists"]:
            raise CommandError("Name at least one folder after --characters or --artists.")
        if options["json"] and options["json"].is_dir():
            raise CommandError(f"{options['json']} is a folder; name a file to write after --json.")
        self._calibrate(options)

    def _calibrate(self, options: dict[str, Any]) -> None:
        from booru_ml.checkpoint import Checkpoint
        from booru_ml.nn.engine import Engine
        from booru_ml.pipeline.parts import serving
        from embeddings import fitting, games

        checkpoint = Checkpoint.load(options["dir"])
        engine = Engine([checkpoint], **serving())
        sets: dict[str, list[tuple[str, Labelled]]] = {}
        twin: float | None = None
        for folder in options["characters"]:
            found, bar = self._look(engine, folder, "character", options["split"])
            twin = max(bar, twin or 0.0)
            for kind in (Vector.Kind.PICTURE, Vector.Kind.FACE):
                if kind in found and len(games.playable(found[kind])) > 2:
                    sets.setdefault(kind.value, []).append((folder.name, found[kind]))
        for folder in options["artists"]:
            found, _ = self._look(engine, folder, "artist", options["split"])
            if Vector.Kind.STYLE in found and len(games.playable(found[Vector.Kind.STYLE])) > 2:
                sets.setdefault(Vector.Kind.STYLE.value, []).append((folder.name, found[Vector.Kind.STYLE]))
        if not sets:
            raise CommandError("Nothing can be played: a folder needs three classes with pictures of two groups each.")
        said: dict[str, dict[str, Any]] = {}
        trials: list[dict[str, Any]] = []
        report: list[dict[str, Any]] = []
        for space, named in sets.items():
            best = fitting.fit([one for _, one in named], games=options["games"], twin=twin, method=options["method"])
            trials += self._trials(space, best.trials)
            said[space] = asdict(best.calibration)
            report += self._report(space, named, best.calibration)
        self.stdout.write(json.dumps(said, indent=2))
        if options["json"]:
            table = {"recognition": said, "methods": trials, "results": report}
            with whole(options["json"]) as partial:
                partial.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        if not options["dry_run"]:
            _write(checkpoint.path, said)
            self.stdout.write(f"Written; the checkpoint is {Checkpoint.load(checkpoint.path).version} now.")

    def _look(
        self, engine: Engine, folder: Path, label: str, split: str | None
    ) -> tuple[dict[Vector.Kind, Labelled], float]:
        """What the engine sees in a folder, by kind of vector, and the bar from which two files are one picture."""
        import numpy as np

        from booru_ml.nn.survey import read_picture
        from booru_ml.training import manifest
        from embeddings import fitting, games

        samples = manifest.read(folder, label=label, split=split)
        findings: list[Finding] = []
        for start in track(range(0, len(samples), BATCH), description=f"looking at {folder.name}"):
            findings += _infer(engine, [read_picture(item.path) for item in samples[start : start + BATCH]])
        every = {
            Vector.Kind.PICTURE: [(i, item.embedding) for i, item in enumerate(findings)],
            Vector.Kind.STYLE: [(i, item.style) for i, item in enumerate(findings) if item.style.size],
            Vector.Kind.FACE: [(i, item.faces[0].embedding) for i, item in enumerate(findings) if len(item.faces) == 1],
        }
        found = {
            kind: games.normalised(
                np.stack([vector for _, vector in rows]),
                [samples[i].label for i, _ in rows],
                [samples[i].group for i, _ in rows],
            )
            for kind, rows in every.items()
            if rows
        }
        some = range(0, len(samples), max(1, len(samples) // COPIES))
        copies: list[Finding] = []
        for start in range(0, len(some), BATCH):
            copies += _infer(engine, [_copy(read_picture(samples[i].path)) for i in some[start : start + BATCH]])
        bar = fitting.twin_bar(found[Vector.Kind.PICTURE].vectors[list(some)], np.stack([c.embedding for c in copies]))
        return found, bar

    def _trials(self, kind: str, trials: Sequence[Trial]) -> list[dict[str, Any]]:
        self.stdout.write(f"{kind}: OSCR of each method in the same games  one look  several looks")
        for trial in trials:
            name = trial.method if trial.sharpness is None else f"{trial.method} {trial.sharpness:g}"
            self.stdout.write(f"  {name:<42} {trial.one_look:>9.3f} {trial.several_looks:>14.3f}")
        return [{"kind": kind, **asdict(trial)} for trial in trials]

    def _report(self, kind: str, named: list[tuple[str, Labelled]], fitted: Calibration) -> list[dict[str, Any]]:
        from embeddings import fitting, games, recognition

        least = recognition.bar(fitted)
        rows = []
        self.stdout.write(f"{kind}: shares of queries; named from a probability of {least:.3g}")
        self.stdout.write("set                  subjects×pictures  top-1  top-3  unknown  wrong  stranger named  ECE")
        for name, one in named:
            for ways, shots in SETTINGS:
                if ways < len(games.playable(one)):
                    got = fitting.measure(one, fitted, ways=ways, shots=shots, least=least)
                    rows.append({"kind": kind, "set": name, **asdict(got)})
                    self.stdout.write(
                        f"{name[:20]:<20} {ways:>8}×{shots:<8} {got.top1:>6.3f} {got.top3:>6.3f} {got.unknown:>8.3f}"
                        f" {got.wrong:>6.3f} {got.false_known:>15.3f} {got.ece:>4.3f}"
                    )
        return rows


def _infer(engine: Engine, pixels: Sequence[PixelArray]) -> list[Finding]:
    from booru_ml.types import Picture

    return engine.infer(
        [Picture((frame,), frame.shape[1], frame.shape[0], 1, "", "") for frame in pixels],
    )


def _copy(pixels: PixelArray) -> PixelArray:
    """The same picture as another site would serve it: seven tenths of the size, JPEG at quality 60."""
    import numpy as np
    from PIL import Image

    small = Image.fromarray(pixels)
    small = small.resize((max(1, small.width * 7 // 10), max(1, small.height * 7 // 10)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file).convert("RGB"))


def _write(folder: Path, said: dict[str, dict[str, Any]]) -> None:
    """Into ``config.json``, beside what it says already; then the sums. Raises ``CheckpointError``."""
    from booru_ml.checkpoint import FORMAT, pin
    from booru_ml.checkpoint.files import CONFIG, Folder

    settings = Folder(folder).json(CONFIG)
    booru = settings.setdefault("booru", {"format": FORMAT})
    booru["recognition"] = booru.get("recognition", {}) | said
    with beside(folder, copied=True) as draft:
        (draft / CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        pin(draft)
