"""``manage.py booru_train``: backbones taught, and heads fitted on them, with folders of pictures."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from booru_ml.management.base import BooruCommand
from booru_ml.training import arguments

THIRDS = ("upper", "middle", "lower")
STATISTICS = ["moments", "correlations"]
COLOURLESS = ("grey", "lines", "contours")
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
        task.add_argument(
            "--also",
            nargs="+",
            choices=COLOURLESS,
            default=[],
            help="fit on each picture without colour, too: its brightness, or what a pencil or a pen would copy",
        )
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
                self._fit(task, options)
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
        with orders.together():
            # Of several processes the first one has figures to compare.
            rows = [row for order in wanted if (row := orders.carry_out(order, self.stdout.write))]
        if len(rows) > 1:
            orders.compare(options["out"], rows, self.stdout.write)

    def _average(self, bases: list[Path], out: Path) -> None:
        from booru_ml.checkpoint import Checkpoint
        from booru_ml.training.averaging import average

        written = average([Checkpoint.load(base) for base in bases], out)
        self.stdout.write(f"{written.version} written into {written.path}. Fit its heads next.")

    def _fit(self, task: str, options: dict[str, Any]) -> None:
        from booru_ml.training import fits

        if written := fits.fit(task, options, self.stdout.write):
            head = options["head"]
            self.stdout.write(self.style.SUCCESS(f"{written.version}: head {head} written into {written.path}"))
            if stale := [other.name for other in written.heads.values() if head in other.inputs]:
                self.stdout.write(self.style.WARNING(f"These see it, so fit them again: {', '.join(stale)}"))
