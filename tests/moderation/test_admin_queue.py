import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from moderation import services
from moderation.models import Case, Decision
from tagging.models import Suggestion
from tests.people import client_of, user

from .cases import status
from .findings import PHOTO
from .pages import QUEUE, page_of, text


@pytest.fixture
def client(moderator) -> Client:
    return client_of(moderator)


# --- The list ---------------------------------------------------------------------------------------------------------


def test_the_list_shows_open_cases_most_urgent_first_with_what_is_known_of_each(client, case, colleague) -> None:
    plain = case()
    photo = case(PHOTO | {"rating": {"g": 0.1, "s": 0.1, "q": 0.2, "e": 0.6}})
    Suggestion.objects.create(
        post_id=photo.post_id,
        name="hatsune_miku",
        category="character",
        score=0.87,
        source="prototype",
        model_version="m",
    )
    services.claim(case_id=photo.pk, actor=colleague)
    response = client.get(QUEUE)
    seen = text(response)
    assert response.status_code == 200
    assert seen.index(f"Post {photo.post_id}") < seen.index(f"Post {plain.post_id}")
    assert "looks like a photo 98%" in seen
    assert "rated milder than it looks 90%" in seen
    assert "hatsune miku 87%" in seen
    assert "cole is looking" in seen
    assert "No flags; waiting for approval" in seen
    assert re.search(r"Rating g → e 60%", seen)


def test_decided_cases_are_found_by_the_state_filter_and_flags_by_the_reason(client, case, moderator) -> None:
    plain, photo, done = case(), case(PHOTO), case()
    services.approve(case_id=done.pk, actor=moderator)

    def shown(query: str) -> set[int]:
        found = {int(pk) for pk in re.findall(r">Post (\d+)</a>", client.get(QUEUE + query).content.decode())}
        return {item.pk for item in (plain, photo, done) if item.post_id in found}

    assert shown("") == {plain.pk, photo.pk}
    assert shown("?state=approved") == {done.pk}
    assert shown("?state=all") == {plain.pk, photo.pk, done.pk}
    assert shown("?reason=not_drawn") == {photo.pk}
    assert shown("?held=mine") == set()
    services.claim(case_id=plain.pk, actor=moderator)
    assert shown("?held=mine") == {plain.pk}
    assert shown(f"?q={photo.post_id}") == {photo.pk}
    assert shown("?q=nonsense") == set()
    assert shown("?q=99999999999999999999999") == set()
    assert shown("?reason=nonsense") == set()


def test_odd_addresses_lead_back_to_the_queue_instead_of_failing(client, case) -> None:
    case()
    for query in ("?p=77", "?nonsense=1", "?o=1.2", "?p=x", "?q=%00"):
        assert client.get(QUEUE + query).status_code in (200, 302), query
    for address in ("0", "x", "99999999999999999999"):
        response = client.get(f"{QUEUE}{address}/change/", follow=True)
        assert "There is no case" in text(response)


def test_an_empty_queue_says_that_all_is_done(client) -> None:
    assert "The queue is empty" in text(client.get(QUEUE))
    assert "Nothing matches these filters" in text(client.get(QUEUE + "?state=rejected"))


def test_ticked_posts_are_approved_together_and_taken_back_together(client, case) -> None:
    cases = [case() for _ in range(3)]
    chosen = [f"{item.pk}:{item.version}" for item in cases[:2]]
    response = client.post(QUEUE + "decide/", {"verb": "approve", "case": chosen}, follow=True)
    assert "Approved 2 posts. Undo" in text(response)
    assert [status(item) for item in cases] == ["active", "active", "pending"]
    undo = re.findall(r'name="decision" value="(\d+)"', response.content.decode())
    assert len(undo) == 2
    response = client.post(QUEUE + "undo/", {"decision": undo}, follow=True)
    assert "Took 2 decisions back" in text(response)
    assert [status(item) for item in cases] == ["pending"] * 3


def test_a_cards_own_button_decides_that_card_alone_whatever_is_ticked(client, case) -> None:
    one, other = case(), case()
    ticked = f"{other.pk}:{other.version}"
    response = client.post(QUEUE + "decide/", {"one": f"reject:{one.pk}:{one.version}", "case": ticked}, follow=True)
    assert f"Rejected post {one.post_id}. Undo" in text(response)
    assert (status(one), status(other)) == ("deleted", "pending")


def test_bulk_leaves_what_somebody_else_holds_or_changed_and_says_so(client, case, colleague) -> None:
    held, changed, fine = case(), case(), case()
    services.claim(case_id=held.pk, actor=colleague)
    Case.objects.filter(pk=changed.pk).update(version=7)
    chosen = [f"{item.pk}:0" for item in (held, changed, fine)]
    response = client.post(QUEUE + "decide/", {"verb": "reject", "case": chosen}, follow=True)
    seen = text(response)
    assert f"Rejected post {fine.post_id}" in seen
    assert "cole is looking at this case" in seen
    assert "reasons of this case changed" in seen
    assert [status(item) for item in (held, changed, fine)] == ["pending", "pending", "deleted"]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"verb": "approve"},
        {"verb": "undo", "case": "1:0"},
        {"verb": "approve", "case": "x"},
        {"verb": "approve", "case": "1"},
        {"verb": "approve", "case": "1:-1"},
        {"one": "approve"},
        {"one": "approve:1:" + "9" * 40},
        {"one": "burn:1:0"},
    ],
)
def test_a_damaged_form_changes_nothing_and_is_explained(client, case, form) -> None:
    case()
    response = client.post(QUEUE + "decide/", form, follow=True)
    assert response.status_code == 200
    assert 'class="error"' in response.content.decode()
    assert Decision.objects.count() == 0


def test_start_reviewing_opens_the_most_urgent_free_case_and_claims_it(client, case, moderator, colleague) -> None:
    urgent, next_one = case(PHOTO), case()
    services.claim(case_id=urgent.pk, actor=colleague)
    response = client.post(QUEUE + "next/")
    assert response.url == page_of(next_one)
    next_one.refresh_from_db()
    assert next_one.claimed_by == moderator


def test_the_list_costs_the_same_number_of_queries_for_few_and_many(
    client, case, django_assert_max_num_queries
) -> None:
    def fill(count: int) -> None:
        for _ in range(count):
            made = case(PHOTO)
            for name in ("a", "b", "c"):
                Suggestion.objects.create(
                    post_id=made.post_id, name=name, category="general", score=0.9, source="model", model_version="m"
                )

    fill(2)
    client.get(QUEUE)
    with CaptureQueriesContext(connection) as few:
        client.get(QUEUE)
    fill(18)
    with CaptureQueriesContext(connection) as many:
        client.get(QUEUE)
    assert len(many) == len(few) <= 24


# --- Rights -----------------------------------------------------------------------------------------------------------

VERBS = [
    "decide/",
    "undo/",
    "next/",
    "{case}/decide/",
    "{case}/skip/",
    "{case}/claim/",
    "{case}/release/",
    "{case}/suggestions/1/accept/",
    "{case}/tag-decisions/1/undo/",
]


@pytest.mark.parametrize("address", ["", "{case}/change/", *VERBS])
def test_strangers_users_and_staff_without_the_right_see_nothing(case, address) -> None:
    made = case(PHOTO)
    url = QUEUE + address.format(case=made.pk)
    for actor, expected in ((None, 302), (user(), 302), (user(is_staff=True), 403)):
        browser = client_of(actor)
        method = browser.post if address in VERBS else browser.get
        response = method(url, {"verb": "approve", "one": f"approve:{made.pk}:0"})
        assert response.status_code == expected
        if expected == 302:
            assert "/login/" in response.url
    assert status(made) == "pending"


@pytest.mark.parametrize("address", VERBS[:7])
def test_who_may_only_look_decides_nothing(case, address) -> None:
    made = case(PHOTO)
    browser = client_of(user("booru_moderation.view_case", is_staff=True))
    seen = browser.get(page_of(made)).content.decode() + browser.get(QUEUE).content.decode()
    assert not re.search(r"Approve\b|Start reviewing", seen)
    response = browser.post(QUEUE + address.format(case=made.pk), {"verb": "approve", "one": f"approve:{made.pk}:0"})
    assert response.status_code == 403
    assert status(made) == "pending"


@pytest.mark.parametrize("address", VERBS)
def test_verbs_answer_to_post_alone_and_want_a_token(case, moderator, address) -> None:
    made = case()
    url = QUEUE + address.format(case=made.pk)
    strict = client_of(moderator, enforce_csrf_checks=True)
    assert strict.get(url).status_code == 405
    assert strict.post(url, {"verb": "approve", "version": 0}).status_code == 403
    assert status(made) == "pending"


def test_nobody_edits_adds_or_deletes_rows_by_hand_not_even_a_superuser(case, admin_user) -> None:
    made = case()
    decision = services.approve(case_id=made.pk, actor=admin_user)
    browser = client_of(admin_user)
    for model, pk in (("case", made.pk), ("decision", decision.pk)):
        base = f"/admin/booru_moderation/{model}/"
        assert browser.get(base + "add/").status_code == 403
        assert browser.get(f"{base}{pk}/delete/").status_code == 403
        assert browser.post(f"{base}{pk}/change/", {"state": "open", "note": "forged"}).status_code == 403
    assert Decision.objects.get().note == ""


def test_an_old_claim_is_not_shown(client, case, colleague) -> None:
    made = case()
    services.claim(case_id=made.pk, actor=colleague)
    Case.objects.filter(pk=made.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert "is looking" not in text(client.get(QUEUE))
    assert "is looking" not in text(client.get(page_of(made)))
