"""What every command of ours has in common: what people can mend is told in a sentence, not by a traceback."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError

from booru_ml.errors import BooruError


class BooruCommand(BaseCommand):
    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except BooruError as error:
            raise CommandError(error.message) from error
        except (OperationalError, ProgrammingError, InterfaceError) as error:
            if said := unmigrated():
                raise CommandError(said) from error
            if isinstance(error, ProgrammingError):
                raise  # The statement itself is wrong, which is a mistake of ours.
            raise CommandError(f"The database cannot do this now: {str(error).strip()}") from error


def unmigrated() -> str:
    """What to do about a database that lacks our tables; empty where it has them or does not answer."""
    from booru_ml.health import unapplied

    try:
        missing = unapplied()
    except (DatabaseError, InterfaceError):
        return ""
    return f"The database lacks tables of {', '.join(missing)}. Run manage.py migrate first." if missing else ""
