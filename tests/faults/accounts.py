"""What became of every upload: nothing may be lost, nothing done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from booru_ml.models import AnalysisJob
from booru_ml.types import Analysis

State = AnalysisJob.State


def note(analyses: Sequence[Analysis]) -> None:
    """The last sink: one more row for every time a job's results are stored, in the transaction that stores them."""
    from django.contrib.admin.models import LogEntry
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.order_by("pk").values_list("pk", flat=True)[0]
    LogEntry.objects.bulk_create(
        LogEntry(user_id=user, object_id=str(item.job_id), action_flag=1, change_message="{}") for item in analyses
    )


@dataclass(frozen=True)
class Account:
    """``lost``: no job, an unfinished one, or results that are not there. ``doubled``: anything that is there twice."""

    uploaded: int
    done: int
    refused: int
    quarantined: int
    lost: tuple[Any, ...]
    doubled: tuple[Any, ...]

    @property
    def accounted(self) -> int:
        return self.done + self.refused + self.quarantined


def settle(posts: Iterable[Any]) -> Account:
    """Reads the books of these posts."""
    from django.contrib.admin.models import LogEntry

    from embeddings.models import Vector
    from tagging.models import Suggestion

    wanted = set(posts)
    jobs = [row for row in AnalysisJob.objects.values_list("post_id", "pk", "state") if row[0] in wanted]
    states = Counter(state for _, _, state in jobs)
    rows = Counter(post for post, _, _ in jobs)
    stored = Counter(int(pk) for pk in LogEntry.objects.values_list("object_id", flat=True))
    vectors = Counter(Vector.objects.filter(kind="picture").values_list("post_id", flat=True))
    suggested = Counter(Suggestion.objects.values_list("post_id", "category", "name"))
    lost = [f"post {post} has no job" for post in wanted - rows.keys()]
    lost += [f"job {pk} is {state}" for _, pk, state in jobs if state in (State.QUEUED, State.RUNNING)]
    lost += [f"job {pk} is done but stored nothing" for _, pk, state in jobs if state == State.DONE and not stored[pk]]
    lost += [f"post {post} has no vector" for post, _, state in jobs if state == State.DONE and not vectors[post]]
    doubled = [f"post {post} has {number} jobs" for post, number in rows.items() if number > 1]
    doubled += [f"job {pk} was stored {stored[pk]} times" for _, pk, _ in jobs if stored[pk] > 1]
    doubled += [f"post {post} has {vectors[post]} vectors" for post in wanted if vectors[post] > 1]
    doubled += [f"{tag} is suggested {number} times" for tag, number in suggested.items() if number > 1]
    return Account(
        uploaded=len(wanted),
        done=states[State.DONE],
        refused=states[State.REFUSED],
        quarantined=states[State.QUARANTINED],
        lost=tuple(lost),
        doubled=tuple(doubled),
    )
