"""posts, tags, related tags, autocomplete, counts."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

from booru_ml.errors import InvalidInput, NotFound
from deploy.demo.board import query as language
from deploy.demo.board import selectors
from deploy.demo.board.danbooru import shapes
from deploy.demo.board.danbooru.access import endpoint
from deploy.demo.board.danbooru.paging import as_bool, integers, limit_of, paginate, search_param
from deploy.demo.board.models import Tag

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    Viewer = User | AnonymousUser

Json = dict[str, Any]
PREFIXES = ("rating:", "status:", "order:", "user:", "id:", "source:", "md5:", "width:", "height:", "filesize:")
CATEGORY_NAMES = {"general": 0, "artist": 1, "copyright": 3, "character": 4, "meta": 5}


def _tags_param(request: HttpRequest) -> str:
    return request.GET.get("tags", "").replace("\0", "")


@endpoint
def posts(request: HttpRequest, user: Viewer) -> list[Json] | Json:
    text = _tags_param(request)
    if digest := request.GET.get("md5", "").replace("\0", ""):
        found, _ = selectors.search(f"md5:{digest.split(' ')[0]} status:any", viewer=user)
        row = found.prefetch_related("tags").first()
        if row is None:
            raise NotFound("That record was not found.")
        return shapes.post(row, request)
    rows, query = selectors.search(text, viewer=user)
    if as_bool(request.GET.get("random", "")):
        rows = rows.order_by("?")
    limit = limit_of(request, default=20 if query.limit is None else min(query.limit, 200), most=200)
    return shapes.posts(paginate(rows.prefetch_related("tags"), request, limit=limit), request)


@endpoint
def post(request: HttpRequest, user: Viewer, post_id: int) -> Json:
    row = selectors.find_visible(post_id, viewer=user)
    if row is None:
        raise NotFound("That record was not found.")
    return shapes.post(row, request)


@endpoint
def random_post(request: HttpRequest, user: Viewer) -> Json:
    rows, _ = selectors.search(_tags_param(request), viewer=user)
    total = rows.count()
    if not total:
        raise NotFound("That record was not found.")
    return shapes.post(rows.order_by("pk").prefetch_related("tags")[secrets.randbelow(total)], request)


@endpoint
def counts(request: HttpRequest, user: Viewer) -> Json:
    rows, _ = selectors.search(_tags_param(request), viewer=user)
    return {"counts": {"posts": rows.count()}}


@endpoint
def tags(request: HttpRequest, user: Viewer) -> list[Json]:
    rows = Tag.objects.all()
    if name := search_param(request, "name"):
        # pybooru sends several names here, apart by commas.
        rows = rows.filter(name__in=[part.strip().lower() for part in name.split(",")][:1000])
    if names := search_param(request, "name_comma"):
        rows = rows.filter(name__in=[part.strip().lower() for part in names.split(",")][:1000])
    for key in ("name_matches", "name_or_alias_matches", "fuzzy_name_matches"):
        if matches := search_param(request, key):
            rows = rows.filter(name__like=selectors.pattern(matches.strip().lower().replace(" ", "_")))
    if category := search_param(request, "category"):
        rows = rows.filter(category__in=[number for number in integers(category) if number in Tag.Category.values])
    if ids := search_param(request, "id"):
        rows = rows.filter(pk__in=integers(ids))
    hide_empty = as_bool(search_param(request, "hide_empty"))
    if hide_empty is None:
        hide_empty = as_bool(search_param(request, "is_empty")) is False
    if hide_empty:
        rows = rows.filter(post_count__gt=0)
    orders = {"name": ("name",), "count": ("-post_count", "name"), "date": ("-pk",), "id": ("pk",)}
    rows = rows.order_by(*orders.get(search_param(request, "order"), ("-pk",)))
    return [shapes.tag(row) for row in paginate(rows, request, limit=limit_of(request, default=20, most=1000))]


@endpoint
def tag(request: HttpRequest, user: Viewer, tag_id: int) -> Json:
    row = Tag.objects.filter(pk=tag_id).first()
    if row is None:
        raise NotFound("That record was not found.")
    return shapes.tag(row)


@endpoint
def related_tag(request: HttpRequest, user: Viewer) -> Json:
    text = request.GET.get("query", "").replace("\0", "") or search_param(request, "query")
    text = text.strip()
    named = (request.GET.get("category", "") or search_param(request, "category")).lower()
    category = CATEGORY_NAMES.get(named)
    if named and category is None:
        category = next((number for number in integers(named) if number in Tag.Category.values), None)
        if category is None:
            raise InvalidInput(f"There is no tag category “{named[:40]}”.")
    limit = limit_of(request, default=25, most=100)
    total, rows = selectors.related(text, viewer=user, category=category, limit=limit) if text else (0, [])
    single = Tag.objects.filter(name=text.lower()).first() if text else None
    return {
        "query": text,
        "post_count": total,
        "tag": shapes.tag(single) if single else None,
        "related_tags": [
            {
                "tag": shapes.tag(row.tag),
                "cosine_similarity": row.cosine,
                "jaccard_similarity": row.jaccard,
                "overlap_coefficient": row.overlap,
                "frequency": row.frequency,
            }
            for row in rows
        ],
        "wiki_page_tags": [],
    }


@endpoint
def autocomplete(request: HttpRequest, user: Viewer) -> list[Json]:
    """Completions of the last word of ``search[query]``; ``search[type]`` is ``tag_query`` (default) or ``tag``."""
    text = search_param(request, "query").strip().lower()
    kind = search_param(request, "type") or "tag_query"
    limit = limit_of(request, default=10, most=20)
    if text and kind == "tag_query":
        text = text.split()[-1].lstrip("-~")
    text = text.replace(" ", "_")
    if not text:
        return []
    fixed = [_fixed(name) for name in _static(text)] if kind == "tag_query" else []
    found = [
        {
            "type": "tag-word",
            "label": row.name.replace("_", " "),
            "value": row.name,
            "category": row.category,
            "post_count": row.post_count,
            "antecedent": None,
            "tag": shapes.tag(row),
        }
        for row in selectors.completions(text, limit=limit)
    ]
    return [*fixed, *found][:limit]


def _static(text: str) -> list[str]:
    prefix, colon, value = text.partition(":")
    choices = {
        "rating": language.RATINGS,
        "status": language.STATUSES,
        "order": tuple(language.ORDERS),
    }.get(prefix, ())
    if colon:
        return [f"{prefix}:{choice}" for choice in choices if choice.startswith(value)]
    return [name for name in PREFIXES if name.startswith(text)]


def _fixed(name: str) -> Json:
    return {
        "type": "static",
        "label": name,
        "value": name,
        "category": None,
        "post_count": None,
        "antecedent": None,
        "tag": None,
    }


@endpoint
def unknown(request: HttpRequest, user: Viewer, path: str) -> Json:
    raise NotFound("That record was not found.")
