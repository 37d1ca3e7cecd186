"""``manage.py booru_train``: backbones taught, and heads fitted on them, with folders of pictures."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from booru_ml.management.base import BooruCommand
from booru_ml.training import arguments

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.training.manifest import Sample

THIRDS = ("upper", "middle", "lower")
STATISTICS = ["moments", "correlations"]
NETWORKS = {
    "encoder": "a backbone that tells drawn characters apart",
    "characters": "a closed set of characters",
    "artist": "a closed set of artists",
    "quality": "grades of drawings in their order",
    "rating": "the four ratings in their order",
    "tags": "any tags of a picture at once",
}
COLUMNS = {"characters": "character"}


class Command(BooruCommand):
    help = "Trains networks, or fits heads on a frozen one and writes them into its folder (booru-ml[train])."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
        check = tasks.add_parser("check", help="what folders of pictures hold, and what is wrong with them")
        check.add_argument("--task", dest="asked", choices=NETWORKS, default="characters", help="default: %(default)s")
        arguments.add_folders(check, "--data", "pictures, by manifest or subfolder")
        arguments.add_folders(check, "--faces", "as --data, for an encoder: the first face of each picture")
        arguments.add_data(check)
        encoder = tasks.add_parser("encoder", help="a backbone that tells drawn characters apart")
        arguments.add_folders(encoder, "--data", "pictures, by manifest column character or subfolder")
        arguments.add_folders(encoder, "--faces", "as --data, but the first face of each picture, by column faces")
        arguments.add_folders(encoder, "--test", "other characters, played with after each epoch; the best epoch stays")
        arguments.add_network(encoder, encoder=True)
        for name, what in NETWORKS.items():
            if name not in ("encoder", "quality"):
                task = tasks.add_parser(name, help=what)
                arguments.add_folders(task, "--data", f"pictures, by manifest column {COLUMNS.get(name, name)}")
                arguments.add_network(task)
        self._add_quality(tasks.add_parser("quality", help=f"{NETWORKS['quality']}; --into fits a head only"))
        self._add_whitening(tasks.add_parser("whitening", help="an embedding or style head, whitened"))
        self._add_faces(tasks.add_parser("faces", help="a heat-map head that finds faces"))
        self._add_average(tasks.add_parser("average", help="one encoder out of several that began alike"))
        for name in ("whitening", "faces"):
            task = tasks.choices[name]
            task.add_argument("--into", type=Path, required=True, metavar="DIR", help="the checkpoint to change")
            task.add_argument("--dry-run", action="store_true", help="show the figures, change nothing")
            task.add_argument("--threads", type=int, default=1)

    def _add_whitening(self, task: ArgumentParser) -> None:
        task.add_argument("--head", default="embedding", help="name of the head; default: %(default)s")
        task.add_argument("--kind", choices=("embedding", "style"), default="embedding")
        arguments.add_folders(task, "--data", "pictures to fit on")
        arguments.add_folders(
            task, "--faces", "as --data, but the first face of each picture, by the manifest's column faces"
        )
        arguments.add_folders(task, "--test", "pictures to test on only")
        task.add_argument("--label", default="character", help="manifest column of the classes; default: %(default)s")
        task.add_argument(
            "--group", default="group", help="manifest column of what support and query never share; default: group"
        )
        task.add_argument("--test-label", metavar="LABEL", help="the classes of --test; default: as --label")
        task.add_argument("--test-group", metavar="GROUP", help="the groups of --test; default: as --group")
        task.add_argument("--unlabelled", action="store_true", help="undo all that varies, not only within classes")
        task.add_argument("--most", type=int, help="pictures of each class; default: all")
        task.add_argument("--stages", type=int, nargs="*", default=[0, 1, 2, 3, 4], help="none: pooled features")
        task.add_argument("--regions", nargs="*", choices=THIRDS, default=[], help="thirds whose means join in")
        task.add_argument(
            "--statistics",
            nargs="+",
            choices=STATISTICS,
            default=STATISTICS[:1],
            help="what it takes of feature maps: means and deviations of channels, correlations of each two, or both",
        )
        task.add_argument(
            "--widest",
            type=int,
            default=128,
            help="channels whose correlations it takes at most, wider maps are mixed down; default: %(default)s",
        )
        task.add_argument("--dim", type=int, default=256, help="length of the vector; default: %(default)s")
        task.add_argument("--shrink", type=float, help="0 full whitening, 1 none; default: by cross-validation")

    def _add_quality(self, task: ArgumentParser) -> None:
        arguments.add_folders(task, "--data", "drawings by column quality; with --into by finish, artist, character")
        arguments.add_network(task)
        head = task.add_argument_group("a head on a frozen backbone")
        head.add_argument("--into", type=Path, metavar="DIR", help="the checkpoint to fit it into")
        arguments.add_folders(head, "--finished", "drawings that are all finished, by column character or subfolder")
        head.add_argument("--head", default="quality", help="name of the head; default: %(default)s")
        head.add_argument("--inputs", nargs="+", default=["pooled", "style"], help="vectors that it sees")
        head.add_argument("--most", type=int, help="pictures of each --data folder, evenly; default: all")
        head.add_argument("--ridge", type=float, default=1e-3, help="pull of the weights to 0; default: %(default)s")

    def _add_faces(self, task: ArgumentParser) -> None:
        arguments.add_folders(task, "--data", "drawings with their faces in the manifest's column faces")
        arguments.add_folders(task, "--crops", "pictures that a face fills, by manifest column character or subfolder")
        task.add_argument("--head", default="faces", help="name of the head; default: %(default)s")
        task.add_argument("--most", type=int, help="drawings of each --data folder, evenly; default: all")
        task.add_argument("--scenes", type=int, default=3000, help="scenes to compose; default: %(default)s")
        task.add_argument("--epochs", type=int, default=14, help="default: %(default)s")
        task.add_argument("--stages", type=int, nargs="+", default=[2, 3, 4], help="feature maps that it sees")
        task.add_argument("--hidden", type=int, nargs="+", default=[48, 48], help="widths of its layers")

    def _add_average(self, task: ArgumentParser) -> None:
        task.add_argument(
            "--base",
            type=Path,
            action="append",
            required=True,
            metavar="DIR",
            help="an encoder; two or more, all taught from the same weights",
        )
        task.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to write")

    def handle(self, *args: Any, task: str, **options: Any) -> None:
        try:
            import torch

            torch.set_num_threads(options.get("threads") or 1)
            if task == "check":
                self._check(options["asked"], options)
            elif task == "average":
                self._average(options["base"], options["out"])
            elif options.get("into") is not None:
                from booru_ml.checkpoint import Checkpoint

                known = inspect.signature(getattr(self, f"_{task}")).parameters
                told = options if task != "quality" else {k: v for k, v in options.items() if k in known}
                getattr(self, f"_{task}")(Checkpoint.load(options["into"]), **told)
            elif options["dry_run"]:
                self._check(task, options)
            else:
                self._network(task, options)
        except ImportError as error:
            raise CommandError(f"{error}. Install booru-ml[train] for this.") from error

    def _check(self, task: str, options: dict[str, Any]) -> None:
        from booru_ml.training import orders

        for line in orders.check(arguments.orders(task, options)[0]).lines:
            self.stdout.write(line)

    def _network(self, task: str, options: dict[str, Any]) -> None:
        from booru_ml.training import orders

        wanted = arguments.orders(task, options)
        # Of several processes the first one has figures to compare.
        rows = [row for order in wanted if (row := orders.carry_out(order, self.stdout.write))]
        if len(rows) > 1:
            orders.compare(options["out"], rows, self.stdout.write)

    def _average(self, bases: list[Path], out: Path) -> None:
        from booru_ml.checkpoint import Checkpoint
        from booru_ml.training.averaging import average

        written = average([Checkpoint.load(base) for base in bases], out)
        self.stdout.write(f"{written.version} written into {written.path}. Fit its heads next.")

    def _whitening(self, checkpoint: Checkpoint, *, head: str, kind: str, dry_run: bool, **options: Any) -> None:
        from booru_ml.training import vectors

        said: dict[str, Any] = {"kind": kind, "dim": options["dim"], "projected": True}
        if options["stages"]:
            said |= {"stages": options["stages"], "regions": options["regions"]}
        if options["statistics"] != STATISTICS[:1]:
            said |= {"statistics": options["statistics"], "widest": options["widest"]}
        declared = vectors.declare(head, said)
        to_fit = self._to_fit(options)
        if not to_fit:
            raise CommandError("Name at least one folder after --data or --faces.")
        module = vectors.untaught(checkpoint, declared, to_fit)
        sets = vectors.look(checkpoint, to_fit, module)
        if options["unlabelled"]:
            sets = [vectors.unlabelled(one) for one in sets]
        shrink = options["shrink"]
        if shrink is None and options["unlabelled"]:
            raise CommandError("Without labels nothing can be tested; give --shrink.")
        if shrink is None:
            found = list(self._told(vectors.trials(sets, dim=options["dim"])))
            shrink = vectors.best_shrink(found)
            self.stdout.write(f"chosen: shrinkage {shrink}")
        tested = vectors.look(checkpoint, self._to_test(options), module)
        list(self._told(vectors.tests(sets, tested, dim=options["dim"], shrink=shrink)))
        tensors = vectors.head(declared, module, sets, shrink=shrink)
        if not dry_run:
            self._write(checkpoint, head, said, tensors)

    def _told(self, trials: Any) -> Any:
        for trial in trials:
            self.stdout.write(str(trial))
            yield trial

    def _to_fit(self, options: dict[str, Any]) -> dict[str, list[Sample]]:
        from booru_ml.training import manifest

        sets = {}
        names = manifest.called((*options["data"], *options["faces"]))
        for faces in (False, True):
            for folder in options["faces" if faces else "data"]:
                found = manifest.read(
                    folder, label=options["label"], group=options["group"], split="train", faces=faces
                )
                kept = manifest.at_most(found, options["most"]) if options["most"] else found
                sets[f"{names[folder]}, faces" if faces else names[folder]] = kept
        return sets

    def _to_test(self, options: dict[str, Any]) -> dict[str, list[Sample]]:
        from booru_ml.training import manifest

        label, group = (options[f"test_{name}"] or options[name] for name in ("label", "group"))
        return {
            name: manifest.read(folder, label=label, group=group, split="test")
            for folder, name in manifest.called(options["test"]).items()
        }

    def _quality(
        self,
        checkpoint: Checkpoint,
        *,
        data: list[Path],
        finished: list[Path],
        head: str,
        inputs: list[str],
        most: int | None,
        ridge: float,
        dry_run: bool,
    ) -> None:
        from booru_ml.training import manifest, quality

        if not data:
            raise CommandError("Name at least one folder of graded drawings after --data.")
        found = []
        for folder in data:
            graded = quality.drawings(folder)
            found += manifest.evenly(graded, most) if most else graded
        for folder in finished:
            found += quality.finished(folder, most=max(1, len(found) // 8))
        looks = quality.look(checkpoint, found, inputs=inputs)
        result = quality.cross_validate(looks, ridge=ridge)
        self.stdout.write("Artists and characters that the head was not fitted on:")
        for name, agreed in result.held_out.items():
            same = f"  same grade as without: {result.steady[name]:.3f}" if name in result.steady else ""
            self.stdout.write(f"  {name}: {agreed}{same}")
        for artist, share in result.finished.items():
            self.stdout.write(f"  finished ones of {artist} called finished: {share:.3f}")
        said, tensors, labels = quality.head(head, quality.train(looks, ridge=ridge), inputs)
        if not dry_run:
            self._write(checkpoint, head, said, tensors, labels=labels)

    def _faces(
        self,
        checkpoint: Checkpoint,
        *,
        head: str,
        stages: list[int],
        hidden: list[int],
        dry_run: bool,
        **options: Any,
    ) -> None:
        from booru_ml.checkpoint import Head, HeadKind
        from booru_ml.training import faces
        from booru_ml.training.heatmap import CHANNELS, Recipe

        material = faces.gather(options["data"], options["crops"], most=options["most"])
        seen = faces.look(checkpoint, material, count=options["scenes"], stages=stages)
        channels = {stage: int(maps.shape[1]) for stage, maps in zip(stages, seen["scenes"].maps, strict=True)}
        declared = Head(head, HeadKind.HEATMAP, stages=tuple(stages), hidden=tuple(hidden), channels=CHANNELS)
        module = faces.train(declared, seen["scenes"], channels=channels, recipe=Recipe(epochs=options["epochs"]))
        threshold, figures = faces.examine(module, seen)
        self.stdout.write(f"Characters that the head was not fitted on, score {threshold:g} or more:")
        for name, found in figures.items():
            self.stdout.write(f"  {name}: {found}")
        said, tensors = faces.head(head, module, stages, hidden)
        if not dry_run:
            settings = asdict(checkpoint.faces) | {"detector": "heatmap", "threshold": threshold}
            self._write(checkpoint, head, said, tensors, faces=settings)

    def _write(self, checkpoint: Checkpoint, head: str, said: dict[str, Any], tensors: Any, **more: Any) -> None:
        from booru_ml.nn.verification import verify
        from booru_ml.nn.writing import set_heads

        def check(written: Checkpoint) -> None:
            verify(written)

        written = set_heads(checkpoint, {head: said}, tensors, check=check, **more)
        self.stdout.write(self.style.SUCCESS(f"{written.version}: head {head} written into {written.path}"))
        if stale := [other.name for other in written.heads.values() if head in other.inputs]:
            self.stdout.write(self.style.WARNING(f"These see it, so fit them again: {', '.join(stale)}"))
