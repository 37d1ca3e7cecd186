"""Analyses of pictures that their posts do not show any more: stored late, they would undo the newer picture's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db.models import QuerySet

from booru_ml.conf import post_model
from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob
from booru_ml.pipeline.outbox import database
from booru_ml.statements import kept, slots


def overtaken(jobs: Sequence[AnalysisJob]) -> set[int]:
    """Ids of those whose posts show another picture by now that has a job of its own.

    Which content is the present one the post says, for its first picture may have come back.
    """
    known = set(_contents(database()).rows(post_id=[job.post_id for job in jobs]))
    doubtful = [job for job in jobs if any(pk == job.post_id and key != job.content_key for pk, key in known)]
    if not doubtful:
        return set()
    model = apps.get_model(post_model())
    posts = model._base_manager.in_bulk([job.post_id for job in doubtful])
    present = {pk: host().content_key(post) for pk, post in posts.items()}
    answered = {pk for pk, key in present.items() if (pk, key) in known}
    return {job.pk for job in doubtful if job.post_id in answered and present[job.post_id] != job.content_key}


@kept
def _contents(using: str) -> QuerySet[Any]:
    jobs = AnalysisJob.objects.using(using).filter(post_id__in=slots(AnalysisJob, "post_id"))
    return jobs.order_by().values_list("post_id", "content_key")
