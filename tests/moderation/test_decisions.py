from collections import Counter

import pytest
from django.contrib.auth.models import AnonymousUser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from booru_ml.errors import BooruError, InvalidInput, NotFound, NotPermitted, StaleState
from booru_ml.host.loader import host
from moderation import services
from moderation.models import Case, Decision
from tagging import services as tagging
from tagging.models import Suggestion
from tests.people import user

from .cases import status, suggest
from .findings import PHOTO, analysis

# --- One decision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "state", "after"), [("approve", "approved", "active"), ("reject", "rejected", "deleted")]
)
def test_a_decision_changes_the_post_and_writes_down_what_really_changed(case, moderator, verb, state, after) -> None:
    opened = case(PHOTO)
    decision = getattr(services, verb)(case_id=opened.pk, actor=moderator, version=opened.version, note="seen")
    opened.refresh_from_db()
    assert (opened.state, status(opened)) == (state, after)
    assert opened.version == 1
    assert opened.decided_at is not None
    assert (decision.actor, decision.verb, decision.note) == (moderator, verb, "seen")
    assert (decision.from_state, decision.to_state) == ("open", state)
    assert decision.delta == {
        "status_before": "pending",
        "status_after": after,
        "reasons": ["not_drawn"],
        "sha256": opened.analysis["sha256"],
    }


@pytest.mark.parametrize("before", ["pending", "flagged", "active"])
@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_undo_restores_the_status_that_the_post_really_had(case, moderator, colleague, before, verb) -> None:
    opened = case(PHOTO, status=before)
    decision = getattr(services, verb)(case_id=opened.pk, actor=moderator)
    undo = services.undo(decision_id=decision.pk, actor=colleague)
    opened.refresh_from_db()
    assert (opened.state, opened.decided_at, status(opened)) == ("open", None, before)
    assert (undo.undoes, undo.actor, undo.to_state) == (decision, colleague, "open")
    assert undo.delta["status_after"] == before


def test_an_undone_case_has_its_old_place_in_the_queue(case, moderator) -> None:
    opened = case(PHOTO)
    decision = services.reject(case_id=opened.pk, actor=moderator)
    services.undo(decision_id=decision.pk, actor=moderator)
    again = Case.objects.get(pk=opened.pk)
    assert (again.priority, again.opened_at) == (opened.priority, opened.opened_at)


def test_a_board_whose_posts_have_no_status_can_be_moderated_and_undone(case, moderator, settings) -> None:
    opened = case(PHOTO)
    fields = {name: field for name, field in settings.BOORU_ML["FIELDS"].items() if name != "status"}
    settings.BOORU_ML = {**settings.BOORU_ML, "FIELDS": fields}
    decision = services.reject(case_id=opened.pk, actor=moderator)
    assert (decision.delta["status_before"], decision.delta["status_after"]) == ("active", "active")
    services.undo(decision_id=decision.pk, actor=moderator)
    assert Case.objects.get(pk=opened.pk).state == "open"


def test_undo_refuses_to_overwrite_what_the_board_changed_since(case, moderator) -> None:
    opened = case(PHOTO)
    decision = services.approve(case_id=opened.pk, actor=moderator)
    host().set_status(opened.post_id, "flagged")
    with pytest.raises(StaleState, match="flagged"):
        services.undo(decision_id=decision.pk, actor=moderator)
    opened.refresh_from_db()
    assert (opened.state, status(opened)) == ("approved", "flagged")


def test_nothing_is_undone_twice(case, moderator, colleague) -> None:
    decision = services.approve(case_id=case().pk, actor=moderator)
    undo = services.undo(decision_id=decision.pk, actor=colleague)
    with pytest.raises(StaleState, match="undone already by cole"):
        services.undo(decision_id=decision.pk, actor=moderator)
    with pytest.raises(InvalidInput):
        services.undo(decision_id=undo.pk, actor=moderator)


def test_only_the_latest_decision_can_be_undone(case, moderator) -> None:
    opened = case(PHOTO)
    first = services.approve(case_id=opened.pk, actor=moderator)
    services.triage([analysis(opened.post_id, {"quality": {"good": 0.1, "poor": 0.9}})])
    with pytest.raises(StaleState, match="latest"):
        services.undo(decision_id=first.pk, actor=moderator)
    second = services.reject(case_id=opened.pk, actor=moderator)
    with pytest.raises(StaleState, match="latest"):
        services.undo(decision_id=first.pk, actor=moderator)
    services.undo(decision_id=second.pk, actor=moderator)
    assert status(opened) == "active"


def test_after_an_undo_the_case_is_decided_anew_and_that_can_be_undone_too(case, moderator) -> None:
    opened = case()
    first = services.approve(case_id=opened.pk, actor=moderator)
    services.undo(decision_id=first.pk, actor=moderator)
    second = services.reject(case_id=opened.pk, actor=moderator)
    assert status(opened) == "deleted"
    services.undo(decision_id=second.pk, actor=moderator)
    assert status(opened) == "pending"
    assert [row.verb for row in opened.decisions.all()] == ["undo", "reject", "undo", "approve"]


# --- Suggestions along with it ----------------------------------------------------------------------------------------


def test_suggestions_accepted_along_with_an_approval_are_undone_along_with_it(case, moderator) -> None:
    opened = case(rating="g")
    chosen = [suggest(opened), suggest(opened, "s", category="rating")]
    decision = services.approve(case_id=opened.pk, actor=moderator, suggestion_ids=[row.pk for row in chosen])
    facts = host().facts([opened.post_id])[opened.post_id]
    assert (facts.rating, {tag.name for tag in facts.tags}) == ("s", {"long_hair"})
    services.undo(decision_id=decision.pk, actor=moderator)
    facts = host().facts([opened.post_id])[opened.post_id]
    assert (facts.rating, facts.tags) == ("g", frozenset())
    assert set(Suggestion.objects.values_list("state", flat=True)) == {"suggested"}


def test_a_suggestion_that_was_undone_by_itself_does_not_stop_the_undo_of_its_case(case, moderator) -> None:
    opened = case()
    decision = services.approve(case_id=opened.pk, actor=moderator, suggestion_ids=[suggest(opened).pk])
    (accepted,) = decision.delta["tag_decisions"]
    tagging.undo(decision_id=accepted, actor=moderator)
    services.undo(decision_id=decision.pk, actor=moderator)
    assert status(opened) == "pending"


def test_a_suggestion_of_another_post_cannot_be_slipped_in(case, moderator) -> None:
    opened, other = case(), case()
    with pytest.raises(InvalidInput, match="another post"):
        services.approve(case_id=opened.pk, actor=moderator, suggestion_ids=[suggest(other).pk])
    assert (status(opened), Suggestion.objects.get().state) == ("pending", "suggested")


def test_a_moderator_without_the_right_to_decide_suggestions_accepts_none(case, colleague) -> None:
    opened = case()
    with pytest.raises(NotPermitted):
        services.approve(case_id=opened.pk, actor=colleague, suggestion_ids=[suggest(opened).pk])
    assert status(opened) == "pending"


# --- Who may, and what is stale ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["claim", "release", "approve", "reject"])
def test_only_moderators_act_on_cases(case, uploader, verb) -> None:
    opened = case()
    blocked = user("booru_moderation.decide_case", is_active=False)
    viewer = user("booru_moderation.view_case")
    for actor in (uploader, viewer, blocked, AnonymousUser()):
        with pytest.raises(NotPermitted):
            getattr(services, verb)(case_id=opened.pk, actor=actor)
    assert status(opened) == "pending"


def test_only_moderators_undo_even_their_own_posts_decisions(case, moderator, uploader) -> None:
    decision = services.approve(case_id=case().pk, actor=moderator)
    with pytest.raises(NotPermitted):
        services.undo(decision_id=decision.pk, actor=uploader)


def test_a_case_that_somebody_decided_meanwhile_says_who(case, moderator, colleague) -> None:
    opened = case()
    services.approve(case_id=opened.pk, actor=colleague)
    with pytest.raises(StaleState, match="approved by cole") as caught:
        services.reject(case_id=opened.pk, actor=moderator, version=opened.version)
    assert caught.value.extra == {"state": "approved", "version": 1}
    assert status(opened) == "active"


def test_a_decision_on_reasons_that_changed_is_refused(case, moderator) -> None:
    seen = case()
    services.triage([analysis(seen.post_id, PHOTO, sha256=seen.analysis["sha256"])])
    with pytest.raises(StaleState, match="reasons"):
        services.approve(case_id=seen.pk, actor=moderator, version=seen.version)
    assert services.approve(case_id=seen.pk, actor=moderator, version=seen.version + 1)


def test_unknown_cases_and_decisions_are_not_found(moderator) -> None:
    for verb in (services.claim, services.release, services.approve, services.reject):
        with pytest.raises(NotFound):
            verb(case_id=404, actor=moderator)
    with pytest.raises(NotFound):
        services.undo(decision_id=404, actor=moderator)


# --- Many at once -----------------------------------------------------------------------------------------------------


def test_one_refused_case_stops_no_other_and_the_rest_can_be_undone(case, moderator, colleague) -> None:
    cases = [case() for _ in range(4)]
    services.claim(case_id=cases[1].pk, actor=colleague)
    outcome = services.decide_many(
        verb="reject", cases=[(item.pk, item.version) for item in cases] + [(404, None)], actor=moderator
    )
    assert len(outcome.done) == 3
    assert {pk: error.code for pk, error in outcome.refused} == {cases[1].pk: "claimed", 404: "not_found"}
    assert Counter(status(item) for item in cases) == {"deleted": 3, "pending": 1}
    back = services.undo_many(decision_ids=[decision.pk for decision in outcome.done], actor=moderator)
    assert len(back.done) == 3
    assert Counter(status(item) for item in cases) == {"pending": 4}


def test_bulk_verbs_are_for_moderators_are_limited_and_know_two_words(uploader, moderator) -> None:
    with pytest.raises(NotPermitted):
        services.decide_many(verb="approve", cases=[], actor=uploader)
    with pytest.raises(NotPermitted):
        services.undo_many(decision_ids=[], actor=uploader)
    with pytest.raises(InvalidInput):
        services.decide_many(verb="undo", cases=[(1, 1)], actor=moderator)
    with pytest.raises(InvalidInput, match="At most"):
        services.decide_many(verb="approve", cases=[(n, 1) for n in range(10_000)], actor=moderator)


# --- All of it, in any order ------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["approve", "reject", "undo", "photo", "rough", "plain"]), max_size=10))
def test_whatever_happened_undoing_everything_brings_the_first_status_back(case, moderator, steps) -> None:
    """History is complete: walking it back, newest first, always ends where the post began."""
    opened = case()
    said = {"photo": PHOTO, "rough": {"quality": {"good": 0.1, "poor": 0.9}}, "plain": None}
    for step in steps:
        try:
            if step in said:
                services.triage([analysis(opened.post_id, said[step], sha256=opened.analysis["sha256"])])
            elif step == "undo":
                last = opened.decisions.filter(verb__in=["approve", "reject"], undone_by=None).first()
                services.undo(decision_id=last.pk if last else 404, actor=moderator)
            else:
                getattr(services, step)(case_id=opened.pk, actor=moderator)
        except BooruError:
            pass
    current = status(opened)
    for row in Decision.objects.filter(case=opened).order_by("-pk"):
        if row.verb == "reopen":
            continue
        assert row.delta["status_after"] == current
        current = row.delta["status_before"]
    assert current == "pending"
    opened.refresh_from_db()
    expected = {"open": None, "approved": "active", "rejected": "deleted"}[opened.state]
    assert expected in (None, status(opened))
