"""Upload → the suggestion appears by itself → accepted → the tag stands on the post → undone."""

from __future__ import annotations

from typing import Any

from booru_ml.models import AnalysisJob
from deploy.demo.artist import character
from deploy.demo.board import services
from deploy.demo.board.models import Post
from embeddings.services import enrol
from embeddings.types import SupportRef
from tests.browser.conftest import log_in
from tests.flows.board import drawing, file
from tests.flows.conftest import all_finished, wait_for


def enrolled(ann: Any, mod: Any, number: int, pictures: int = 4) -> str:
    """A character known from a handful of analysed posts, and a rival."""
    for who in (number, number + 1):
        posts = [
            services.upload(uploader=ann, file=file(drawing(character=who, pose=pose)), tags="", rating="g", source="")
            for pose in range(pictures)
        ]
        wait_for(all_finished, 60)
        enrol(name=character(who).name, posts=[SupportRef(post.pk) for post in posts], actor=mod)
    return character(number).name


def test_an_uploader_sees_accepts_and_undoes_a_suggestion(page: Any, board: Any, ann: Any, mod: Any, tmp_path) -> None:
    name = enrolled(ann, mod, 2)
    log_in(page, board, "ann")
    path = tmp_path / "drawing.jpg"
    path.write_bytes(drawing(character=2, pose=11))

    page.goto(f"{board.url}/posts/new")
    page.set_input_files("input[type=file]", path)
    page.check("input[name=rating][value=g]")
    with page.expect_navigation():
        page.click("button:has-text('Upload')")
    post = Post.objects.order_by("-pk").first()
    assert post is not None
    page.goto(f"{board.url}/posts/{post.pk}")

    chip = page.locator("li.suggestion", has_text=name.replace("_", " ")).first
    chip.wait_for(timeout=60_000)
    chip.locator("button.accept").click()
    page.locator("#post-tags", has_text=name.replace("_", " ")).wait_for()
    assert post.tags.filter(name=name).exists()
    assert AnalysisJob.objects.filter(post=post).count() == 1

    page.locator("li.suggestion", has_text=name.replace("_", " ")).first.locator("button.undo").click()
    page.locator("#post-tags", has_not_text=name.replace("_", " ")).wait_for(state="attached")
    wait_for(lambda: not post.tags.filter(name=name).exists(), 10)
