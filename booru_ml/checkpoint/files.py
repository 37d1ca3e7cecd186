"""A checkpoint's files, read as if a stranger had written them: plain names, bounded sizes, pinned sums."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from booru_ml.errors import CheckpointError

SUMS = "SHA256SUMS"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
HEADS = "heads.safetensors"
ONNX = "model.onnx"
LABELS = "labels.csv"
WD_LABELS = "selected_tags.csv"
THRESHOLDS = "thresholds.csv"
CALIBRATION = "calibration.csv"
CARD = "card.md"

KNOWN = (CONFIG, WEIGHTS, HEADS, ONNX, LABELS, WD_LABELS, THRESHOLDS, CALIBRATION, CARD)
"""All that a folder may hold beside its sums; whatever else lies there is never read."""

# Files that decide what the checkpoint answers; ``model.onnx`` is derived from them, the card only describes them.
IDENTITY = (CONFIG, WEIGHTS, HEADS, LABELS, WD_LABELS, THRESHOLDS, CALIBRATION)

MIB = 2**20
SMALL = {CONFIG: MIB, CARD: MIB, CALIBRATION: MIB}
LIMITS = {SUMS: MIB // 16, **SMALL, LABELS: 64 * MIB, WD_LABELS: 64 * MIB, THRESHOLDS: 64 * MIB}
LARGEST = 16 * 1024 * MIB
DEEPEST = 32
"""Of JSON: what is nested deeper would end the recursions of whoever walks through it."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LINE = re.compile(rf"([0-9a-f]{{64}}) [ *]({_NAME.pattern})")


class Folder:
    """The files of one checkpoint. Every failure is a ``CheckpointError`` that names the folder and the cure."""

    def __init__(self, path: str | Path, sums: Mapping[str, str] | None = None) -> None:
        """``sums``: what to go by instead of those that are pinned."""
        self.path = Path(path)
        if not self.path.is_dir():
            self.fail("is no folder. Correct the path, here or in BOORU_ML['CHECKPOINTS'], or put the checkpoint there")
        self.path = self.path.resolve()
        self.sums = self._read_sums() if sums is None else sums

    def __contains__(self, name: str) -> bool:
        return name in self.sums

    def fail(self, what: str) -> NoReturn:
        raise CheckpointError(f"Checkpoint {self.path}: {short(what)}.", path=str(self.path))

    def file(self, name: str) -> Path:
        """The path of a pinned file: regular, inside the folder and not larger than its limit."""
        if name not in self.sums:
            self.fail(f"{SUMS} does not name {name}. Fetch the checkpoint again, or add the file's sum if you trust it")
        return self._inside(name)

    def text(self, name: str) -> str:
        """A small file's text, checked against its sum."""
        return self._decode(name, self._checked(name))

    def json(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads(self.text(name), parse_constant=self._no_constant)
        except (ValueError, RecursionError) as error:
            self.fail(f"{name} is no valid JSON ({error}). Fetch the checkpoint again")
        if not isinstance(value, dict):
            self.fail(f"{name} must hold one JSON object")
        if _depth(value) > DEEPEST:
            self.fail(f"{name} is nested more than {DEEPEST} deep, which no configuration is")
        return value

    def verify(self, *, missing_ok: bool = False) -> None:
        """Compares every pinned file with its sum; ``missing_ok``: those that are there."""
        for name, pinned in self.sums.items():
            if missing_ok and not (self.path / name).exists():
                continue
            if sha256(self._inside(name)) != pinned:
                self._changed(name)

    def _read_sums(self) -> dict[str, str]:
        if not (self.path / SUMS).exists():
            self.fail(
                f"has no {SUMS}, so damage would go unseen. If you trust its files as they are now, "
                f"run: manage.py booru_model pin {self.path}"
            )
        sums: dict[str, str] = {}
        for line in self._decode(SUMS, self._inside(SUMS).read_bytes()).splitlines():
            match = _LINE.fullmatch(line)
            if not match or match[2] == SUMS or match[2] in sums:
                self.fail(f"{SUMS} has a line that is not '<sha256>  <file name>': {line[:80]!r}")
            sums[match[2]] = match[1]
        return sums

    def _inside(self, name: str) -> Path:
        path = self.path / name
        if not path.exists():
            self.fail(f"{name} is missing though {SUMS} names it. Fetch the checkpoint again")
        if path.resolve().parent != self.path or not path.is_file():
            self.fail(f"{name} is a link out of the folder or no regular file. Copy the file itself into the folder")
        limit = LIMITS.get(name, LARGEST)
        if path.stat().st_size > limit:
            self.fail(f"{name} is larger than the {limit:,} bytes that such a file may have")
        return path

    def _checked(self, name: str) -> bytes:
        data = self.file(name).read_bytes()
        if hashlib.sha256(data).hexdigest() != self.sums[name]:
            self._changed(name)
        return data

    def _changed(self, name: str) -> NoReturn:
        self.fail(
            f"{name} differs from its sum in {SUMS}: damaged or edited. Fetch the checkpoint again, "
            f"or, if you changed it on purpose, run: manage.py booru_model pin {self.path}"
        )

    def _decode(self, name: str, data: bytes) -> str:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            self.fail(f"{name} is no UTF-8 text")

    def _no_constant(self, name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")


def short(text: str) -> str:
    """The text as a message can hold it, whatever a stranger's file put into it."""
    return text if len(text) <= 600 else f"{text[:400]} … {text[-150:]}"


def _depth(value: Any) -> int:
    """How deep lists and objects lie in each other; by levels, as recursion is what this guards against."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        level = [item for inner in level for item in (inner.values() if isinstance(inner, dict) else inner)]
        depth += 1
    return depth


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums_of(path: str | Path) -> dict[str, str]:
    """Of the folder's regular files as they are now; one of a strange name is nobody's, and never read.

    Raises ``CheckpointError``.
    """
    try:
        files = sorted(file for file in Path(path).iterdir() if file.is_file() and not file.is_symlink())
        return {file.name: sha256(file) for file in files if file.name != SUMS and _NAME.fullmatch(file.name)}
    except OSError as error:
        raise CheckpointError(f"Checkpoint {path}: its files cannot be read: {error}.") from error


def pin(path: str | Path, sums: Mapping[str, str] | None = None) -> None:
    """Writes ``SHA256SUMS``: ``sums``, or ``sums_of`` the folder. Raises ``CheckpointError`` where it cannot."""
    folder = Path(path)
    partial = folder / f".{SUMS}.partial"
    lines = [f"{digest}  {name}\n" for name, digest in (sums_of(folder) if sums is None else sums).items()]
    try:
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(folder / SUMS)
    except OSError as error:
        raise CheckpointError(f"Checkpoint {folder}: its sums cannot be written: {error}.") from error
