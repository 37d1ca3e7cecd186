"""Talks to the running board as a person's browser does, and to its API as a program does. Standard library only."""

from __future__ import annotations

import http.client
import json
import mimetypes
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

TIMEOUT = 60.0
_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Refused(Exception):
    """The board said no; ``body`` is its answer, the message its sentence."""

    def __init__(self, status: int, body: Any) -> None:
        self.status, self.body = status, body
        message = body.get("message") if isinstance(body, dict) else None
        super().__init__(message or f"The board answered {status}.")


class Browser:
    """A log-in with its cookies."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self.token = ""
        handlers = (urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({}))
        self.opener = urllib.request.build_opener(*handlers)

    def log_in(self, name: str, password: str) -> None:
        """Through the log-in page. Raises ``Refused``."""
        fields = {"username": name, "password": password, "next": "/about", "csrfmiddlewaretoken": self._csrf("/login")}
        with self._open("/login", urllib.parse.urlencode(fields).encode()) as answer:
            if not answer.geturl().endswith("/about"):
                raise Refused(403, {"message": f"{name} could not log in."})

    def upload(self, path: Path, *, tags: str = "", rating: str = "g", source: str = "") -> dict[str, Any]:
        """Through the upload form: ``{"id", "url", "sha256"}``. Raises ``Refused`` with the board's reason."""
        self.token = self.token or self._csrf("/posts/new")
        fields = {"tags": tags, "rating": rating, "source": source, "csrfmiddlewaretoken": self.token}
        body, kind = _multipart(fields, path)
        return self._json("/posts/new", body, {"Content-Type": kind, "Referer": f"{self.root}/posts/new"})

    def _csrf(self, page: str) -> str:
        with self._open(page) as answer:
            found = _CSRF.search(answer.read().decode())
        if found is None:
            raise Refused(200, {"message": f"The page {page} has no form."})
        return found[1]

    def _json(self, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        with self._open(path, body, {"Accept": "application/json", **headers}) as answer:
            return dict(json.load(answer))

    def _open(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        request = urllib.request.Request(self.root + path, body, headers or {})  # noqa: S310 - our own server
        return _answer(lambda: self.opener.open(request, timeout=TIMEOUT))


class Api:
    """The plugin's REST API with a token."""

    def __init__(self, root: str, token: str) -> None:
        self.root, self.token = root.rstrip("/") + "/booru/api/", token
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Raises ``Refused``."""
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.root + path, json.dumps(body).encode(), headers)  # noqa: S310
        with _answer(lambda: self.opener.open(request, timeout=TIMEOUT)) as answer:
            return dict(json.load(answer))


def answers(url: str) -> bool:
    """Whether ``url`` answers 200 within a second."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def _answer(call: Any) -> Any:
    try:
        return call()
    except urllib.error.HTTPError as error:
        with error:
            try:
                body = json.load(error)
            except ValueError:
                body = {"message": f"The board answered {error.code} to {urllib.parse.urlsplit(error.url).path}."}
        raise Refused(error.code, body) from None
    except (OSError, http.client.HTTPException) as error:
        raise Refused(0, {"message": f"The board does not answer: {error}"}) from None


def _multipart(fields: dict[str, str], path: Path) -> tuple[bytes, str]:
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    name = urllib.parse.quote(path.name)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
    parts += [f"--{boundary}\r\n{head}".encode(), path.read_bytes(), f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"
