"""People who upload, whatever happens: each through the board's own service, and on the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, InterfaceError, connection

from deploy.demo.board import services
from tests.faults.pictures import plain


class Uploads:
    def __init__(self, uploader: Any) -> None:
        self.uploader = uploader
        self.posts: list[Any] = []
        self.seconds: list[float] = []
        self.failures: list[Exception] = []

    def one(self, content: bytes | None = None) -> Any:
        file = SimpleUploadedFile("picture.png", plain() if content is None else content)
        begun = time.monotonic()
        post = services.upload(uploader=self.uploader, file=file, rating="g")
        self.seconds.append(time.monotonic() - begun)
        self.posts.append(post.pk)
        return post.pk

    def many(self, count: int, make: Callable[[], bytes] = plain) -> list[Any]:
        return [self.one(make()) for _ in range(count)]

    @contextmanager
    def steadily(self, rate: float, make: Callable[[], bytes] = plain) -> Iterator[None]:
        """``rate`` uploads a second by a thread of their own until the block ends; failures are kept, not raised."""
        stop = threading.Event()

        def go() -> None:
            while not stop.wait(1 / rate):
                try:
                    self.one(make())
                except (DatabaseError, InterfaceError) as error:
                    self.failures.append(error)
                    connection.close()
            connection.close()

        thread = threading.Thread(target=go, name="uploads")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive(), "an upload hangs"
