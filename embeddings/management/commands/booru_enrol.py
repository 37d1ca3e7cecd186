"""``booru_enrol NAME --posts 1 2 3``: makes a character or artist known by pictures."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from booru_ml.management.base import BooruCommand
from embeddings import selectors, services
from embeddings.models import Subject


class Command(BooruCommand):
    help = "Makes a character (or artist) known by pictures that show it; a known one gets them added."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the tag; spaces become underscores")
        parser.add_argument(
            "--posts",
            nargs="+",
            required=True,
            metavar="POST",
            help="ids of posts; POST:2 means the face number 2 (from 0, left to right) of that post",
        )
        parser.add_argument("--category", choices=Subject.Category.values, default="character")
        parser.add_argument("--not", action="store_true", dest="negative", help="these pictures do not show it")
        parser.add_argument("--by", metavar="USERNAME", help="on whose behalf (default: nobody's)")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = self._user(options["by"]) if options["by"] else None
        posts = [services.parse_reference(item) for item in options["posts"]]
        if options["negative"]:
            subject = self._known(options["name"], options["category"])
            services.add_support(subject_id=subject.pk, posts=posts, positive=False, actor=actor)
        else:
            subject = services.enrol(name=options["name"], category=options["category"], posts=posts, actor=actor)
        rows = list(selectors.supports(subject.pk))
        shown = sum(row.positive for row in rows)
        waiting = sum(not getattr(row, "live", True) for row in rows)
        self.stdout.write(f"{subject.get_category_display()} {subject.name}: known by {shown} pictures.")
        if len(rows) > shown:
            self.stdout.write(f"{len(rows) - shown} pictures are known not to show it.")
        if waiting:
            self.stdout.write(f"{waiting} of them wait for their analysis and count from then on.")
        if not subject.enabled:
            self.stdout.write("It is disabled, so new pictures are not compared with it.")

    def _user(self, name: str) -> Any:
        model = get_user_model()
        try:
            return model._default_manager.get_by_natural_key(name)
        except model.DoesNotExist:
            raise CommandError(f"There is no user {name}.") from None

    def _known(self, name: str, category: str) -> Subject:
        subject = services.named(name, category)
        if subject is None:
            raise CommandError(f"There is no {category} {name} yet; enrol it by pictures that show it first.")
        return subject
