"""Looks for newly enrolled characters and artists on posts that were analysed before."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.apps import apps
from django.core.management.base import CommandParser

from booru_ml.conf import post_model
from booru_ml.errors import NotFound
from booru_ml.http import post_key
from booru_ml.management.base import BooruCommand
from booru_ml.progress import progress
from tagging import services
from tagging.models import Suggestion

BATCH = 200


def post_id(text: str) -> Any:
    try:
        return post_key(text)
    except NotFound:
        raise ArgumentTypeError(f"{text!r} is no post id of this board") from None


class Command(BooruCommand):
    help = (
        "Compares posts that were analysed before with the gallery as it is now, so that characters and artists "
        "enrolled since show up among their suggestions. No network runs; decisions stay as they are."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("posts", nargs="*", type=post_id, help="post ids; all posts, newest first, without any")
        parser.add_argument("--limit", type=int, help="only the newest so many, where no post is named")

    def handle(self, *args: Any, posts: list[Any], limit: int | None, **options: Any) -> None:
        rows = apps.get_model(post_model())._base_manager.order_by("-pk").values_list("pk", flat=True)
        wanted = posts or list(rows[:limit])
        open_before, asked = self._open(), 0
        with progress("posts", total=len(wanted)) as advance:
            for start in range(0, len(wanted), BATCH):
                batch = wanted[start : start + BATCH]
                asked += services.resuggest(batch)
                advance(len(batch))
        self.stdout.write(
            f"{asked} of {len(wanted)} posts compared (the others have no vectors of the present checkpoint); "
            f"{self._open() - open_before:+d} open suggestions from the gallery."
        )

    def _open(self) -> int:
        return Suggestion.objects.filter(state=Suggestion.State.SUGGESTED, source=Suggestion.Source.PROTOTYPE).count()
