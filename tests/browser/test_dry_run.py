"""The dry run's slider: what the bar lets through is shown and counted, and ordered with that bar."""

from __future__ import annotations

from typing import Any

from deploy.demo.board import services
from embeddings import services as embeddings
from embeddings.types import SupportRef
from tagging.models import Sweep
from tests.browser.conftest import log_in
from tests.embeddings.conftest import encoder, fresh_process  # noqa: F401
from tests.embeddings.factories import Artist, analysis, finding
from tests.flows.board import file, png


def test_the_bar_moves_what_is_shown_and_what_is_ordered(
    page: Any, live_server: Any, ann: Any, mod: Any, media: Any
) -> None:
    draw = Artist(seed=3, noise=1.0)
    look = draw.character()
    posts = []
    for _ in range(9):
        posts.append(services.upload(uploader=ann, file=file(png()), tags="", rating="g", source=""))
        embeddings.remember([analysis(posts[-1], finding(draw.picture(look)))])
    miku = embeddings.enrol(name="miku", posts=[SupportRef(item.pk) for item in posts[:3]], actor=mod)
    log_in(page, live_server, "mod")
    page.goto(f"{live_server.url}/admin/booru_tagging/sweep/preview/?subject={miku.pk}")

    def shown() -> int:
        return page.locator("#named > li:visible").count()

    chances = sorted(float(item.get_attribute("data-probability")) for item in page.locator("#named > li").all())
    assert shown() == len(chances) >= 2
    middle = round(100 * (chances[0] + chances[-1]) / 2)
    page.locator("#threshold").fill(str(middle))
    kept = sum(chance >= middle / 100 for chance in chances)
    assert shown() == kept < len(chances)
    assert page.locator("#count").inner_text() == f"{kept} post{'s' * (kept != 1)}"
    page.keyboard.press("+")
    assert page.locator("#bar").inner_text() == f"{middle + 1} %"
    page.locator("button:has-text('Look for it on all posts')").click()
    page.wait_for_selector(".messagelist :text('looked for on all 9 posts')")
    assert Sweep.objects.get().threshold == (middle + 1) / 100
