"""What every host adapter does, whatever the board looks like. Runs on the reference board here, and on the boards of
``tests/hosts`` in processes of their own (``tests/booru_ml/host/test_other_hosts.py``)."""

from __future__ import annotations

import itertools
import uuid
from datetime import timedelta
from unittest.mock import MagicMock

import pytest
from django.apps import apps
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from booru_ml.conf import post_model
from booru_ml.errors import InvalidInput, NotFound
from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import feeder, orders
from booru_ml.pipeline.backfill import Order
from booru_ml.types import Category, Rating, TagRef
from tests.hosts.kit import kit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]
_numbers = itertools.count()

HAIR, SWORD = TagRef("green_hair"), TagRef("sword")
HERO = TagRef("hero_(saga)", Category.CHARACTER)


@pytest.fixture
def upload():
    def save(tags: str = "", data: bytes | None = None):
        return kit().upload(data or b"picture %d" % next(_numbers), tags)

    return save


@pytest.fixture
def nobody():
    key = apps.get_model(post_model())._meta.pk
    return uuid.uuid4() if key.get_internal_type() == "UUIDField" else 2**31 - 1


def names(post) -> set[str]:
    return {tag.name for tag in host().facts([post.pk])[post.pk].tags}


def test_content_key_follows_the_picture(upload):
    post, other = upload(), upload()
    model = apps.get_model(post_model())
    key = host().content_key(post)
    assert 0 < len(key) <= 64
    assert host().content_key(model._base_manager.get(pk=post.pk)) == key
    assert host().content_key(other) != key


def test_content_key_does_without_a_size_that_the_storage_does_not_tell(upload, monkeypatch):
    post = upload()
    monkeypatch.setattr(FileSystemStorage, "size", MagicMock(side_effect=SuspiciousFileOperation("outside")))
    assert host().content_key(apps.get_model(post_model())._base_manager.get(pk=post.pk))


def test_a_storage_without_addresses_has_empty_ones(upload, monkeypatch):
    post = upload()
    monkeypatch.setattr(FileSystemStorage, "url", MagicMock(side_effect=NotImplementedError))
    assert host().facts([post.pk])[post.pk].picture_url == ""


def test_post_without_a_picture_has_no_content_key():
    assert host().content_key(apps.get_model(post_model())()) == ""


def test_picture_opens_for_reading(upload, nobody):
    post = upload(data=b"these bytes")
    with host().open_picture(post.pk) as file:
        assert file.read() == b"these bytes"
    with pytest.raises(NotFound):
        host().open_picture(nobody)


def test_picture_whose_file_is_gone_is_not_found(upload, media):
    post = upload()
    for file in media.rglob("*.png"):
        file.unlink()
    with pytest.raises(NotFound):
        host().open_picture(post.pk)


def test_facts_tell_of_the_posts_that_exist(upload, nobody):
    post, other = upload("green_hair sword"), upload()
    facts = host().facts([post.pk, other.pk, nobody])
    assert set(facts) == {post.pk, other.pk}
    assert facts[post.pk].tags == {HAIR, SWORD}
    assert facts[other.pk].tags == frozenset()
    assert facts[post.pk].status in ("pending", "active", "flagged", "deleted")
    assert facts[post.pk].picture_url
    assert facts[post.pk].thumbnail_url


def test_facts_cost_the_same_for_one_post_and_for_many(upload):
    posts = [upload("green_hair sword") for _ in range(6)]
    host().facts([posts[0].pk])  # fills caches such as content types
    with CaptureQueriesContext(
        connection,
    ) as one:
        host().facts([posts[0].pk])
    with CaptureQueriesContext(connection) as many:
        host().facts([post.pk for post in posts])
    assert len(one) == len(many)


def test_added_tags_are_the_real_delta(upload):
    post = upload("green_hair")
    assert host().add_tags(post.pk, [HAIR, SWORD, SWORD, HERO]) == (SWORD, HERO)
    assert names(post) == {"green_hair", "sword", "hero_(saga)"}
    assert host().add_tags(post.pk, [HAIR, SWORD, HERO]) == ()


def test_new_tags_get_the_boards_category(upload):
    if not kit().has_categories:
        pytest.skip("this board's tags have no categories")
    post = upload()
    host().add_tags(post.pk, [HERO, HAIR])
    assert host().facts([post.pk])[post.pk].tags == {HAIR} | {HERO}


def test_removing_the_delta_restores_what_was(upload):
    post = upload("green_hair")
    delta = host().add_tags(post.pk, [HAIR, SWORD, HERO])
    assert host().remove_tags(post.pk, delta) == delta
    assert names(post) == {"green_hair"}
    assert host().remove_tags(post.pk, delta) == ()


def test_metatags_never_enter_the_tag_list(upload):
    post = upload()
    hostile = [
        TagRef("rating:explicit"),
        TagRef("e", Category.RATING),
        TagRef("sketch", Category.QUALITY),
        TagRef("two words"),
        TagRef("line\nbreak"),
        TagRef("nul\x00"),
        TagRef(""),
    ]
    assert host().add_tags(post.pk, hostile) == ()
    assert names(post) == set()


def test_rating_changes_and_says_what_it_was(upload):
    if not kit().has_rating:
        assert host().set_rating(upload().pk, Rating.EXPLICIT) is None
        return
    post = upload()
    before = host().facts([post.pk])[post.pk].rating
    assert host().set_rating(post.pk, Rating.EXPLICIT) == before
    assert host().set_rating(post.pk, Rating.QUESTIONABLE) == Rating.EXPLICIT
    assert host().facts([post.pk])[post.pk].rating == Rating.QUESTIONABLE


def test_status_changes_and_says_what_it_was(upload):
    post = upload()
    if not kit().has_status:
        assert host().set_status(post.pk, "deleted") == host().facts([post.pk])[post.pk].status == "active"
        return
    assert host().set_status(post.pk, "deleted") == "pending"
    assert host().set_status(post.pk, "active") == "deleted"
    assert host().facts([post.pk])[post.pk].status == "active"
    with pytest.raises(InvalidInput):
        host().set_status(post.pk, "vanished")


def test_writing_to_a_missing_post_is_an_error(nobody):
    for write in (host().add_tags, host().remove_tags):
        with pytest.raises(NotFound):
            write(nobody, [HAIR])


def test_search_finds_whole_names_only(upload):
    posts = [upload("green_hair"), upload("green_hair_ornament"), upload("sword green_hair")]
    assert set(host().search(HAIR)) == {posts[0].pk, posts[2].pk}
    assert len(host().search(HAIR, limit=1)) == 1
    assert host().search(TagRef("nobody_has_this")) == []


def test_walk_passes_every_post_once_newest_id_first(upload):
    posts = {upload().pk for _ in range(5)}
    passed, after = [], None
    while chunk := host().walk(after=after, limit=2):
        assert len(chunk) <= 2
        passed += [post.pk for post in chunk]
        after = passed[-1]
    assert passed == sorted(posts, reverse=True)
    assert host().count() == 5
    assert host().content_key(host().walk(limit=1)[0])


def test_walk_keeps_to_posts_that_carry_all_tags(upload):
    both, one, near = upload("green_hair sword"), upload("sword"), upload("green_hair_ornament sword")
    assert {post.pk for post in host().walk(tags=["sword", "green_hair"])} == {both.pk}
    assert {post.pk for post in host().walk(tags=["sword"])} == {both.pk, one.pk, near.pk}
    assert host().count(tags=["sword", "green_hair"]) == 1
    assert host().walk(tags=["nobody.has*this("]) == []


def test_walk_keeps_to_posts_since_a_time_or_says_that_it_knows_none(upload):
    upload()
    if not kit().has_time:
        with pytest.raises(InvalidInput, match="when a post was made"):
            host().walk(since=timezone.now())
        return
    assert host().count(since=timezone.now() - timedelta(hours=1)) == 1
    assert host().walk(since=timezone.now() + timedelta(hours=1)) == []


def test_backfill_goes_through_the_whole_board(upload, settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "BACKFILL_WAITING": 2}
    posts = [upload() for _ in range(5)]
    AnalysisJob.objects.all().delete()
    orders.begin(Order())
    queued = []
    for _ in range(4):
        feeder.feed(seconds=5)
        waiting = AnalysisJob.objects.filter(state="queued")
        queued += waiting.values_list("post_id", flat=True)
        waiting.update(state="done", finished_at=timezone.now())
    assert sorted(queued) == sorted(post.pk for post in posts)
    assert orders.active() is None


def test_uploader_of_a_post_is_the_one_of_its_facts(upload):
    post = upload()
    assert host().uploader_id(post) == host().facts([post.pk])[post.pk].uploader_id


def test_our_writes_ask_for_no_analysis(upload):
    post = upload()
    AnalysisJob.objects.all().delete()
    host().add_tags(post.pk, [SWORD])
    host().set_rating(post.pk, Rating.EXPLICIT)
    host().set_status(post.pk, "active")
    host().remove_tags(post.pk, [SWORD])
    assert AnalysisJob.objects.count() == 0


def test_jobs_join_their_post_and_go_with_it(upload):
    post, other = upload(), upload()
    assert set(AnalysisJob.objects.values_list("post__pk", flat=True)) == {post.pk, other.pk}
    assert AnalysisJob.objects.select_related("post").get(post=post).post == post
    post.delete()
    assert list(AnalysisJob.objects.values_list("post_id", flat=True)) == [other.pk]
