"""A character enrolled while workers run is known to each of them with the very next upload; nothing is restarted."""

from __future__ import annotations

import os
import signal
from subprocess import Popen
from typing import Any

import pytest

from deploy.demo.board import services
from embeddings.services import enrol
from embeddings.types import SupportRef
from tagging.models import Suggestion
from tests.flows.board import drawing, file, uploader
from tests.flows.conftest import all_finished, wait_for

pytestmark = [pytest.mark.django_db(transaction=True)]
SHOWN = 5


def test_the_next_upload_is_matched_in_every_worker(start_workers: Any) -> None:
    workers = start_workers("redis://127.0.0.1:1/0")
    ann = uploader("ann")
    both = [workers._start("manage", "booru_worker") for _ in range(2)]

    def upload(pose: int, by: Popen[bytes]) -> Any:
        """A post that this worker analyses, while the other one stands still."""
        (other,) = [process for process in both if process is not by]
        os.killpg(other.pid, signal.SIGSTOP)
        post = services.upload(
            uploader=ann, file=file(drawing(character=SHOWN, pose=pose)), tags="", rating="g", source=""
        )
        wait_for(all_finished, 60)
        os.killpg(other.pid, signal.SIGCONT)
        return post

    # Both workers have their networks and an empty gallery in memory now.
    before = [upload(pose, by) for pose, by in ((0, both[0]), (1, both[1]), (2, both[0]))]
    assert not Suggestion.objects.filter(category="character").exists()
    enrol(name="newcomer", posts=[SupportRef(post.pk) for post in before], actor=None)
    for pose, by in ((3, both[0]), (4, both[1])):
        post = upload(pose, by)
        assert Suggestion.objects.filter(post=post, name="newcomer", category="character").exists()
