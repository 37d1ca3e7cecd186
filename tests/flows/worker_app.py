"""The plugin's Celery app as it is, with a small engine and a ledger in the place of networks and sinks.

The engine obeys the picture's name for a colour: a red one kills its process, a blue one takes a while.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

import booru_ml.conf
from booru_ml.broker import app  # noqa: F401 - what ``celery -A`` looks for
from booru_ml.types import Analysis, Picture
from tests.booru_ml.pipeline.fakes import FakeEngine

RED, BLUE = (255, 0, 0), (0, 0, 255)

booru_ml.conf.SINKS = ("tests.flows.worker_app.ledger",)


def obey(pictures: Sequence[Picture]) -> None:
    for picture in pictures:
        colour = tuple(int(value) for value in picture.frames[0][0, 0])
        if colour == RED:
            os.kill(os.getpid(), signal.SIGKILL)
        if colour == BLUE:
            time.sleep(0.15)


def engine(*_: object) -> FakeEngine:
    return FakeEngine(obey)


def ledger(analyses: Sequence[Analysis]) -> None:
    """One row per stored analysis, in the transaction that marks the jobs done."""
    from django.contrib.admin.models import LogEntry

    user = booru_user()
    for analysis in analyses:
        LogEntry.objects.create(user_id=user, object_id=str(analysis.job_id), action_flag=1, change_message="{}")


def booru_user() -> int:
    from django.contrib.auth import get_user_model

    return int(get_user_model().objects.order_by("pk").values_list("pk", flat=True)[0])


def install() -> None:
    from booru_ml.pipeline import worker

    worker.build_engine = engine


from celery import signals  # noqa: E402


@signals.worker_init.connect
def _install(**_: object) -> None:
    install()
