"""The order in which such a board saves, and a worker that is quicker than its form."""

from __future__ import annotations

import pytest
from django.test import override_settings

from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob
from booru_ml.pipeline.runner import Runner
from booru_ml.types import Category, TagRef
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine
from tests.hosts.nautboard.models import Category as TagCategory
from tests.hosts.nautboard.models import Post, PostTag, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media")]
AUTOMATIC = TagRef("hero", Category.CHARACTER)


@pytest.fixture(autouse=True)
def one_version(monkeypatch):
    monkeypatch.setattr("booru_ml.registry.pipeline_version", lambda: VERSION)


def drain() -> int:
    """A worker that applies a tag by itself."""

    def apply(analyses):
        for analysis in analyses:
            host().add_tags(analysis.post_id, [AUTOMATIC])

    return Runner(FakeEngine(), FakeDecoders(), version=VERSION, sinks=[apply]).drain(max_seconds=1)


def test_quick_worker_whose_tags_the_form_wipes_applies_them_again():
    done = []
    post = upload(b"picture", "sword shield", meanwhile=lambda: done.append(drain()))
    assert done == [1]
    assert set(post.tags.names()) == {"sword", "shield"}
    assert drain() == 1
    post.refresh_from_db()
    assert set(post.tags.names()) == {"hero", "sword", "shield"}
    assert post.tags_mirror == "hero shield sword"
    assert drain() == 0
    assert AnalysisJob.objects.count() == 1


def test_job_waits_until_the_form_is_done():
    with override_settings(BOORU_ML={**_settings(), "SETTLE_SECONDS": 0.5}):
        done = []
        upload(b"picture", "sword", meanwhile=lambda: done.append(AnalysisJob.objects.ready().count()))
        assert done == [0]
        assert drain() == 1
    assert set(Post.objects.get().tags.names()) == {"hero", "sword"}
    assert AnalysisJob.objects.get().state == AnalysisJob.State.DONE


def test_three_uploads_make_three_jobs_however_often_they_are_saved():
    for number in range(3):
        upload(b"picture %d" % number, "sword")
    assert drain() == 3
    assert AnalysisJob.objects.count() == 3
    assert drain() == 0


def test_new_tags_stand_in_the_boards_own_category():
    post = upload(b"picture", "sword")
    drain()
    assert PostTag.objects.get(name="hero").category == TagCategory.objects.get(label="Character")
    assert AUTOMATIC in host().facts([post.pk])[post.pk].tags


def _settings() -> dict:
    from django.conf import settings

    return settings.BOORU_ML
