"""``manage.py booru_train``: heads on a checkpoint's frozen backbone, fitted on folders of pictures."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from booru_ml.errors import BooruError

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.training.manifest import Sample


class Command(BaseCommand):
    help = "Fits heads on a checkpoint's frozen backbone and writes them into its folder (booru-ml[train])."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
        whitening = tasks.add_parser("whitening", help="an embedding or style head, whitened within classes")
        whitening.add_argument("--head", default="embedding", help="name of the head; default: %(default)s")
        whitening.add_argument("--kind", choices=("embedding", "style"), default="embedding")
        whitening.add_argument("--label", default="character", help="manifest column of the classes")
        whitening.add_argument("--stages", type=int, nargs="*", default=[0, 1, 2, 3, 4], help="none: pooled features")
        whitening.add_argument("--regions", nargs="*", choices=("upper", "middle", "lower"), default=[])
        whitening.add_argument("--dim", type=int, default=256, help="length of the vector; default: %(default)s")
        whitening.add_argument("--shrink", type=float, help="0 full whitening, 1 none; default: by cross-validation")
        for task in (whitening,):
            task.add_argument(
                "--data", type=Path, action="append", required=True, metavar="DIR", help="may be repeated"
            )
            task.add_argument("--into", type=Path, required=True, metavar="DIR", help="the checkpoint to change")
            task.add_argument("--dry-run", action="store_true", help="show the figures, change nothing")
            task.add_argument("--threads", type=int, default=1)

    def handle(self, *args: Any, task: str, into: Path, threads: int, **options: Any) -> None:
        try:
            import torch

            from booru_ml.checkpoint import Checkpoint

            torch.set_num_threads(threads)
            getattr(self, f"_{task}")(Checkpoint.load(into), **options)
        except BooruError as error:
            raise CommandError(error.message) from error
        except ImportError as error:
            raise CommandError(f"{error}. Install booru-ml[train] for this.") from error

    def _whitening(
        self,
        checkpoint: Checkpoint,
        *,
        head: str,
        kind: str,
        data: list[Path],
        label: str,
        dry_run: bool,
        **options: Any,
    ) -> None:
        from booru_ml.training import vectors

        fitted_on = {"stages": options["stages"], "regions": options["regions"]}
        sets = vectors.look(checkpoint, self._samples(data, label), **fitted_on)
        shrink = options["shrink"]
        if shrink is None:
            found = []
            for trial in vectors.trials(sets, dim=options["dim"]):
                found.append(trial)
                figures = "  ".join(f"{w}-way {s}-shot {value}" for (w, s), value in trial.accuracies.items())
                how = "not whitened" if trial.shrink is None else f"shrinkage {trial.shrink}"
                self.stdout.write(f"{trial.tested}, {how}: {figures}")
            shrink = vectors.best_shrink(found)
            self.stdout.write(f"chosen: shrinkage {shrink}")
        said, tensors = vectors.head(head, kind, sets, dim=options["dim"], shrink=shrink, **fitted_on)
        if not dry_run:
            self._write(checkpoint, head, said, tensors)

    def _samples(self, folders: list[Path], label: str) -> dict[str, list[Sample]]:
        from booru_ml.training import manifest

        return {folder.name: manifest.read(folder, label=label, split="train") for folder in folders}

    def _write(self, checkpoint: Checkpoint, head: str, said: dict[str, Any], tensors: Any, **more: Any) -> None:
        from booru_ml.nn.verification import verify
        from booru_ml.nn.writing import set_heads

        def check(written: Checkpoint) -> None:
            verify(written)

        written = set_heads(checkpoint, {head: said}, tensors, check=check, **more)
        self.stdout.write(self.style.SUCCESS(f"{written.version}: head {head} written into {written.path}"))
