"""What a process and all its descendants use, read from Linux' ``/proc``."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def pids(root: int) -> list[int]:
    """``root`` and its living descendants."""
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        found.append(pid)
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                pending += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(root: int) -> float:
    """Processor time so far, that of descendants that have ended included."""
    ticks = 0
    for pid in pids(root):
        with suppress(OSError):
            # The name in parentheses may hold anything; user, system and the ended children's times are fields 14–17.
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS


def pss_mib(root: int) -> float:
    """Memory in MiB, each page shared by n processes counted as one n-th."""
    kib = 0
    for pid in pids(root):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
    return kib / 1024
