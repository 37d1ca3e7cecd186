"""Which posts look like a picture that is none: the networks' part is a worker's, the search is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from booru_ml.errors import InvalidInput, NotFound
from booru_ml.types import Box
from embeddings import queries
from embeddings.calibration import calibration
from embeddings.models import Vector
from embeddings.services.pictures import NEIGHBOURS, near
from embeddings.types import Neighbour


@dataclass(frozen=True, slots=True)
class Found:
    """What is near a picture, best first; ``twins`` are the posts that show the same picture in another file, and
    ``boxes`` the picture's own faces, left to right."""

    neighbours: tuple[Neighbour, ...]
    twins: frozenset[Any]
    boxes: tuple[Box, ...]


def find_by_picture(picture: bytes, *, asker: str, kind: str = "picture", number: int = 0, limit: int = 10) -> Found:
    """The posts most like a picture's file, by picture, style or one of its faces; ``asker`` is who waits for it.

    Raises what ``queries.ask`` does, and ``NotFound`` where the picture has no such face.
    """
    if kind not in Vector.Kind.values or not 1 <= limit <= NEIGHBOURS:
        raise InvalidInput(f"Ask for picture, style or face and for 1 to {NEIGHBOURS} neighbours.")
    seen = queries.ask(picture, asker=asker)
    vector = seen.vectors.get((kind, number))
    if vector is None:
        faces = len(seen.boxes)
        what = f"It has {faces or 'no'} {'face' if faces == 1 else 'faces'} that could be found, counted from 0."
        raise NotFound(f"The picture has no {kind} {number}. {what}", code="no_such_vector", faces=faces)
    neighbours = near(vector=vector, kind=kind, limit=limit, model_version=seen.model_version)
    twins = frozenset[Any]()
    if kind == Vector.Kind.PICTURE:  # faces and styles that agree are a likeness, no more
        least = calibration(seen.model_version, kind).twin
        twins = frozenset(item.post_id for item in neighbours if item.similarity >= least)
    return Found(neighbours, twins, seen.boxes)
