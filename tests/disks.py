"""A disk of a few kilobytes, to be filled, locked and given room again."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """Mounted where that is allowed, else the test is skipped; any user may go there."""
    place = Path(tempfile.mkdtemp(prefix="booru-disk-"))
    place.chmod(0o755)
    try:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a small disk cannot be mounted here (needs root)")
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
    finally:
        place.rmdir()


def remount(place: Path, options: str) -> None:
    """``size=1m``: more room; ``ro``: locked."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True, capture_output=True)
