"""Curves that TensorBoard reads, and that a full disk ends with an error instead of a stack trace."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

import pytest

from tests import disks

pytestmark = pytest.mark.torch


def drawn(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(one.step, pytest.approx(one.value)) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]
    }


def test_a_run_that_goes_on_draws_its_curves_anew(tmp_path: Path) -> None:
    from booru_ml.training.events import Events

    for anew, losses in ((False, (0.9, 0.8, 0.7)), (True, (0.95, 0.85))):
        events = Events(tmp_path, anew=anew)
        for epoch, loss in enumerate(losses, 1):
            events.add_scalar("loss", loss, epoch)
        events.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert drawn(tmp_path) == {"loss": [(1, 0.95), (2, 0.85)]}


def test_a_full_disk_is_told_to_who_adds(capfd) -> None:
    from booru_ml.training.events import Events

    threads = threading.active_count()
    with disks.small_disk("4k") as disk:
        events = Events(disk)
        with pytest.raises(OSError, match="No space left"):
            deque(events.add_scalar("loss", 0.5, epoch) for epoch in range(1000))
        with pytest.raises(OSError, match="No space left"):
            events.close()
    assert threading.active_count() == threads
    assert capfd.readouterr().err == ""
