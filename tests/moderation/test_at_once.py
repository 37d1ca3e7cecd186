"""What several people and workers do to a case at the same moment ends in one of the ways it could have gone."""

from threading import Event
from time import sleep

import pytest
from django.db import connection, transaction

from booru_ml.errors import StaleState
from deploy.demo.board.models import Post
from moderation import services
from moderation.models import Case, Decision
from tagging import automatic, board
from tagging import services as tagging
from tagging.models import Suggestion
from tests.people import user
from tests.threads import together

from .cases import status, suggest
from .findings import PHOTO, analysis


@pytest.fixture
def row_locks() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs row locks")


@pytest.fixture
def post_locked(row_locks, monkeypatch) -> Event:
    """Set when an approval has written a suggestion: the post is locked, and the case not yet for a moment."""
    locked, write = Event(), board.write

    def slowly(row: Suggestion):
        delta = write(row)
        locked.set()
        sleep(0.3)
        return delta

    monkeypatch.setattr(board, "write", slowly)
    return locked


@pytest.mark.django_db(transaction=True)
def test_of_many_moderators_who_decide_at_once_exactly_one_succeeds(case) -> None:
    opened = case(PHOTO)
    crowd = [user("booru_moderation.decide_case") for _ in range(6)]
    verbs = [services.approve, services.reject] * 3
    results = together(
        *(
            lambda v=verb, a=actor: v(case_id=opened.pk, actor=a, version=0)
            for verb, actor in zip(verbs, crowd, strict=True)
        )
    )
    winners = [item for item in results if isinstance(item, Decision)]
    assert len(winners) == 1
    assert all(isinstance(item, StaleState) for item in results if not isinstance(item, Decision))
    assert Decision.objects.count() == 1
    assert status(opened) == winners[0].delta["status_after"]


@pytest.mark.django_db(transaction=True)
def test_of_many_who_undo_at_once_exactly_one_succeeds(case) -> None:
    crowd = [user("booru_moderation.decide_case") for _ in range(5)]
    opened = case()
    decision = services.reject(case_id=opened.pk, actor=crowd[0])
    results = together(*(lambda a=actor: services.undo(decision_id=decision.pk, actor=a) for actor in crowd))
    assert sum(isinstance(item, Decision) for item in results) == 1
    assert status(opened) == "pending"
    assert Decision.objects.filter(verb="undo").count() == 1


@pytest.mark.django_db(transaction=True)
def test_moderators_who_ask_for_the_next_case_at_once_get_different_ones(case) -> None:
    crowd = [user("booru_moderation.decide_case") for _ in range(5)]
    for _ in range(5):
        case()
    results = together(*(lambda a=actor: services.claim_next(actor=a) for actor in crowd))
    taken = [item.pk for item in results if isinstance(item, Case)]
    assert len(taken) == len(set(taken)) == 5


@pytest.mark.django_db(transaction=True)
def test_an_analysis_and_a_decision_at_once_leave_a_case_that_makes_sense(case) -> None:
    actor = user("booru_moderation.decide_case")
    for _ in range(4):
        opened = case()
        again = [analysis(opened.post_id, PHOTO, sha256=opened.analysis["sha256"])]
        together(
            lambda o=opened: services.approve(case_id=o.pk, actor=actor, version=o.version),
            lambda a=again: services.triage(a),
        )
        opened.refresh_from_db()
        # Either the reason came first and made the view stale, or it came later and reopened the case.
        assert opened.state == "open"
        assert opened.decisions.filter(verb="reopen").exists() == opened.decisions.filter(verb="approve").exists()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_an_approval_with_several_suggestions_and_a_decision_on_one_do_not_wait_in_a_circle(
    case, moderator, post_locked
) -> None:
    opened = case(PHOTO)
    hat, smile = suggest(opened, "hat"), suggest(opened, "smile")

    def approve():
        return services.approve(case_id=opened.pk, actor=moderator, suggestion_ids=[hat.pk, smile.pk])

    def accept_one():
        assert post_locked.wait(10)
        return tagging.accept(suggestion_id=smile.pk, actor=opened.post.uploader)

    approved, late = together(approve, accept_one)
    assert approved.to_state == "approved"
    assert isinstance(late, StaleState)
    assert set(Post.objects.get(pk=opened.post_id).tags.values_list("name", flat=True)) == {"hat", "smile"}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_an_approval_with_suggestions_and_a_rejection_do_not_wait_in_a_circle(
    case, moderator, colleague, post_locked
) -> None:
    opened = case(PHOTO)
    hat = suggest(opened, "hat")

    def approve():
        return services.approve(case_id=opened.pk, actor=moderator, suggestion_ids=[hat.pk])

    def reject():
        assert post_locked.wait(10)
        return services.reject(case_id=opened.pk, actor=colleague)

    approved, late = together(approve, reject)
    assert approved.to_state == "approved"
    assert isinstance(late, StaleState)
    assert status(opened) == "active"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["reject", "undo"])
def test_a_worker_that_applies_tags_and_a_moderator_do_not_wait_in_a_circle(
    case, moderator, colleague, settings, row_locks, verb
) -> None:
    settings.BOORU_ML = {**settings.BOORU_ML, "AUTO_APPLY": True, "AUTO_APPLY_THRESHOLDS": {"general": 0.5}}
    opened = case(PHOTO)
    suggest(opened, "hat")
    decision = services.reject(case_id=opened.pk, actor=moderator) if verb == "undo" else None
    again = [analysis(opened.post_id, PHOTO, sha256=opened.analysis["sha256"])]
    locked = Event()

    def work():
        with transaction.atomic():  # the sinks run in one transaction
            assert automatic.apply([opened.post_id]) == 1  # from here on the post is locked
            locked.set()
            sleep(0.3)
            services.triage(again)

    def decide():
        assert locked.wait(10)
        if decision:
            return services.undo(decision_id=decision.pk, actor=colleague)
        return services.reject(case_id=opened.pk, actor=colleague)

    _, decided = together(work, decide)
    assert decided.verb == verb
    assert status(opened) == ("deleted" if verb == "reject" else "pending")
