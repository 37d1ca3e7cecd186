"""A run's curves for TensorBoard, written by whoever adds to them: its own writer leaves that to a thread, where a full
disk ends in a stack trace that nobody can catch."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

FORMAT = "brain.Event:2"


class Events:
    """A new file of events in ``folder``. Raises ``OSError`` where it cannot be written."""

    def __init__(self, folder: Path, *, anew: bool = False) -> None:
        """``anew``: what earlier files of the folder hold is drawn no more."""
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        path = folder / f"events.out.tfevents.{now // 10**9:010}.{socket.gethostname()}.{os.getpid()}.{now}"
        self._records = RecordWriter(path.open("xb"))
        self._add(file_version=FORMAT)
        if anew:
            self._add(step=1, session_log=SessionLog(status=SessionLog.START))

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self._add(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]))

    def close(self) -> None:
        self._records.close()

    def _add(self, **what: Any) -> None:
        self._records.write(Event(wall_time=time.time(), **what).SerializeToString())
        self._records.flush()
