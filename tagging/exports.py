"""What people decided about the board's posts, as a folder that ``booru_train`` reads."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from booru_ml.disk import whole, writing
from booru_ml.errors import InvalidInput, NotFound
from booru_ml.host.loader import host
from booru_ml.types import Category, PostFacts, TagRef
from tagging.models import Suggestion, TagDecision

State = Suggestion.State
COLUMNS = ("path", "character", "artist", "quality", "rating", "tags", "rejected", "group")
MANIFEST = "manifest.csv"
BATCH = 200
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Exported:
    """How many posts the manifest lists, how many pictures were there already, how many posts have none any more."""

    posts: int
    kept: int
    gone: int


def decided_posts() -> list[Any]:
    """Ids of posts that a person decided something about, which still stands; oldest first."""
    standing = TagDecision.objects.filter(undone_by=None, actor__isnull=False).exclude(verb=TagDecision.Verb.UNDO)
    rows = Suggestion.objects.filter(state__in=[State.ACCEPTED, State.REJECTED], decisions__in=standing)
    return list(rows.order_by("post_id").values_list("post_id", flat=True).distinct())


def export(folder: Path, *, link: bool = True) -> Iterator[Exported]:
    """Writes ``folder``: the pictures (hard links where the board's storage allows it and ``link``), then
    ``manifest.csv`` in one piece. Gives its counts after each post; pictures that are there stay, so it can be cut off
    and begun again. Raises ``InvalidInput`` for a folder of somebody else's, ``Unavailable`` where nothing can be
    written.

    ``tags`` are what the post carries now, ``rejected`` what people said it does not show. A post has a ``character``
    or ``artist`` where it carries exactly one and a person accepted it.
    """
    with writing(folder):
        _claim(folder)
    rows: list[Mapping[str, str]] = []
    posts = kept = gone = 0
    wanted = decided_posts()
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        facts = host().facts(batch)
        said = _said(batch)
        for post_id in batch:
            try:
                if post_id not in facts or facts[post_id].status == "deleted":
                    raise NotFound(f"Post {post_id} is gone.")
                name, there = _picture(folder, post_id, link=link)
            except NotFound:
                gone += 1
            else:
                posts, kept = posts + 1, kept + there
                rows.append(_row(name, facts[post_id], said[post_id]))
            yield Exported(posts, kept, gone)
    _write(folder, rows)


def _claim(folder: Path) -> None:
    """Makes the folder, with a manifest from the start: it tells ours, where pictures may stay, from any other."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob("[!.]*")):
        _write(folder, [])
    manifest = folder / MANIFEST
    if not manifest.is_file() or not manifest.read_bytes().startswith(f"{','.join(COLUMNS)}\n".encode()):
        raise InvalidInput(
            f"{folder} holds something else than an export of this command, which would be lost; name another folder."
        )


def _write(folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with whole(folder / MANIFEST) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _said(post_ids: Sequence[Any]) -> dict[Any, dict[str, list[TagRef]]]:
    """Accepted and rejected suggestions by post."""
    found: dict[Any, dict[str, list[TagRef]]] = defaultdict(lambda: {State.ACCEPTED: [], State.REJECTED: []})
    rows = Suggestion.objects.of_posts(post_ids, states=[State.ACCEPTED, State.REJECTED])
    for post_id, state, name, category in rows.order_by("id").values_list("post_id", "state", "name", "category"):
        found[post_id][state].append(TagRef(name, Category(category)))
    return found


def _row(name: str, facts: PostFacts, said: Mapping[str, Sequence[TagRef]]) -> Mapping[str, str]:
    accepted = said[State.ACCEPTED]
    ratings = [ref.name for ref in accepted if ref.category is Category.RATING]
    qualities = [ref.name for ref in accepted if ref.category is Category.QUALITY]
    return {
        "path": name,
        "character": _only(Category.CHARACTER, facts, accepted),
        "artist": _only(Category.ARTIST, facts, accepted),
        "quality": qualities[-1] if qualities else "",
        # What stands on the board now is what people left there, whichever suggestion it came from.
        "rating": facts.rating.value if facts.rating and ratings else "",
        "tags": " ".join(sorted(_word(tag) for tag in facts.tags)),
        "rejected": " ".join(sorted(_word(tag) for tag in said[State.REJECTED] if tag.category.is_tag)),
        # Pages of one work have one source and must not stand on two sides of a split. Its digest, for a source is
        # whatever the uploader typed, and a table's program takes =… for a formula.
        "group": hashlib.sha256(facts.source.encode()).hexdigest()[:16] if facts.source else name,
    }


def _only(category: Category, facts: PostFacts, accepted: Sequence[TagRef]) -> str:
    names = [tag.name for tag in facts.tags if tag.category is category]
    return names[0] if len(names) == 1 and TagRef(names[0], category) in accepted else ""


def _word(tag: TagRef) -> str:
    return tag.name if tag.category is Category.GENERAL else f"{tag.category.value}:{tag.name}"


def _picture(folder: Path, post_id: Any, *, link: bool) -> tuple[str, bool]:
    """Name of the post's picture in the folder, and whether it was there. Raises ``NotFound``."""
    with host().open_picture(post_id) as file:
        name = f"{post_id}{Path(getattr(file, 'name', None) or '').suffix.lower() or '.bin'}"
        target = folder / name
        if target.exists() and _same(file, target):
            return name, True
        draft = folder / f".{name}.partial"
        with writing(target):
            try:
                draft.unlink(missing_ok=True)
                if not (link and _linked(file, draft)):
                    with draft.open("wb") as copy:
                        shutil.copyfileobj(file, copy)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)  # room for others
    return name, False


def _same(file: BinaryIO, target: Path) -> bool:
    """Whether ``target`` holds what is in the open file, whose picture may have been replaced since."""
    with target.open("rb") as there:
        if _path(file) and target.samefile(_path(file)):
            return True
        pieces = iter(partial(file.read, CHUNK), b"")
        same = all(piece == there.read(len(piece)) for piece in pieces) and not there.read(1)
    file.seek(0)
    return same


def _path(file: BinaryIO) -> str:
    """Where the open file lies on a disk of ours; empty for stores elsewhere."""
    path = getattr(file, "name", None)
    return path if isinstance(path, str) and Path(path).is_file() else ""


def _linked(file: BinaryIO, target: Path) -> bool:
    """Whether the open file lies on the same disk and could be linked."""
    if not _path(file):
        return False
    try:
        os.link(_path(file), target)
    except OSError:
        return False
    return True
