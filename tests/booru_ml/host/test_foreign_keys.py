"""A board may keep ratings and statuses in tables of their own: what is compared are the keys of their rows."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from booru_ml.host.loader import host
from booru_ml.types import Rating
from deploy.demo.board.models import Post
from tests.hosts.kit import kit
from tests.people import user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


@pytest.fixture
def rows(settings):
    """Users stand in for the rows of both tables: a post's uploader says its rating and its status."""
    rows = [user() for _ in range(4)]
    keys = [row.pk for row in rows]
    settings.BOORU_ML = {
        **settings.BOORU_ML,
        "FIELDS": {"picture": "picture", "tags": "tags", "rating": "uploader", "status": "uploader"},
        "RATINGS": dict(zip(("g", "s", "q", "e"), keys, strict=True)),
        "STATUSES": dict(zip(("pending", "active", "flagged", "deleted"), keys, strict=True)),
    }
    return rows


def test_foreign_keys_are_read_without_a_query_for_each_post(rows):
    for number, row in enumerate(rows):
        Post.objects.filter(pk=kit().upload(b"%d" % number, "").pk).update(uploader=row)
    with CaptureQueriesContext(connection) as queries:
        found = list(host().facts(Post.objects.order_by("pk").values_list("pk", flat=True)).values())
    said = sorted((facts.id, str(facts.rating), facts.status) for facts in found)
    assert [item[1:] for item in said] == [("g", "pending"), ("s", "active"), ("q", "flagged"), ("e", "deleted")]
    assert len(queries) == 3, "the ids above, the posts, their tags"


def test_foreign_keys_are_written_and_say_what_they_were(rows):
    post = kit().upload(b"picture", "")
    host().set_status(post.pk, "deleted")
    assert host().set_status(post.pk, "active") == "deleted"
    assert host().set_rating(post.pk, Rating.EXPLICIT) == Rating.SENSITIVE
    assert host().facts([post.pk])[post.pk].rating == Rating.EXPLICIT
