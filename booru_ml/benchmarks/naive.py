"""The naive way at its best: a Celery task per picture, plain Pillow, eager torch on one picture with one thread."""

from __future__ import annotations

from typing import Any

import numpy as np
from celery import Celery, signals
from django.db import connections, transaction

from booru_ml import conf
from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.types import Analysis, Picture

QUEUE = "booru_ml_naive"
TASK = "booru_ml.naive"
_engine: Any = None


def app() -> Celery:
    made = Celery("booru_ml_naive", broker=config().BROKER_URL, set_as_current=False, fixups=[])
    made.conf.update(task_default_queue=QUEUE, task_ignore_result=True, worker_hijack_root_logger=False)
    made.task(name=TASK)(analyse)
    signals.worker_process_init.connect(_load)
    return made


def analyse(job_id: int) -> None:
    """One picture from its file to its stored suggestions, by the same networks and the same sinks."""
    from PIL import Image

    from booru_ml.host.loader import host

    job = AnalysisJob.objects.get(pk=job_id)
    with host().open_picture(job.post_id) as stream:
        image = Image.open(stream).convert("RGB")
    picture = Picture((np.asarray(image),), image.width, image.height, 1, image.format or "", f"{job_id:064x}")
    (finding,) = _engine.infer([picture])
    analysis = Analysis(
        job_id=job.pk,
        post_id=job.post_id,
        pipeline_version=_engine.version,
        sha256=picture.sha256,
        width=picture.width,
        height=picture.height,
        frame_count=1,
        finding=finding,
        refusal=None,
        timings={},
    )
    with transaction.atomic():
        for sink in conf.sinks():
            sink([analysis])
        AnalysisJob.objects.filter(pk=job_id).update(state=AnalysisJob.State.DONE)


def _load(**_: object) -> None:
    global _engine
    from threadpoolctl import threadpool_limits

    from booru_ml.checkpoint import Checkpoint
    from booru_ml.nn import transforms
    from booru_ml.nn.engine import Engine

    transforms.GAP = None  # plain resizing
    connections.close_all()
    checkpoints = [Checkpoint.load(folder) for folder in config().CHECKPOINTS]
    _engine = Engine(checkpoints, runtime="torch", threads=1)
    _engine.warm_up()
    threadpool_limits(1)  # threads of NumPy that are not used would spin beside it
