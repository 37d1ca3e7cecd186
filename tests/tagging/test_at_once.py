"""Several decide the same at once, or while a worker suggests."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from booru_ml.errors import StaleState
from tagging import services
from tagging.models import Suggestion, TagDecision
from tests.tagging.factories import analysis, finding, moderator, post, suggestion
from tests.threads import together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gallery")]


@pytest.mark.parametrize("verb", ["accept", "undo"])
def test_of_two_at_once_one_wins(verb):
    picture, judge = post(), moderator()
    row = suggestion(picture)
    decision = services.accept(suggestion_id=row.pk, actor=judge) if verb == "undo" else None

    def attempt():
        if decision:
            return services.undo(decision_id=decision.pk, actor=judge)
        return services.accept(suggestion_id=row.pk, actor=judge)

    results = together(*[attempt] * 4)
    assert sorted(isinstance(result, StaleState) for result in results) == [False, True, True, True]
    assert TagDecision.objects.filter(verb=verb).count() == 1
    assert sorted(picture.tags.values_list("name", flat=True)) == ([] if verb == "undo" else ["long_hair"])


@pytest.mark.postgres
def test_a_worker_does_not_wait_for_a_person_who_is_deciding(bars):
    if connection.vendor != "postgresql":
        pytest.skip("needs row locks")
    picture = post()
    row = suggestion(picture, "hat", score=0.5)
    held, release = threading.Event(), threading.Event()

    def decide():
        with transaction.atomic():
            services.accept(suggestion_id=row.pk, actor=picture.uploader)
            held.set()
            release.wait(30)
        connections.close_all()

    person = threading.Thread(target=decide)
    person.start()
    assert held.wait(30)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        services.suggest([analysis(picture, finding(tags={"hat": 0.99, "smile": 0.9}))])
    finally:
        release.set()
        person.join(30)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 0")
    found = dict(Suggestion.objects.filter(post=picture).values_list("name", "state"))
    assert found == {"hat": "accepted", "smile": "suggested"}
    assert Suggestion.objects.get(name="hat").score == 0.5
