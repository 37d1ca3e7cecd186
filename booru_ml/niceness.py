"""Standing back from the processor, so that whatever else needs a core goes first."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def stand_back() -> None:
    """This process, and what it starts, takes what others leave over."""
    os.nice(19)
    share_with_session()


def share_with_session() -> None:
    """Makes the session that this process leads as nice as the process is.

    A kernel that shares cores out by sessions (``autogroup``) compares niceness within a session only: by itself it
    would change nothing beside workers that were started elsewhere, and a new session begins without any.
    """
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    if niceness > 0 and os.getsid(0) == os.getpid():
        with suppress(OSError):  # No Linux, or one that knows no such thing.
            Path("/proc/self/autogroup").write_text(str(niceness))
