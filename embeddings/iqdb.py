"""Danbooru's IQDB as a wire format: a board that asks such a server for similar pictures can ask this one.

Posts enter and leave by themselves, so adding and deleting only answer. Scores are 100 times the cosine; ``hash`` is
the vector itself (float16, hexadecimal), so asking by it needs no worker. It knows no log-in, as the original: mount it
where only the board's own servers reach it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, re_path
from django.views.decorators.csrf import csrf_exempt

from booru_ml.errors import BooruError, InvalidInput, NotFound
from booru_ml.host.loader import host
from booru_ml.http import post_key
from booru_ml.types import FloatArray
from embeddings import queries, selectors, services, store
from embeddings.models import Vector
from embeddings.services.pictures import NEIGHBOURS
from embeddings.types import Neighbour

View: TypeAlias = Callable[..., Any]
STRONGEST = 40
HASH = re.compile(r"iqdb_((?:[0-9a-f]{4}){1,8192})")


def _speaks(**verbs: View) -> View:
    """Answers in IQDB's shapes: 404 without a body for what it does not know, errors as three fields."""

    @csrf_exempt
    @transaction.non_atomic_requests  # workers have to see a query while this request waits for them
    def view(request: HttpRequest, **named: Any) -> HttpResponse:
        verb = verbs.get(str(request.method))
        if verb is None:
            return HttpResponse(status=404)
        try:
            return JsonResponse(verb(request, **named), safe=False)
        except BooruError as error:
            body = {"backtrace": [], "exception": error.code, "message": error.message}
            return JsonResponse(body, status=error.status)

    return view


def _query(request: HttpRequest) -> list[dict[str, Any]]:
    limit = request.GET.get("limit", "10")
    if not limit.isascii() or not limit.isdigit():
        raise InvalidInput("limit is a number.")
    vector, version = _asked(request)
    if not (most := min(int(limit[:9]), NEIGHBOURS)):
        return []
    return _hits(services.near(vector=vector, limit=most, model_version=version), version)


def _add(request: HttpRequest, post_id: str) -> dict[str, Any]:
    """What the post's own analysis will say; the file is looked at, nothing of it is kept."""
    vector, _ = _asked(request)
    return {"post_id": post_key(post_id), **_signed(store.encode(vector))}


def _remove(request: HttpRequest, post_id: str) -> dict[str, Any]:
    return {"post_id": post_key(post_id)}


def _status(request: HttpRequest) -> dict[str, Any]:
    return {"images": _rows(services.active_version()).count()}


def _rows(version: str) -> QuerySet[Vector]:
    return Vector.objects.filter(kind=Vector.Kind.PICTURE, model_version=version)


def _asked(request: HttpRequest) -> tuple[FloatArray, str]:
    """The vector that is asked by, and its model version."""
    said = request.GET.get("hash") or request.POST.get("hash")
    if said:
        found = HASH.fullmatch(said)
        if found is None:
            raise InvalidInput("hash is iqdb_ and hexadecimal digits, as this server gives them.")
        data, version = bytes.fromhex(found[1]), services.active_version()
        vector = store.decode([data])[0]
        store.encode(vector)  # refuses what has no direction
        usual = _rows(version).values_list("data", flat=True).first()
        if usual is not None and len(usual) != len(data):
            raise InvalidInput("This hash is of another model; ask with the picture.")
        return vector, version
    file = request.FILES.get("file")
    if file is None:
        raise InvalidInput("Send a picture as file, or a hash.")
    queries.check_size(file.size or 0)
    seen = queries.ask(file.read(), asker="")
    vector = seen.vectors.get((Vector.Kind.PICTURE.value, 0))
    if vector is None:
        raise NotFound("None of the networks gives an embedding.", code="no_such_vector")
    return vector, seen.model_version


def _hits(near: Sequence[Neighbour], version: str) -> list[dict[str, Any]]:
    keys = [item.post_id for item in near]
    rows = Vector.objects.of_posts(keys, model_version=version).filter(kind=Vector.Kind.PICTURE)
    data = dict(rows.values_list("post_id", "data"))
    facts = host().facts(keys)
    return [
        {"post_id": item.post_id, "score": 100 * max(0.0, item.similarity), **_signed(data[item.post_id])}
        for item in near
        if item.post_id in data and item.post_id in facts and selectors.may_see(None, facts[item.post_id])
    ]


def _signed(data: bytes | memoryview) -> dict[str, Any]:
    """``signature`` has IQDB's shape: of each third of the vector the places of its strongest components, with their
    sign. There are no average colours, so those are 0."""
    thirds = np.array_split(store.decode([data])[0], 3)
    strongest = [np.argsort(-np.abs(part), kind="stable")[:STRONGEST] for part in thirds]
    places = [
        np.where(part[best] < 0, -(best + 1), best + 1).tolist() for part, best in zip(thirds, strongest, strict=True)
    ]
    return {"hash": f"iqdb_{bytes(data).hex()}", "signature": {"avglf": [0.0, 0.0, 0.0], "sig": places}}


urlpatterns: list[URLPattern] = [
    path("query", _speaks(POST=_query)),
    path("status", _speaks(GET=_status)),
    path("images/<str:post_id>", _speaks(POST=_add, DELETE=_remove)),
    re_path("", _speaks()),
]
