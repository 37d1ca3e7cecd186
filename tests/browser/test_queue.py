"""The moderators' queue: a case is decided by keyboard, and the decision is undone."""

from __future__ import annotations

from typing import Any

from deploy.demo.board import services
from moderation.models import Case, Decision
from tests.browser.conftest import log_in
from tests.flows.board import drawing, file
from tests.flows.conftest import wait_for


def test_a_moderator_approves_and_undoes(page: Any, board: Any, ann: Any, mod: Any) -> None:
    post = services.upload(uploader=ann, file=file(drawing(character=5)), tags="", rating="g", source="")
    wait_for(lambda: Case.objects.filter(post=post).exists(), 60)
    case = Case.objects.get(post=post)
    log_in(page, board, "mod")

    page.goto(f"{board.url}/admin/booru_moderation/case/")
    page.locator(f"a[href*='/case/{case.pk}/']").first.click()
    page.wait_for_url(lambda url: f"/case/{case.pk}/change/" in url)  # the queue has pictures, too, but no such keys
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
