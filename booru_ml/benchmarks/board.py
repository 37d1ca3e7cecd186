"""The posts of a measurement: uploads over stored pictures, beside earlier posts with results."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management.base import CommandError
from django.db import transaction

from booru_ml import conf
from booru_ml.benchmarks.samples import Posts
from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import outbox
from booru_ml.statements import prepared, slot
from booru_ml.types import Analysis, Finding, FloatArray

EARLIER_POSTS = 3000
TOGETHER = 100
PATIENCE_SECONDS = 300.0

State = AnalysisJob.State


class Board:
    """Each upload is a new post over one of the stored pictures."""

    def __init__(self, maker: Posts, paths: Sequence[Path]) -> None:
        self._maker = maker
        self._noise, self._random = np.random.default_rng(0), random.Random(0)  # noqa: S311 - no secrets
        checkpoints = [Checkpoint.load(folder) for folder in config().CHECKPOINTS]
        self._checkpoint = next((item for item in checkpoints if item.embedding_dim), checkpoints[0])
        self.names = [str(default_storage.save(path.name, ContentFile(path.read_bytes()))) for path in paths]
        """What the storage calls the pictures."""
        self.pictures = list(zip(paths, self.names, strict=True))

    def point(self, name: str | None = None) -> Any:
        """An unsaved post over the picture of this name, or over any."""
        return self._maker.point(name or self._random.choice(self.names))

    def furnish(self, size: int = EARLIER_POSTS) -> list[Any]:
        """Earlier posts with vectors, so that nothing is measured on an empty board; their ids."""
        remember, *_ = conf.sinks()
        ids: list[Any] = []
        while len(ids) < size:
            with transaction.atomic():
                posts = [self.point() for _ in range(min(TOGETHER, size - len(ids)))]
                for post in posts:
                    post.save()
                ids += [post.pk for post in posts]
                remember([self.earlier(post.pk) for post in posts])
        return ids

    def earlier(self, post_id: Any, *, job_id: int = 0) -> Analysis:
        """An analysis with vectors as long as real ones."""
        finding = Finding(
            embedding=self._vector(self._checkpoint.embedding_dim),
            style=self._vector(self._checkpoint.style_dim),
            faces=(),
            scores={},
            embedding_model=self._checkpoint.version,
        )
        return Analysis(
            job_id=job_id,
            post_id=post_id,
            pipeline_version=self._checkpoint.version,
            sha256="",
            width=1,
            height=1,
            frame_count=1,
            finding=finding,
            refusal=None,
            timings={},
        )

    def _vector(self, dim: int | None) -> FloatArray:
        drawn = self._noise.standard_normal(dim or 0, np.float32)
        return drawn / np.float32(np.linalg.norm(drawn) or 1)

    def upload(self, names: Sequence[str], *, queued: bool = True) -> list[int]:
        """Commits posts and their job rows at once, and rings as an upload does; not ``queued``: nobody's work."""
        with transaction.atomic():
            jobs = []
            for name in names:
                post = self.point(name)
                post.save()
                job = outbox.enqueue(post)
                if job is None:
                    raise CommandError(f"The board wants no analysis of {name}.")
                jobs.append(job.pk)
            if not queued:
                AnalysisJob.objects.filter(pk__in=jobs).update(state=State.RUNNING)
        return jobs

    def wait(self, jobs: Sequence[int], check: Callable[[], None], *, least: float = 0, poll: float = 0.05) -> None:
        """Until all are done, which takes ``least`` seconds at any rate: till then the database is left alone. It is
        asked every ``poll`` seconds while all are missing, more often the fewer are left.

        Raises ``CommandError`` with what became of them where they are not, in time.
        """
        time.sleep(least)
        patience = time.monotonic() + PATIENCE_SECONDS
        # One row at a time: what asks often does it on cores that are measured.
        finished = prepared(AnalysisJob.objects.filter(pk=slot(AnalysisJob, "id"), state=State.DONE).values_list("pk"))
        for number, job in enumerate(jobs):
            while not finished.rows(id=job):
                check()
                if time.monotonic() > patience:
                    rows = AnalysisJob.objects.filter(pk__in=jobs).exclude(state=State.DONE)
                    states = list(rows.values_list("state", "code", "message")[:5])
                    raise CommandError(f"{rows.count()} of {len(jobs)} pictures are not done: {states}")
                time.sleep(max(min(poll, 0.005), poll * (1 - number / len(jobs))))

    def clear(self, jobs: Sequence[int]) -> None:
        """Takes the posts of these jobs away, and all that hangs on them."""
        self._maker.model._base_manager.filter(booru_jobs__in=jobs).delete()
