"""The moderators' queue: a case is decided by keyboard, and the decision is undone."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.demo.board import services
from moderation.models import Case, Decision
from tests.browser.conftest import log_in
from tests.flows.board import drawing, file
from tests.flows.conftest import wait_for


@pytest.fixture
def case(page: Any, board: Any, ann: Any, mod: Any) -> Case:
    """A post in the queue, and a moderator before the browser."""
    post = services.upload(uploader=ann, file=file(drawing(character=5)), tags="", rating="g", source="")
    wait_for(lambda: Case.objects.filter(post=post).exists(), 60)
    log_in(page, board, "mod")
    return Case.objects.get(post=post)


def test_a_moderator_approves_and_undoes(page: Any, board: Any, case: Case) -> None:
    post = case.post

    cut: list[str] = []
    page.on("requestfailed", lambda request: cut.append(request.url) if "/claim/" in request.url else None)
    page.goto(f"{board.url}/admin/booru_moderation/case/")
    page.locator(f"a[href*='/case/{case.pk}/']").first.click()
    page.wait_for_url(lambda url: f"/case/{case.pk}/change/" in url)  # the queue has pictures, too, but no such keys
    page.wait_for_timeout(3500)  # longer than a claim may take
    assert cut == []
    page.keyboard.press("a")
    wait_for(lambda: Case.objects.get(pk=case.pk).state == Case.State.APPROVED, 15)
    post.refresh_from_db()
    assert post.status == "active"

    page.goto(f"{board.url}/admin/booru_moderation/case/{case.pk}/change/")
    page.locator("button:has-text('Undo')").first.click()
    wait_for(lambda: Case.objects.get(pk=case.pk).state == Case.State.OPEN, 15)
    post.refresh_from_db()
    assert post.status == "pending"
    assert [row.verb for row in Decision.objects.filter(case=case).order_by("pk")] == ["approve", "undo"]


@pytest.mark.parametrize(("key", "state"), [("a", Case.State.APPROVED), ("n", Case.State.OPEN)])
def test_a_key_pressed_at_once_goes_behind_the_claim(page: Any, board: Any, case: Case, key: str, state: str) -> None:
    """A claim that came after the decision would be refused, one after a skip would keep the case from others."""
    claims: list[Any] = []
    sent: list[str] = []
    page.route("**/claim/", lambda route: claims.append(route))
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto(f"{board.url}/admin/booru_moderation/case/{case.pk}/change/")
    page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert [url.split("/")[-2] for url in sent] == ["claim"]

    claims[0].continue_()
    page.wait_for_url(lambda url: f"/case/{case.pk}/change/" not in url)
    case.refresh_from_db()
    assert case.state == state
    assert case.claimed_by is None
