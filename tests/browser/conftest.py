"""A person at the board: headless Chromium, a live server, and a real worker with the real networks behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.browser.chromium import QUIET, binary
from tests.flows.board import moderator, uploader
from tests.flows.conftest import Workers

# Playwright runs an event loop in this thread; Django's database calls beside it are meant.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    path = binary()
    if path is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert errors == [], "the page's scripts complained"


@pytest.fixture
def board(transactional_db, media, settings, redis_url, live_server, tmp_path) -> Iterator[Any]:
    """The live server's address, with a Celery worker that runs the shipped networks."""
    settings.BOORU_ML = {**settings.BOORU_ML, "BROKER_URL": redis_url}
    workers = Workers(redis_url, media, tmp_path)
    workers._start("celery", "-A", "booru_ml.broker", "worker", "-c", "1", "-l", "info")
    yield live_server
    workers.close()


@pytest.fixture
def ann(transactional_db) -> User:
    return uploader("ann")


@pytest.fixture
def mod(transactional_db) -> User:
    user = moderator("mod")
    user.is_superuser = user.is_staff = True
    user.save()
    return user


def log_in(page: Any, board: Any, name: str) -> None:
    page.goto(f"{board.url}/login")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", "secret")
    page.click("form:has(input[name=password]) button")
    page.wait_for_url(lambda url: "/login" not in url)
