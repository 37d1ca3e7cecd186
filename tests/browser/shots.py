"""``make docs``: the pictures in docs/images, taken from the running demo.

The demo runs on a port and in a folder of its own, so that nothing but the project's own drawings is ever seen.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from deploy.demo.artist import draw
from tests.browser import chromium

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 860}
READY = "The board is at "


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    path = chromium.binary()
    if path is None:
        sys.exit("No Chromium on this machine; tests/browser/install-chromium.sh installs it.")
    with TemporaryDirectory() as home, _demo(home) as root, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.QUIET)
        page = browser.new_page(viewport=SIZE, device_scale_factor=1)
        _log_in(page, root, home, "moderator")
        page.goto(f"{root}/admin/booru_moderation/case/")
        _take(page, "queue")
        page.locator("a[href*='/booru_moderation/case/'][href*='/change/']").first.click()
        _take(page, "case")
        page.goto(f"{root}/posts/{_telling_post(page, root)}")
        _take(page, "post")
        page.goto(f"{root}/posts")
        _take(page, "board")
        known = page.request.get(f"{root}/booru/api/characters/").json()["results"]
        page.goto(f"{root}/admin/booru_tagging/sweep/preview/?subject={known[0]['id']}")
        _take(page, "dry-run")
        _make_work(page, root, home)
        page.goto(f"{root}/admin/booru_ml/queue/")
        _take(page, "jobs")
        browser.close()


@contextmanager
def _demo(home: str) -> Iterator[str]:
    command = [sys.executable, "manage.py", "booru_demo", "--port", "8765"]
    env = {**os.environ, "BOORU_HOME": home}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="")
            if READY in line:
                yield line.split(READY)[1].strip()
                break
        else:
            sys.exit("The demo ended before its board was up.")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _log_in(page: Any, root: str, home: str, name: str) -> None:
    password = json.loads((Path(home) / "demo-log-ins.json").read_text())[name]
    page.goto(f"{root}/login")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", password)
    page.click("form:has(input[name=password]) button")
    page.wait_for_url(lambda url: "/login" not in url)


def _make_work(page: Any, root: str, home: str) -> None:
    """Something for the job queue to show: a damaged upload, and old posts gone through."""
    whole = io.BytesIO()
    draw(character=3, pose=9, size=(384, 512)).image.save(whole, "JPEG")
    page.goto(f"{root}/posts/new")
    page.set_input_files(
        "input[type=file]", {"name": "torn.jpg", "mimeType": "image/jpeg", "buffer": whole.getvalue()[:9000]}
    )
    page.check("input[name=rating][value=g]")
    page.click("button:has-text('Upload')")
    page.wait_for_selector("a[href*='/posts/']")
    backfill = [sys.executable, "manage.py", "booru_backfill"]
    subprocess.run(backfill, cwd=ROOT, env={**os.environ, "BOORU_HOME": home}, check=True, timeout=120)


def _telling_post(page: Any, root: str) -> int:
    """The post with the surest suggested character: the page has most to show there."""
    best = (-1.0, 0)
    for post in page.request.get(f"{root}/posts.json?limit=100").json():
        said = page.request.get(f"{root}/booru/api/posts/{post['id']}/suggestions/").json()
        named = [item for item in said["suggestions"] if item["category"] == "character"]
        scores = [item["score"] for item in named if item["state"] == "suggested"]
        best = max(best, (max(scores, default=-1.0), int(post["id"])))
    return best[1]


def _take(page: Any, name: str) -> None:
    page.wait_for_load_state("load")
    page.wait_for_timeout(1000)  # previews load lazily
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    # 256 colours are plenty for a page, and a third of the bytes.
    shot.quantize(256, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
