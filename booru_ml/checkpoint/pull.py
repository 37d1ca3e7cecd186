"""Checkpoints from elsewhere: a pinned revision of a Hugging Face repository, or an archive given with its sha256.

What comes is bounded in size, compared with what was pinned, and never executed or unpickled: of all that lies there
only the files that a checkpoint may hold are fetched.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from booru_ml.checkpoint import archives, files, pin, values
from booru_ml.checkpoint.archives import Left
from booru_ml.checkpoint.files import Folder
from booru_ml.checkpoint.shelf import Shelf
from booru_ml.errors import CheckpointError, InvalidInput

TIMEOUT_SECONDS = 30.0
_BLOCK = 2**20
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
Progress = Callable[[str], None]


def from_hub(repository: str, revision: str, room: Path, *, endpoint: str | None = None) -> tuple[Path, Left]:
    """The repository's checkpoint files in a folder under ``room``, and what else it holds. Needs ``booru-ml[hub]``.

    Raises ``InvalidInput`` for anything but a full commit hash (a branch or tag may be moved), ``CheckpointError`` for
    files that are missing, too large or not those of that commit.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise InvalidInput(f"A repository is OWNER/NAME, not {repository[:80]!r}.")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise InvalidInput(
            f"--revision must be a full commit hash of 40 hex digits, as a branch or tag may be moved, "
            f"not {revision[:80]!r}."
        )
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    folder = room / _folder_name(repository.split("/")[1])
    try:
        info = HfApi(endpoint=endpoint).model_info(repository, revision=revision, files_metadata=True)
        there = {item.rfilename: item for item in info.siblings or ()}
        listed = {name: item for name, item in there.items() if name in archives.TAKEN}
        if info.sha != revision or not {files.WEIGHTS, files.CONFIG} <= listed.keys():
            raise CheckpointError(
                f"{repository} has no {files.CONFIG} with {files.WEIGHTS} at {revision}. Only safetensors are taken: "
                "other formats can run code while they are read."
            )
        for name, item in listed.items():
            if (item.size or 0) > archives.limit_of(name):
                raise CheckpointError(f"{repository}: {name} is larger than such a file may be ({item.size:,} bytes).")
        # Another publisher's export has a layout of its own: hundreds of megabytes that nothing would read.
        order = sorted(listed, key=lambda name: (name != files.CONFIG, name == files.ONNX, name))
        for name in order:
            if name == files.ONNX and b'"booru"' not in (folder / files.CONFIG).read_bytes():
                del listed[name]
                continue
            hf_hub_download(repository, name, revision=revision, local_dir=folder, endpoint=endpoint)
            if not _is(folder / name, listed[name]):
                raise CheckpointError(f"{repository}: {name} is not the file of {revision}. Fetch it again.")
    # Its bases are OSError and that of the HTTP client, which is another one from release to release: where nothing
    # answers, the client's own errors come through.
    except HfHubHTTPError.__bases__ as error:  # type: ignore[misc]
        why = str(error).strip()[:300] or type(error).__name__
        raise CheckpointError(f"{repository} cannot be fetched: {why}") from error
    _finish(folder, f"Fetched from the Hugging Face hub: {repository} at {revision}.")
    return folder, tuple(there.keys() - listed.keys())


def from_url(
    url: str, sha256: str, shelf: Shelf, room: Path, *, name: str = "", say: Progress = lambda text: None
) -> tuple[Path, Left]:
    """The checkpoint of a zip or tar archive, in a folder under ``room``, and what else the archive holds. A download
    that broke off is gone on with.

    Raises ``InvalidInput`` or ``CheckpointError``; an archive of another sum is thrown away.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidInput(f"Only http and https addresses are fetched, not {url[:80]!r}.")
    sha256 = sha256.lower()
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise InvalidInput("--sha256 must be the archive's sum in 64 hex digits, as its publisher gives it.")
    part = shelf.folder / f".download-{sha256}"
    _download(url, part, say)
    if files.sha256(part) != sha256:
        part.unlink()
        raise CheckpointError(f"{url} is not the file with this sha256: damaged, or another one. Nothing was kept.")
    unpacked = room / "unpacked"
    unpacked.mkdir()
    try:
        inside, left = archives.unpack(part, unpacked, name=url)
    finally:
        part.unlink(missing_ok=True)
    stem = Path(urlsplit(url).path).name.split(".")[0]
    folder = room / _folder_name(name or inside or stem)
    unpacked.rename(folder)
    _finish(folder, f"Fetched from {url} (sha256 {sha256}).")
    return folder, left


def _download(url: str, part: Path, say: Progress) -> None:
    """To ``part``, from where an earlier try left off; the sum tells afterwards whether the pieces belong together."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.UnknownHandler,  # what a redirect to anything else ends in
    ):
        opener.add_handler(handler())
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "booru-ml"} | _range(have))  # noqa: S310 - checked
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            resumed = answer.status == 206
            length = int(answer.headers.get("Content-Length") or 0) + (have if resumed else 0)
            if length > files.LARGEST:
                raise CheckpointError(f"{url} is larger than the {files.LARGEST:,} bytes that are fetched at most.")
            with part.open("ab" if resumed else "wb") as file:
                while block := answer.read(_BLOCK):
                    if file.tell() + len(block) > files.LARGEST:
                        raise CheckpointError(f"{url} does not end. Nothing was kept.")
                    file.write(block)
                    say(f"{file.tell() / 1e6:,.0f} of {length / 1e6:,.0f} MB")
                done = file.tell()
    except urllib.error.HTTPError as error:
        if error.code == 416:  # All of it is here already.
            return
        raise CheckpointError(f"{url} cannot be fetched: {error}.") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise CheckpointError(f"{url} cannot be fetched: {error}. Run the same command again to go on.") from error
    if length and done < length:
        raise CheckpointError(f"{url} broke off after {done:,} of {length:,} bytes. Run the same command to go on.")


def _range(have: int) -> dict[str, str]:
    return {"Range": f"bytes={have}-"} if have else {}


def _is(path: Path, item: Any) -> bool:
    """Whether a file is what the commit says: by its sha256 where it is stored apart, else by its blob id."""
    if item.lfs is not None:
        return bool(files.sha256(path) == item.lfs.sha256)
    data = path.read_bytes()
    return bool(hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == item.blob_id)  # noqa: S324 - git's own


def _folder_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).lstrip(".-_")[:40]
    if not values.NAME.fullmatch(name):
        raise InvalidInput(f"{text[:60]!r} makes no name for a checkpoint. Give one with --name.")
    return name


def _finish(folder: Path, origin: str) -> None:
    """Compares with the publisher's sums where there are any; the publisher's own words become the card."""
    if (folder / files.SUMS).exists():
        Folder(folder).verify(missing_ok=True)
    readme, card = folder / archives.README, folder / files.CARD
    if readme.exists() and not card.exists():
        card.write_bytes(f"<!-- {origin} -->\n".encode() + readme.read_bytes())
        readme.unlink()
    pin(folder)
