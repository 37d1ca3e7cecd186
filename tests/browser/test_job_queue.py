"""The queue's page: what failed is run again by keyboard, and the page follows by itself."""

from __future__ import annotations

from typing import Any

from booru_ml.models import AnalysisJob, Backfill
from deploy.demo.board import services
from tests.browser.conftest import log_in
from tests.flows.board import file, png
from tests.flows.conftest import wait_for

State = AnalysisJob.State


def failed_post(ann: Any) -> AnalysisJob:
    post = services.upload(uploader=ann, file=file(png()), tags="", rating="g", source="")
    jobs = AnalysisJob.objects.filter(post=post)
    jobs.update(state=State.QUARANTINED, code="sink_failed", message="<b>no</b>", finished_at=post.created_at)
    return jobs.get()


def test_failures_are_run_again_by_keyboard(page: Any, live_server: Any, ann: Any, mod: Any, media: Any) -> None:
    jobs = [failed_post(ann) for _ in range(3)]
    log_in(page, live_server, "mod")
    page.goto(f"{live_server.url}/admin/booru_ml/queue/")

    page.locator("summary").focus()
    page.keyboard.press("Enter")
    page.locator(f"[data-key=rerun-job-{jobs[0].pk}]").press("Enter")
    page.wait_for_selector("h1:has-text('Run one job again?')")
    page.keyboard.press("Enter")  # the button has the focus
    page.wait_for_selector(".messagelist :text('1 job runs again')")
    assert AnalysisJob.objects.get(pk=jobs[0].pk).state == State.QUEUED

    page.locator("[data-key=all-given-up]").press("Enter")
    page.locator("button:has-text('Run 2 again')").press("Enter")
    wait_for(lambda: not AnalysisJob.objects.failed().exists(), 10)


def test_page_follows_by_itself_and_keeps_what_is_open(
    page: Any, live_server: Any, ann: Any, mod: Any, media: Any
) -> None:
    failed_post(ann)
    backfill = Backfill.objects.create(total=10, pipeline_version="x@1")
    log_in(page, live_server, "mod")
    page.goto(f"{live_server.url}/admin/booru_ml/queue/")
    page.locator("summary").click()
    page.locator("[data-key=pause]").focus()
    failed_post(ann)
    page.wait_for_selector(".bq-count:has-text('2')", timeout=10_000)
    assert page.locator("details[open]").count() == 1
    assert page.evaluate("document.activeElement.dataset.key") == "pause"
    page.keyboard.press("Enter")
    page.wait_for_selector(".messagelist :text('pauses')")
    backfill.refresh_from_db()
    assert backfill.state == Backfill.State.PAUSED
