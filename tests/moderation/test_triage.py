from dataclasses import replace

import pytest

from booru_ml.errors import Unavailable
from booru_ml.types import Refusal
from moderation import services
from moderation.models import Case, Decision, Flag

from .findings import PHOTO, analysis

HOT = {"nsfw": {"drawing": 0.1, "hentai": 0.8, "neutral": 0.0, "porn": 0.1, "sexy": 0.0}}


def active(post) -> set[str]:
    return set(Flag.objects.filter(post=post, active=True).values_list("reason", flat=True))


def state(post) -> str:
    return Case.objects.get(post=post).state


def test_every_pending_upload_gets_a_case_and_those_with_flags_come_first(post, triage) -> None:
    plain, photo, hot = post(), post(), post()
    triage([analysis(plain.pk), analysis(photo.pk, PHOTO), analysis(hot.pk, PHOTO | HOT)])
    assert [case.post_id for case in Case.objects.all()] == [hot.pk, photo.pk, plain.pk]
    assert (active(plain), active(photo), active(hot)) == (set(), {"not_drawn"}, {"not_drawn", "explicit"})


@pytest.mark.parametrize(
    ("status", "opens"), [("pending", True), ("flagged", True), ("active", False), ("deleted", False)]
)
def test_a_post_without_flags_is_queued_only_while_it_waits_for_a_decision(post, triage, status, opens) -> None:
    made = post(status=status)
    triage([analysis(made.pk)])
    assert Case.objects.filter(post=made).exists() is opens


@pytest.mark.parametrize(("status", "opens"), [("active", True), ("deleted", False)])
def test_a_flag_opens_a_case_for_every_post_that_is_still_there(post, triage, status, opens) -> None:
    made = post(status=status)
    triage([analysis(made.pk, PHOTO)])
    assert Case.objects.filter(post=made).exists() is opens
    assert active(made) == {"not_drawn"}


def test_the_same_analysis_again_changes_nothing(post, triage) -> None:
    made = post()
    said = [analysis(made.pk, PHOTO)]
    triage(said)
    before = (list(Flag.objects.values()), list(Case.objects.values()))
    triage(said)
    assert (list(Flag.objects.values()), list(Case.objects.values())) == before


def test_a_flag_that_no_longer_follows_rests_and_comes_back_under_its_old_row(post, triage) -> None:
    made = post()
    triage([analysis(made.pk, PHOTO)])
    row = Flag.objects.get()
    triage([analysis(made.pk)])
    assert active(made) == set()
    triage([analysis(made.pk, {"medium": {"drawing": 0.04, "photo": 0.96}})])
    assert active(made) == {"not_drawn"}
    assert Flag.objects.get().pk == row.pk
    assert Flag.objects.get().score == pytest.approx(0.96)


def test_new_evidence_makes_an_older_view_of_an_open_case_stale_and_moves_it_up(post, triage) -> None:
    made = post()
    triage([analysis(made.pk)])
    before = Case.objects.get()
    triage([analysis(made.pk, PHOTO)])
    after = Case.objects.get()
    assert after.version == before.version + 1
    assert after.priority > before.priority
    assert after.opened_at == before.opened_at


def test_a_decided_case_stays_decided_when_the_same_reasons_come_again(case, triage, moderator) -> None:
    decided = case(PHOTO)
    services.approve(case_id=decided.pk, actor=moderator)
    triage([analysis(decided.post_id, PHOTO, sha256=decided.analysis["sha256"])])
    triage([analysis(decided.post_id, sha256=decided.analysis["sha256"])])
    assert state(decided.post) == "approved"
    triage([analysis(decided.post_id, PHOTO, sha256=decided.analysis["sha256"])])
    assert state(decided.post) == "approved"


def test_a_new_reason_reopens_an_approved_case_and_keeps_its_history(case, triage, moderator) -> None:
    decided = case(PHOTO)
    services.approve(case_id=decided.pk, actor=moderator)
    triage([analysis(decided.post_id, PHOTO | HOT, sha256=decided.analysis["sha256"])])
    decided.refresh_from_db()
    assert (decided.state, decided.decided_at) == ("open", None)
    reopening, approval = decided.decisions.all()
    assert (approval.verb, approval.actor) == ("approve", moderator)
    assert (reopening.verb, reopening.actor, reopening.from_state) == ("reopen", None, "approved")
    assert reopening.delta == {"reasons": ["explicit"], "picture_replaced": False}
    decided.post.refresh_from_db()
    assert decided.post.status == "active", "the network opens a case; it never hides a post by itself"


def test_a_reason_judged_once_does_not_reopen_a_later_decision(case, triage, moderator) -> None:
    decided = case(PHOTO)
    sha256 = decided.analysis["sha256"]
    services.approve(case_id=decided.pk, actor=moderator)
    triage([analysis(decided.post_id, HOT, sha256=sha256)])
    services.approve(case_id=decided.pk, actor=moderator)
    triage([analysis(decided.post_id, PHOTO, sha256=sha256)])
    assert state(decided.post) == "approved"


def test_a_decision_that_was_undone_judged_nothing(case, triage, moderator) -> None:
    decided = case(PHOTO)
    sha256 = decided.analysis["sha256"]
    first = services.approve(case_id=decided.pk, actor=moderator)
    services.undo(decision_id=first.pk, actor=moderator)
    triage([analysis(decided.post_id, sha256=sha256)])
    services.approve(case_id=decided.pk, actor=moderator)
    triage([analysis(decided.post_id, PHOTO, sha256=sha256)])
    assert state(decided.post) == "open"


def test_a_replaced_picture_is_looked_at_again_though_no_reason_is_new(case, triage, moderator) -> None:
    decided = case(PHOTO)
    services.approve(case_id=decided.pk, actor=moderator)
    triage([analysis(decided.post_id, PHOTO, sha256="b" * 64)])
    assert state(decided.post) == "open"
    reopening = Decision.objects.get(verb="reopen")
    assert reopening.delta == {"reasons": ["not_drawn"], "picture_replaced": True}
    services.approve(case_id=decided.pk, actor=moderator)
    triage([analysis(decided.post_id, PHOTO, sha256="b" * 64)])
    assert state(decided.post) == "approved"


def test_a_post_that_was_rejected_and_is_gone_stays_rejected_whatever_else_is_found(case, triage, moderator) -> None:
    decided = case(PHOTO)
    services.reject(case_id=decided.pk, actor=moderator)
    triage([analysis(decided.post_id, PHOTO | HOT, sha256=decided.analysis["sha256"])])
    assert state(decided.post) == "rejected"


def test_near_duplicates_of_one_batch_and_of_earlier_posts_find_each_other(post, triage) -> None:
    old, twin, other, late = post(), post(), post(), post()
    triage([analysis(old.pk, seed=1), analysis(twin.pk, seed=1), analysis(other.pk, seed=2)])
    triage([analysis(late.pk, seed=1)])
    assert (active(old), active(twin), active(other), active(late)) == (
        {"duplicate"},
        {"duplicate"},
        set(),
        {"duplicate"},
    )
    named = {entry["post"] for entry in Flag.objects.get(post=late).detail["posts"]}
    assert named == {str(old.pk), str(twin.pk)}


def test_a_vector_store_that_is_away_costs_the_duplicates_and_nothing_else(post, triage, monkeypatch) -> None:
    def away(*args, **kwargs):
        raise Unavailable("The vector store does not answer.", code="vector_store")

    monkeypatch.setattr("embeddings.similar.nearest_each", away)
    odd = post()
    triage([analysis(odd.pk, PHOTO, seed=1), analysis(post().pk, seed=1)])
    assert Case.objects.count() == 2
    assert "duplicate" not in active(odd)
    assert active(odd)


def test_a_picture_that_cannot_be_analysed_is_queued_with_its_reason(post, triage) -> None:
    made = post()
    triage([analysis(made.pk, refusal=Refusal("too_many_pixels", "The picture has more than 100 megapixels."))])
    flag = Flag.objects.get(post=made)
    assert flag.reason == "unreadable"
    assert flag.detail["code"] == "too_many_pixels"
    assert state(made) == "open"


def test_of_two_analyses_of_one_post_in_a_batch_the_later_job_speaks(post, triage) -> None:
    made = post()
    triage([replace(analysis(made.pk), job_id=9), replace(analysis(made.pk, PHOTO), job_id=3)])
    assert active(made) == set()


def test_a_post_that_was_removed_meanwhile_is_passed_over(post, triage) -> None:
    made = post()
    services.triage([analysis(987654), analysis(made.pk)])
    assert Case.objects.count() == 1


def test_a_batch_costs_a_constant_number_of_queries(post, django_assert_max_num_queries) -> None:
    few = [analysis(post().pk, PHOTO) for _ in range(2)]
    many = [analysis(post().pk, PHOTO | HOT) for _ in range(12)]
    services.triage(few)
    for batch in (few, many, many):
        with django_assert_max_num_queries(14):
            services.triage(batch)
