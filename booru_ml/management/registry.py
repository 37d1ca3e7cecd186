"""The verbs of ``booru_model`` that change what the board knows or which model speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from booru_ml import intake, promotions, registry
from booru_ml.checkpoint import Checkpoint
from booru_ml.errors import BooruError, InvalidInput
from booru_ml.management.base import BooruCommand
from booru_ml.models import ModelVersion, Promotion
from booru_ml.progress import track

if TYPE_CHECKING:
    from booru_ml.checkpoint.shelf import Kept

NAMED = 6
"""Files left behind that are told by name: a repository may hold thousands."""


class RegistryVerbs(BooruCommand, ABC):
    """Added to the command's other verbs."""

    def add_registry_verbs(self, verbs: Any) -> None:
        add = verbs.add_parser("add", help="register a folder: copy it, compare its sums, run its network")
        add.add_argument("dir", type=folder, metavar="DIR")
        pull = verbs.add_parser("pull", help="register from a folder, an address or the Hugging Face hub")
        pull.add_argument(
            "source", type=named, metavar="SOURCE", help="a folder, https://…/model.tar.gz, or hf:OWNER/NAME"
        )
        pull.add_argument("--revision", default="", metavar="COMMIT", help="of the hub: the full commit hash")
        pull.add_argument("--sha256", default="", metavar="SUM", help="of an address: the archive's sum")
        pull.add_argument("--name", default="", help="of an address: how the checkpoint is called")
        promote = verbs.add_parser("promote", help="put a registered model in force; workers go over by themselves")
        promote.add_argument("model", metavar="MODEL", help="its version, or the beginning of it")
        promote.add_argument("--tasks", nargs="+", default=[], metavar="TASK", help="default: all that it has")
        promote.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
        rollback = verbs.add_parser("rollback", help="take the last promotion back, with its suggestions")
        rollback.add_argument("--keep-suggestions", action="store_true", help="leave what it said until it is replaced")
        for verb in (promote, rollback):
            verb.add_argument("--no-reanalyse", action="store_true", help="leave old posts as they are")
            verb.add_argument("--note", default="", help="why, for the history")
            verb.add_argument("--by", default="", metavar="USER", help="who, for the history")
        verbs.add_parser("history", help="who promoted and rolled back what, and when")

    def _add(self, dir: Path, **_: Any) -> None:
        _find_table()
        self._registered(*intake.add(dir))

    def _pull(self, source: str, revision: str, sha256: str, name: str, **_: Any) -> None:
        _find_table()
        if source.startswith("hf:"):
            self._registered(*intake.pull_from_hub(source.removeprefix("hf:"), revision=revision))
        elif "://" in source:
            self._registered(*intake.pull_from_url(source, sha256=sha256, name=name))
        else:
            self._registered(*intake.add(Path(source)))

    def _promote(self, model: str, tasks: list[str], dry_run: bool, no_reanalyse: bool, note: str, by: str) -> None:
        candidate = promotions.find(model)
        before = registry.look()
        taken, selection = promotions.plan(candidate, tasks)
        for task in taken:
            self.stdout.write(f"  {task}: {_speaker(before, task) or 'nobody'} → {candidate}")
        if promotions.guesses(candidate, taken):
            self.stdout.write(self.style.WARNING(f"  {promotions.GUESSES}"))
        if dry_run:
            self.stdout.write(f"Nothing was changed; the pipeline would be {selection.version}.")
            return
        row = promotions.promote(
            version=candidate.version, tasks=tasks, actor=_person(by), note=note, reanalyse=not no_reanalyse
        )
        self._in_force(row, reanalyse=not no_reanalyse)

    def _rollback(self, keep_suggestions: bool, no_reanalyse: bool, note: str, by: str) -> None:
        row = promotions.rollback(
            actor=_person(by), note=note, reanalyse=not no_reanalyse, withdraw=not keep_suggestions
        )
        self._in_force(row, reanalyse=not no_reanalyse)
        if not keep_suggestions:
            for _ in track(iter(lambda: promotions.withdraw(row, seconds=1.0), True), "Withdrawing suggestions"):
                pass
            row.refresh_from_db()
            self.stdout.write(f"{row.withdrawn:,} suggestions of {row.candidate} were withdrawn; decisions stay.")

    def _history(self) -> None:
        for row in Promotion.objects.select_related("candidate", "actor"):
            who = row.actor.get_username() if row.actor else "somebody with a shell"
            note = f" ({row.note})" if row.note else ""
            self.stdout.write(f"{row.created_at:%Y-%m-%d %H:%M}  {row}, by {who}{note}")

    def _registered(self, row: ModelVersion, kept: Kept) -> None:
        self.describe(kept.checkpoint)
        if named := sorted((name for name in kept.left if not Path(name).name.startswith(".")), key=_outermost):
            few = ", ".join(repr(name[:60]) for name in named[:NAMED])
            more = f" and {len(named) - NAMED:,} more" if named[NAMED:] else ""
            self.stdout.write(f"  left behind, as nothing reads it: {few}{more}")
        if "card.md" not in kept.checkpoint.sums:
            self.stdout.write(self.style.WARNING("  no card.md: nobody will know its data, licence and limits"))
        self.stdout.write(self.style.SUCCESS(f"  registered; put it in force: manage.py booru_model promote {row}"))

    def _in_force(self, row: Promotion, *, reanalyse: bool) -> None:
        self.stdout.write(self.style.SUCCESS(f"{row}. In force now: {row.pipeline_version}"))
        self.stdout.write("Workers go over between two batches, as soon as each has loaded it (booru_status).")
        if reanalyse:
            self.stdout.write("Old posts are looked at in the background (booru_backfill --status).")

    @abstractmethod
    def describe(self, checkpoint: Checkpoint) -> None:
        """Says on the terminal what the checkpoint is."""


def named(text: str) -> str:
    """An argument that says something: a shell's variable that is not set would mean the current folder."""
    if not text:
        raise ArgumentTypeError("it is empty")
    return text


def folder(text: str) -> Path:
    return Path(named(text))


def _outermost(name: str) -> tuple[int, str]:
    return name.count("/"), name


def _find_table() -> None:
    """Fails where no model can be noted: before anything is fetched and run, not after it."""
    ModelVersion.objects.exists()


def _speaker(selection: registry.Selection, task: str) -> str:
    try:
        return next((item.version for item in selection.checkpoints if item.gives(task)), "")
    except BooruError as error:
        return error.message


def _person(name: str) -> Any:
    from django.contrib.auth import get_user_model

    if not name:
        return None
    users = get_user_model()
    found = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()
    if found is None:
        raise InvalidInput(f"There is no user {name!r}.")
    return found
