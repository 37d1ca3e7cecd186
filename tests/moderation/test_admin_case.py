import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from moderation import services
from moderation.admin.overlay import marks
from moderation.models import Case
from moderation.selectors import item
from tagging.models import Suggestion
from tests.people import client_of

from .cases import face, status, suggest
from .findings import PHOTO, analysis
from .pages import QUEUE, page_of, text

EVIL = "<script>alert(1)</script>"
QUOTE = "\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def client(moderator) -> Client:
    return client_of(moderator)


# --- What it shows ----------------------------------------------------------------------------------------------------


def test_the_page_shows_everything_there_is_to_know(client, case, moderator, triage) -> None:
    made = case(PHOTO, source="https://example.org/art/1", rating="s")
    twin = case(PHOTO)
    triage([analysis(made.post_id, PHOTO, seed=5), analysis(twin.post_id, PHOTO, seed=5)])
    suggest(made, "blue_eyes", score=0.91, evidence={"kind": "tagger", "threshold": 0.35})
    suggest(made, "q", "rating", score=0.6)
    response = client.get(page_of(made))
    seen = text(response)
    assert "Looks like a photo rather than a drawing (98%)." in seen
    assert f"Nearly the same picture as post {twin.post_id}" in seen
    assert re.search(rf"post {twin.post_id} (99|100)% alike .*near-duplicate", seen)
    assert "sensitive as rated" in seen
    assert "blue eyes 91%" in seen
    assert "net is 91% sure; it suggests from 35%." in seen
    assert "rate it questionable 60%" in seen
    assert "Medium: drawing 2%, photo 98%" in seen
    assert 'href="https://example.org/art/1"' in response.content.decode()
    assert "Nothing was decided yet." in seen


def test_faces_are_drawn_over_the_picture_with_their_names(client, case) -> None:
    made = case()
    face(made, 0, (0.1, 0.5, 0.2, 0.2))
    face(made, 1, (0.6, 0.0, 0.4, 0.2))
    suggest(made, "hatsune_miku", "character", 0.93, evidence={"face": 0, "box": [0.1, 0.5, 0.2, 0.2]})
    first, second = marks(item(made.pk))
    assert (first.x, first.y, first.width, first.height) == (90, 600, 180, 240)
    assert (first.label, first.kind) == ("hatsune_miku 93%", "known")
    assert (second.label, second.kind) == ("unknown", "unknown")
    assert second.label_y >= 0
    assert second.label_x + second.label_width <= 900
    seen = text(client.get(page_of(made)))
    assert "Face 1: hatsune_miku 93%" in seen
    assert "Face 2: unknown" in seen


def test_an_accepted_name_stands_alone_and_a_rejected_one_not_at_all(case) -> None:
    made = case()
    face(made, 0, (0.1, 0.5, 0.2, 0.2))
    row = suggest(made, "miku", "character", 0.6, evidence={"box": [0.1, 0.5, 0.2, 0.2]}, state="rejected")
    assert marks(item(made.pk))[0].label == "unknown"
    Suggestion.objects.filter(pk=row.pk).update(state="accepted")
    assert [(mark.label, mark.kind) for mark in marks(item(made.pk))] == [("miku", "accepted")]


def test_a_picture_of_unknown_size_has_no_overlay(client, case) -> None:
    made = case()
    face(made, 0, (0.1, 0.5, 0.2, 0.2))
    Case.objects.filter(pk=made.pk).update(analysis={})
    assert marks(item(made.pk)) == ()
    assert client.get(page_of(made)).status_code == 200


def test_hostile_names_sources_notes_and_reasons_are_text(client, case, moderator) -> None:
    made = case(source=f"javascript:{EVIL}", picture=f"posts/{QUOTE}.png")
    face(made, 0, (0.1, 0.5, 0.2, 0.2))
    suggest(made, EVIL, evidence={"kind": "tagger"}, model_version=QUOTE[:64])
    suggest(made, QUOTE, "character", evidence={"box": [0.1, 0.5, 0.2, 0.2], "nearest": [EVIL], "kind": "prototype"})
    services.triage([analysis(made.post_id, refusal=type("R", (), {"code": QUOTE, "message": EVIL})())])
    decision = services.approve(case_id=made.pk, actor=moderator, note=EVIL)
    services.undo(decision_id=decision.pk, actor=moderator, note=QUOTE)
    for address in (page_of(made), QUEUE, f"{QUEUE}?q={QUOTE}"):
        body = client.get(address).content.decode()
        assert EVIL not in body
        assert "<img src=x" not in body
        assert 'href="javascript' not in body


def test_the_pages_carry_no_inline_script_style_or_handler_and_no_outside_asset(client, case) -> None:
    """So that a strict Content-Security-Policy can stay as it is."""
    made = case(PHOTO)
    suggest(made, "blue_eyes")
    for address in (page_of(made), QUEUE):
        body = client.get(address).content.decode()
        assert not re.search(r"\sstyle=", body)
        assert not re.search(r"\son[a-z]+=", body)
        assert not re.search(r"<script(?![^>]*\bsrc=)", body)
        assert not re.search(r'(?:src|<link[^>]*href)="(?:https?:)?//', body)
    for name in ("queue.css", "queue.js", "case.js"):
        path = finders.find(f"moderation/{name}")
        assert path
        assert "http" not in Path(path).read_text(encoding="utf-8")


def test_every_button_and_field_has_a_name_for_screen_readers(client, case) -> None:
    made = case(PHOTO)
    suggest(made, "blue_eyes")
    for address in (page_of(made), QUEUE):
        body = client.get(address).content.decode()
        main = body[body.index('id="content-main"') :]
        for tag, inner in re.findall(r"<button([^>]*)>(.*?)</button>", main, re.DOTALL):
            assert "aria-label=" in tag or re.search(r"[A-Za-z]{2}", re.sub(r"<[^>]*>", "", inner)), tag
        for field in re.findall(r"<input(?![^>]*hidden)([^>]*)>", main):
            key = re.search(r'id="([^"]+)"', field)
            labelled = "aria-label=" in field or (key and f'for="{key[1]}"' in main)
            assert labelled or re.search(rf"<label[^>]*>\s*<input{re.escape(field)}>", main), field


# --- Its verbs --------------------------------------------------------------------------------------------------------


def test_a_decision_goes_on_to_the_next_free_case_and_offers_its_undo(client, case, moderator, colleague) -> None:
    first, held, last = case(PHOTO | {"rating": {"e": 1.0}}), case(PHOTO), case()
    services.claim(case_id=held.pk, actor=colleague)
    form = {"verb": "approve", "version": first.version, "note": " fine "}
    response = client.post(f"{QUEUE}{first.pk}/decide/", form, follow=True)
    assert response.redirect_chain == [(page_of(last), 302)]
    assert f"Approved post {first.post_id}. Undo" in text(response)
    assert (status(first), first.decisions.get().note) == ("active", "fine")
    last.refresh_from_db()
    assert last.claimed_by == moderator
    (decision,) = re.findall(r'name="decision" value="(\d+)"', response.content.decode())
    response = client.post(QUEUE + "undo/", {"decision": decision}, follow=True)
    assert response.redirect_chain == [(page_of(first), 302)]
    assert status(first) == "pending"


def test_the_filter_by_reason_is_kept_from_case_to_case(client, case) -> None:
    first, plain, second = case(PHOTO | {"rating": {"e": 1.0}}), case(), case(PHOTO)
    form = {"verb": "reject", "version": 0, "reason": "not_drawn"}
    response = client.post(f"{QUEUE}{first.pk}/decide/", form)
    assert response.url == page_of(second) + "?reason=not_drawn"
    assert "1 of 1 with this reason" in text(client.get(response.url))
    response = client.post(f"{QUEUE}{second.pk}/skip/", {"reason": "not_drawn"}, follow=True)
    assert response.redirect_chain == [(QUEUE + "?reason=not_drawn", 302)]
    assert "last free case" in text(response)
    assert status(plain) == "pending"


def test_skipping_gives_the_claim_back_and_goes_on(client, case, moderator) -> None:
    first, second = case(PHOTO), case()
    services.claim(case_id=first.pk, actor=moderator)
    assert client.post(f"{QUEUE}{first.pk}/skip/").url == page_of(second)
    first.refresh_from_db()
    assert first.claimed_by is None


def test_a_stale_page_is_told_so_and_decides_nothing(client, case) -> None:
    made = case()
    Case.objects.filter(pk=made.pk).update(version=3)
    response = client.post(f"{QUEUE}{made.pk}/decide/", {"verb": "approve", "version": 0}, follow=True)
    assert response.redirect_chain == [(page_of(made), 302)]
    assert "reasons of this case changed" in text(response)
    assert status(made) == "pending"


def test_a_case_that_a_colleague_holds_shows_who_and_refuses_the_buttons(client, case, colleague) -> None:
    made = case()
    services.claim(case_id=made.pk, actor=colleague)
    body = client.get(page_of(made)).content.decode()
    assert "<strong>cole</strong> is looking" in body
    assert re.search(r'value="approve"[^>]*disabled', body)
    assert "data-claim" not in body
    response = client.post(f"{QUEUE}{made.pk}/decide/", {"verb": "approve", "version": 0}, follow=True)
    assert "cole is looking" in text(response)
    assert status(made) == "pending"


def test_the_open_page_claims_by_script_and_by_button(client, case, moderator, colleague) -> None:
    made = case()
    claim = f"{QUEUE}{made.pk}/claim/"
    answer = client.post(claim, headers={"accept": "application/json"})
    assert answer.status_code == 200
    assert answer.json()["claimed_until"]
    assert client.post(f"{QUEUE}{made.pk}/release/").status_code == 302
    services.claim(case_id=made.pk, actor=colleague)
    answer = client.post(claim, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (409, "claimed")
    assert "cole is looking" in text(client.post(claim, follow=True))


def test_suggestions_are_accepted_rejected_and_undone_from_the_page(client, case) -> None:
    made = case()
    yes, no = suggest(made, "blue_eyes"), suggest(made, "red_eyes")
    base = f"{QUEUE}{made.pk}/"
    response = client.post(f"{base}suggestions/{yes.pk}/accept/")
    assert response.url == page_of(made) + "#suggestions"
    client.post(f"{base}suggestions/{no.pk}/reject/")
    seen = text(client.get(page_of(made)))
    assert "mira accepted blue eyes" in seen
    assert "mira rejected red eyes" in seen
    assert "Tags blue eyes" in seen
    decision = yes.decisions.get()
    client.post(f"{base}tag-decisions/{decision.pk}/undo/")
    yes.refresh_from_db()
    assert yes.state == "suggested"
    assert "took back the decision on blue eyes" in text(client.get(page_of(made)))


def test_a_moderator_without_the_right_to_decide_suggestions_gets_no_buttons_and_a_403(case, colleague) -> None:
    made = case()
    row = suggest(made, "blue_eyes")
    browser = client_of(colleague)
    assert "Accept blue eyes" not in browser.get(page_of(made)).content.decode()
    assert browser.post(f"{QUEUE}{made.pk}/suggestions/{row.pk}/accept/").status_code == 403
    row.refresh_from_db()
    assert row.state == "suggested"


@pytest.mark.parametrize("address", ["suggestions/404/accept/", "suggestions/404/burn/", "tag-decisions/404/undo/"])
def test_what_is_gone_is_explained_on_the_case(client, case, address) -> None:
    response = client.post(f"{QUEUE}{case().pk}/{address}", follow=True)
    assert response.status_code == 200
    assert 'class="error"' in response.content.decode()


def test_a_decided_case_shows_its_history_and_one_undo(client, case, moderator, triage) -> None:
    made = case(PHOTO)
    first = services.approve(case_id=made.pk, actor=moderator)
    services.undo(decision_id=first.pk, actor=moderator)
    services.approve(case_id=made.pk, actor=moderator, note="after all")
    rough = {"quality": {"good": 0.0, "poor": 1.0}}
    triage([analysis(made.post_id, PHOTO | rough, sha256=made.analysis["sha256"])])
    services.reject(case_id=made.pk, actor=moderator)
    response = client.get(page_of(made))
    seen = text(response)
    order = [
        "rejected the post (active → deleted)",
        "reopened by a new reason: poor sketch",
        "approved the post (pending → active)",
        "took the decision back (active → pending)",
        "approved the post (pending → active)",
    ]
    places = [seen.index(order[0])]
    for line in order[1:]:
        places.append(seen.index(line, places[-1] + 1))
    assert places == sorted(places)
    assert "after all" in seen
    body = response.content.decode()
    assert "Undo this decision" in body
    assert len(set(re.findall(r'name="decision" value="(\d+)"', body))) == 1


def test_previous_and_next_walk_the_queue_without_deciding(client, case) -> None:
    first, second, third = case(PHOTO | {"rating": {"e": 1.0}}), case(PHOTO), case()
    body = client.get(page_of(second)).content.decode()
    assert f'href="{page_of(first)}" rel="prev"' in body
    assert f'href="{page_of(third)}" rel="next"' in body
    assert "2 of 3" in text(client.get(page_of(second)))
    assert 'rel="prev"' not in client.get(page_of(first)).content.decode()


def test_the_case_page_costs_a_bounded_number_of_queries(
    client, case, moderator, django_assert_max_num_queries
) -> None:
    made = case(PHOTO)
    for number in range(30):
        row = suggest(made, f"tag_{number}")
        if number % 2:
            client.post(f"{QUEUE}{made.pk}/suggestions/{row.pk}/accept/")
    client.get(page_of(made))
    with django_assert_max_num_queries(30):
        client.get(page_of(made))
