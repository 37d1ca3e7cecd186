from datetime import timedelta

import pytest
from django.utils import timezone

from booru_ml.errors import StaleState
from moderation import services
from moderation.models import Case
from tests.people import user

from .findings import PHOTO


def run_out(case: Case) -> None:
    Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))


def test_a_claim_lasts_as_long_as_the_settings_say(case, moderator, settings) -> None:
    settings.BOORU_ML = {**settings.BOORU_ML, "CLAIM_SECONDS": 600.0}
    held = services.claim(case_id=case().pk, actor=moderator)
    assert held.claimed_by == moderator
    assert timedelta(seconds=590) < held.claimed_until - timezone.now() <= timedelta(seconds=601)


def test_nobody_else_claims_releases_or_decides_a_claimed_case_and_learns_who_holds_it(
    case, moderator, colleague
) -> None:
    opened = case()
    services.claim(case_id=opened.pk, actor=colleague)
    for verb in (services.claim, services.release, services.approve, services.reject):
        with pytest.raises(services.Claimed, match="cole is looking") as caught:
            verb(case_id=opened.pk, actor=moderator)
        assert caught.value.extra["claimed_by"] == "cole"
    assert services.approve(case_id=opened.pk, actor=colleague)


def test_a_claim_is_renewed_by_its_holder_and_leaves_the_version_alone(case, moderator) -> None:
    opened = case()
    first = services.claim(case_id=opened.pk, actor=moderator)
    again = services.claim(case_id=opened.pk, actor=moderator)
    assert again.claimed_until >= first.claimed_until
    assert again.version == opened.version


def test_a_claim_that_ran_out_or_was_given_back_holds_nobody_up(case, moderator, colleague) -> None:
    left, returned = case(), case()
    services.claim(case_id=left.pk, actor=colleague)
    run_out(left)
    services.claim(case_id=returned.pk, actor=colleague)
    services.release(case_id=returned.pk, actor=colleague)
    assert services.claim(case_id=left.pk, actor=moderator).claimed_by == moderator
    assert services.approve(case_id=returned.pk, actor=moderator)


def test_a_claim_ends_with_the_decision_and_with_the_moderators_account(case, moderator, colleague) -> None:
    decided, orphaned = case(), case()
    services.claim(case_id=decided.pk, actor=moderator)
    services.approve(case_id=decided.pk, actor=moderator)
    decided.refresh_from_db()
    assert (decided.claimed_by, decided.claimed_until) == (None, None)
    leaving = user("booru_moderation.decide_case")
    services.claim(case_id=orphaned.pk, actor=leaving)
    leaving.delete()
    assert services.approve(case_id=orphaned.pk, actor=colleague)


def test_releasing_a_free_case_is_no_error(case, moderator) -> None:
    assert services.release(case_id=case().pk, actor=moderator).claimed_by is None


def test_a_decided_case_is_not_claimed(case, moderator) -> None:
    opened = case()
    services.approve(case_id=opened.pk, actor=moderator)
    with pytest.raises(StaleState, match="approved by mira"):
        services.claim(case_id=opened.pk, actor=moderator)


def test_the_next_case_is_the_most_urgent_that_nobody_else_holds(case, moderator, colleague) -> None:
    plain, urgent, held = case(), case(PHOTO), case({"quality": {"good": 0.0, "poor": 1.0}} | PHOTO)
    services.claim(case_id=held.pk, actor=colleague)
    assert services.claim_next(actor=moderator) == urgent
    assert services.claim_next(actor=moderator, after=urgent) == plain
    assert services.claim_next(actor=moderator, after=plain) is None
    run_out(held)
    assert services.claim_next(actor=moderator) == held


def test_the_next_case_can_be_asked_for_by_reason(case, moderator) -> None:
    case()
    photo = case(PHOTO)
    assert services.claim_next(actor=moderator, reason="not_drawn") == photo
    assert services.claim_next(actor=moderator, reason="explicit") is None
