"""Work done at the same moment, in threads of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from django.db import connections

from booru_ml.errors import BooruError


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """What each job returned, or the error that refused it; any other error is raised here."""
    start = Barrier(len(jobs), timeout=20)

    def run(job: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return job()
        except BooruError as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))
