"""``booru_train`` as tests call it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from django.core.management import call_command


def train(task: str, data: Path, *args: object) -> str:
    """What a task says while it teaches a network."""
    out = StringIO()
    call_command("booru_train", task, "--data", str(data), *map(str, args), stdout=out, no_color=True)
    return out.getvalue()
