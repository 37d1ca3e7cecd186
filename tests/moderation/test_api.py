import uuid

import pytest
from rest_framework.test import APIClient

from moderation import services
from moderation.models import Case, Decision
from tagging.models import Suggestion
from tests.people import user

from .cases import status
from .findings import PHOTO, analysis

ROOT = "/booru/api/"


def api(actor=None) -> APIClient:
    client = APIClient()
    if actor:
        client.force_login(actor)
    return client


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_the_queue_lists_open_cases_most_urgent_first_with_everything_known(case, moderator, triage) -> None:
    plain, photo = case(), case(PHOTO, source="https://example.org/1")
    triage([analysis(plain.post_id, seed=3), analysis(photo.post_id, PHOTO, seed=3)])
    Suggestion.objects.create(
        post_id=photo.post_id, name="blue_eyes", category="general", score=0.9, source="model", model_version="m"
    )
    page = api(moderator).get(f"{ROOT}queue/").json()
    assert [row["id"] for row in page["results"]] == [photo.pk, plain.pk]
    row = page["results"][0]
    assert row["post"]["id"] == photo.post_id
    assert row["post"]["source"] == "https://example.org/1"
    assert (row["state"], row["claimed_by"], row["uploader"]) == ("open", None, "uploader")
    assert {flag["reason"] for flag in row["flags"]} == {"not_drawn", "duplicate"}
    assert [share["rating"] for share in row["ratings"]] == ["g", "s", "q", "e"]
    assert row["scores"]["medium"]["photo"] == pytest.approx(0.98)
    assert [view["name"] for view in row["suggestions"]] == ["blue_eyes"]
    assert [(near["post"], near["duplicate"]) for near in row["neighbours"]] == [(plain.post_id, True)]
    assert row["value"] > page["results"][1]["value"]
    assert api(moderator).get(f"{ROOT}queue/{photo.pk}/").json()["version"] == row["version"]


def test_the_queue_is_filtered_by_state_reason_and_claim(case, moderator, colleague) -> None:
    plain, photo, done, held = case(), case(PHOTO), case(), case()
    services.approve(case_id=done.pk, actor=moderator)
    services.claim(case_id=held.pk, actor=colleague)
    services.claim(case_id=plain.pk, actor=moderator)

    def ids(**query) -> set[int]:
        return {row["id"] for row in api(moderator).get(f"{ROOT}queue/", query).json()["results"]}

    assert ids() == {plain.pk, photo.pk, held.pk}
    assert ids(state="approved") == {done.pk}
    assert ids(state="all") == {plain.pk, photo.pk, done.pk, held.pk}
    assert ids(reason="not_drawn") == {photo.pk}
    assert ids(held="mine") == {plain.pk}
    assert ids(held="free") == {plain.pk, photo.pk}


@pytest.mark.parametrize(
    "query", [{"state": "lost"}, {"reason": "x"}, {"held": "x"}, {"sate": "open"}, {"page_size": "0"}]
)
def test_a_mistyped_filter_is_refused_rather_than_ignored(moderator, query) -> None:
    response = api(moderator).get(f"{ROOT}queue/", query)
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


def test_paging_goes_through_the_whole_queue_even_while_cases_are_decided(case, moderator) -> None:
    cases = [case(PHOTO if number % 2 else None) for number in range(7)]
    client = api(moderator)
    seen, url = [], f"{ROOT}queue/?page_size=2"
    while url:
        page = client.get(url).json()
        seen += [row["id"] for row in page["results"]]
        services.approve(case_id=page["results"][0]["id"], actor=moderator)
        url = page["next"]
    assert sorted(seen) == sorted(item.pk for item in cases)
    assert len(seen) == len(set(seen))


def test_a_page_costs_the_same_number_of_queries_for_few_and_many(
    case, moderator, django_assert_max_num_queries
) -> None:
    client = api(moderator)
    for _ in range(2):
        for _ in range(6):
            case(PHOTO)
        with django_assert_max_num_queries(20):
            client.get(f"{ROOT}queue/")


# --- Deciding ---------------------------------------------------------------------------------------------------------


def test_claim_release_next_approve_reject_and_undo(case, moderator) -> None:
    client, urgent, plain = api(moderator), case(PHOTO), case()
    assert client.post(f"{ROOT}queue/next/", {"reason": "not_drawn"}, "json").json()["id"] == urgent.pk
    assert client.post(f"{ROOT}queue/{urgent.pk}/release/").json()["claimed_by"] is None
    assert client.post(f"{ROOT}queue/{urgent.pk}/claim/").json()["claimed_by"] == "mira"
    body = {"version": urgent.version, "note": "a drawing of a photo"}
    answer = client.post(f"{ROOT}queue/{urgent.pk}/approve/", body, "json").json()
    assert answer["case"]["state"] == "approved"
    assert (answer["decision"]["status_before"], answer["decision"]["status_after"]) == ("pending", "active")
    assert status(urgent) == "active"
    undone = client.post(f"{ROOT}decisions/{answer['decision']['id']}/undo/").json()
    assert (undone["decision"]["undoes"], undone["case"]["state"]) == (answer["decision"]["id"], "open")
    assert status(urgent) == "pending"
    assert client.post(f"{ROOT}queue/{plain.pk}/reject/", {}, "json").json()["case"]["post"]["status"] == "deleted"
    history = client.get(f"{ROOT}queue/{urgent.pk}/decisions/").json()["results"]
    assert [row["verb"] for row in history] == ["undo", "approve"]
    assert history[1]["note"] == "a drawing of a photo"


def test_suggestions_are_accepted_along_with_an_approval(case, moderator) -> None:
    made = case()
    row = Suggestion.objects.create(
        post_id=made.post_id, name="blue_eyes", category="general", score=0.9, source="model", model_version="m"
    )
    answer = api(moderator).post(f"{ROOT}queue/{made.pk}/approve/", {"suggestions": [row.pk]}, "json").json()
    assert answer["case"]["suggestions"][0]["state"] == "accepted"
    assert len(answer["decision"]["tag_decisions"]) == 1


def test_many_cases_at_once_and_why_some_were_left(case, moderator, colleague) -> None:
    fine, held = case(), case()
    services.claim(case_id=held.pk, actor=colleague)
    body = {"verb": "reject", "cases": [{"id": fine.pk, "version": 0}, {"id": held.pk}, {"id": 404}]}
    answer = api(moderator).post(f"{ROOT}queue/decide/", body, "json").json()
    assert [row["case"] for row in answer["decisions"]] == [fine.pk]
    assert {row["id"]: row["code"] for row in answer["refused"]} == {held.pk: "claimed", 404: "not_found"}


def test_conflicts_are_409_with_what_to_do(case, moderator, colleague) -> None:
    held, changed, done = case(), case(), case()
    services.claim(case_id=held.pk, actor=colleague)
    services.approve(case_id=done.pk, actor=colleague)
    Case.objects.filter(pk=changed.pk).update(version=5)
    client = api(moderator)
    answers = [client.post(f"{ROOT}queue/{item.pk}/approve/", {"version": 0}, "json") for item in (held, changed, done)]
    assert [answer.status_code for answer in answers] == [409] * 3
    assert [answer.json()["code"] for answer in answers] == ["claimed", "stale_state", "stale_state"]
    assert answers[0].json()["extra"]["claimed_by"] == "cole"
    assert answers[1].json()["extra"]["version"] == 5
    assert client.post(f"{ROOT}queue/{done.pk}/claim/").status_code == 409


def test_an_empty_queue_has_no_next_case(moderator) -> None:
    answer = api(moderator).post(f"{ROOT}queue/next/")
    assert (answer.status_code, answer.json()["code"]) == (404, "queue_empty")


@pytest.mark.parametrize(
    "body",
    [
        {"version": "x"},
        {"version": -1},
        {"version": 2**40},
        {"note": "x" * 3000},
        {"note": "a\x00b"},
        {"suggestions": "1"},
        {"suggestions": [0]},
        {"suggestions": list(range(1, 200))},
        {"state": "approved"},
        [],
        "text",
    ],
)
def test_a_body_that_makes_no_sense_is_a_400_and_decides_nothing(case, moderator, body) -> None:
    made = case()
    answer = api(moderator).post(f"{ROOT}queue/{made.pk}/approve/", body, "json")
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert status(made) == "pending"


# --- Who may ----------------------------------------------------------------------------------------------------------

READS = ["queue/", "queue/{case}/", "queue/{case}/decisions/"]
WRITES = [
    "queue/next/",
    "queue/decide/",
    "queue/{case}/claim/",
    "queue/{case}/release/",
    "queue/{case}/approve/",
    "queue/{case}/reject/",
    "decisions/{decision}/undo/",
]
# (reads, writes) by who asks.
MATRIX = {
    "nobody": (401, 401),
    "user": (403, 403),
    "uploader of the post": (403, 403),
    "staff": (403, 403),
    "tag moderator": (403, 403),
    "viewer": (200, 403),
    "moderator": (200, 200),
    "superuser": (200, 200),
}


def who(name: str, uploader):
    match name:
        case "nobody":
            return None
        case "user":
            return user()
        case "uploader of the post":
            return uploader
        case "staff":
            return user(is_staff=True)
        case "tag moderator":
            return user("booru_tagging.decide_suggestion")
        case "viewer":
            return user("booru_moderation.view_case")
        case "moderator":
            return user("booru_moderation.decide_case")
        case "superuser":
            return user(is_superuser=True)


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("address", READS)
def test_who_reads(case, uploader, name, address) -> None:
    made = case(PHOTO)
    response = api(who(name, uploader)).get(ROOT + address.format(case=made.pk))
    assert response.status_code == MATRIX[name][0]


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("address", WRITES)
def test_who_decides(case, uploader, moderator, name, address) -> None:
    made, done = case(PHOTO), case()
    decision = services.approve(case_id=done.pk, actor=moderator)
    body = {"verb": "approve", "cases": [{"id": made.pk}]} if address == "queue/decide/" else {}
    response = api(who(name, uploader)).post(ROOT + address.format(case=made.pk, decision=decision.pk), body, "json")
    assert response.status_code == MATRIX[name][1]
    if response.status_code != 200:
        made.refresh_from_db()
        assert (made.state, made.claimed_by, Decision.objects.count()) == ("open", None, 1)


@pytest.mark.parametrize("address", [*READS, *WRITES])
def test_who_may_not_see_the_queue_does_not_learn_what_exists(case, uploader, address) -> None:
    made = case()
    real = ROOT + address.format(case=made.pk, decision=1)
    absent = ROOT + address.format(case=987654, decision=987654)
    client = api(uploader)
    method = client.get if address in READS else client.post
    assert method(real).status_code == method(absent).status_code == 403


def test_a_session_needs_the_csrf_token(case, moderator) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(moderator)
    made = case()
    assert client.post(f"{ROOT}queue/{made.pk}/approve/", {}, "json").status_code == 403
    assert status(made) == "pending"


def test_unknown_cases_and_decisions_are_404_for_moderators(moderator) -> None:
    client = api(moderator)
    assert client.get(f"{ROOT}queue/404/").status_code == 404
    assert client.get(f"{ROOT}queue/404/decisions/").status_code == 404
    for address in ("queue/404/claim/", "queue/404/approve/", "decisions/404/undo/", f"queue/{uuid.uuid4()}/claim/"):
        assert client.post(ROOT + address).status_code == 404
    huge = 2**70
    assert client.get(f"{ROOT}queue/{huge}/").status_code == 404
