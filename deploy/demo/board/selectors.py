"""Reading: searches, tag lists, related tags. Querysets stay inside the board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db.models import CharField, Count, Exists, F, Lookup, OuterRef, Q

from deploy.demo.board import query as language
from deploy.demo.board.models import Post, PostQuerySet, Tag

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

WILDCARD_TAGS = 100
SAMPLE = 1000


@CharField.register_lookup
class Like(Lookup):
    """``LIKE`` with ``\\`` as escape: names whose ``*`` were made ``%`` by ``pattern()``."""

    lookup_name = "like"

    def as_sql(self, compiler, connection):  # type: ignore[no-untyped-def]
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} LIKE {right} ESCAPE '\\'", [*left_params, *right_params]


def pattern(name: str) -> str:
    """``blue_*`` as an SQL pattern in which only ``*`` is special."""
    escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")


def search(text: str, *, viewer: User | AnonymousUser) -> tuple[PostQuerySet, language.Query]:
    """Posts that ``viewer`` may see, in the order asked for. Deleted ones only where the search names a status."""
    query = language.parse(text)
    posts = Post.objects.visible_to(viewer)
    posts = _by_status(posts, query)
    posts = _by_tags(posts, query)
    posts = _by_fields(posts, query)
    if query.order.startswith("mpixels"):
        posts = posts.annotate(pixels=F("width") * F("height"))
    if query.order.startswith("tagcount") and "tag_count" not in posts.query.annotations:
        posts = posts.annotate(tag_count=Count("tags"))
    return posts.order_by(*language.ORDERS[query.order]), query


def _by_status(posts: PostQuerySet, query: language.Query) -> PostQuerySet:
    if not query.statuses:
        posts = posts.exclude(status=Post.Status.DELETED)
    for status in query.statuses:
        if status == "modqueue":
            posts = posts.filter(status__in=[Post.Status.PENDING, Post.Status.FLAGGED])
        elif status not in ("any", "all"):
            posts = posts.filter(status=status)
    for status in query.not_statuses:
        posts = posts.exclude(status=status)
    return posts


def _by_tags(posts: PostQuerySet, query: language.Query) -> PostQuerySet:
    ids = _tag_ids([*query.required, *query.excluded, *query.optional])
    carried = Post.tags.through.objects.filter(post_id=OuterRef("pk"))
    for name in query.required:
        posts = posts.filter(Exists(carried.filter(tag_id__in=ids[name]))) if ids[name] else posts.none()
    if query.optional:
        either = [tag_id for name in query.optional for tag_id in ids[name]]
        posts = posts.filter(Exists(carried.filter(tag_id__in=either))) if either else posts.none()
    for name in query.excluded:
        if ids[name]:
            posts = posts.filter(~Exists(carried.filter(tag_id__in=ids[name])))
    return posts


def _tag_ids(names: Sequence[str]) -> dict[str, list[int]]:
    plain = [name for name in names if "*" not in name]
    found = dict(Tag.objects.filter(name__in=plain).values_list("name", "id")) if plain else {}
    ids = {name: [found[name]] if name in found else [] for name in plain}
    for name in set(names) - set(plain):
        matching = Tag.objects.filter(name__like=pattern(name)).order_by("-post_count", "name")
        ids[name] = list(matching.values_list("id", flat=True)[:WILDCARD_TAGS])
    return ids


def _by_fields(posts: PostQuerySet, query: language.Query) -> PostQuerySet:
    for ratings in query.ratings:
        posts = posts.filter(rating__in=ratings)
    for ratings in query.not_ratings:
        posts = posts.exclude(rating__in=ratings)
    by_name = f"uploader__{get_user_model().USERNAME_FIELD}"
    for user in query.users:
        posts = posts.filter(**{by_name: user})
    for user in query.not_users:
        posts = posts.exclude(**{by_name: user})
    if query.digests:
        posts = posts.filter(md5__in=query.digests)
    for source in query.sources:
        posts = posts.filter(source="") if source == "none" else posts.filter(source__istartswith=source)
    for source in query.not_sources:
        posts = posts.exclude(source="") if source == "none" else posts.exclude(source__istartswith=source)
    if query.extensions:
        posts = posts.filter(file_ext__in=query.extensions)
    for column, span in query.numbers:
        if column == "tag_count" and "tag_count" not in posts.query.annotations:
            posts = posts.annotate(tag_count=Count("tags"))
        if span.values:
            posts = posts.filter(**{f"{column}__in": span.values})
        if span.low is not None:
            posts = posts.filter(**{f"{column}__gte": span.low})
        if span.high is not None:
            posts = posts.filter(**{f"{column}__lte": span.high})
    return posts


CATEGORY_ORDER = (
    Tag.Category.ARTIST,
    Tag.Category.COPYRIGHT,
    Tag.Category.CHARACTER,
    Tag.Category.GENERAL,
    Tag.Category.META,
)


@dataclass(frozen=True, slots=True)
class TagGroup:
    """The tags of one category, for a list on a page."""

    name: str
    label: str
    tags: tuple[Tag, ...]


def grouped(tags: Iterable[Tag]) -> tuple[TagGroup, ...]:
    """Tags by category in Danbooru's order; empty categories are left out."""
    by_category: dict[int, list[Tag]] = {}
    for tag in tags:
        by_category.setdefault(tag.category, []).append(tag)
    return tuple(
        TagGroup(category.name.lower(), category.label, tuple(by_category[category]))
        for category in CATEGORY_ORDER
        if category in by_category
    )


def sidebar(post_ids: Sequence[int], *, limit: int = 30) -> tuple[TagGroup, ...]:
    """The tags that these posts share most."""
    if not post_ids:
        return ()
    tags = Tag.objects.filter(posts__in=post_ids).annotate(here=Count("posts")).order_by("-here", "-post_count", "name")
    return grouped(sorted(tags[:limit], key=lambda tag: (-tag.post_count, tag.name)))


def completions(start: str, *, limit: int = 10) -> list[Tag]:
    """Tags that begin with ``start`` (or match its wildcards), most used first."""
    wanted = pattern(start.lower() if "*" in start else f"{start.lower()}*")
    return list(Tag.objects.filter(name__like=wanted, post_count__gt=0).order_by("-post_count", "name")[:limit])


@dataclass(frozen=True, slots=True)
class RelatedTag:
    """How a tag goes with a search; all figures 0–1, estimated on the newest ``SAMPLE`` posts found."""

    tag: Tag
    cosine: float
    jaccard: float
    overlap: float
    frequency: float


def related(
    text: str, *, viewer: User | AnonymousUser, category: int | None = None, limit: int = 25
) -> tuple[int, list[RelatedTag]]:
    """How many posts the search finds, and the tags that go with it, closest first."""
    posts, _ = search(text, viewer=viewer)
    total = posts.count()
    sample = list(posts.order_by("-id").values_list("id", flat=True)[:SAMPLE])
    if not sample:
        return total, []
    counted = (
        Post.tags.through.objects.filter(post_id__in=sample)
        .values("tag_id")
        .annotate(shared=Count("id"))
        .order_by("-shared")[: limit * 4]
    )
    shared: Mapping[int, int] = {row["tag_id"]: row["shared"] for row in counted}
    tags = Tag.objects.filter(pk__in=shared)
    if category is not None:
        tags = tags.filter(category=category)
    rows = [_relate(tag, shared[tag.pk] / len(sample), total) for tag in tags]
    rows.sort(key=lambda row: (-row.cosine, row.tag.name))
    return total, rows[:limit]


def _relate(tag: Tag, frequency: float, total: int) -> RelatedTag:
    both = frequency * total
    own = max(tag.post_count, round(both), 1)
    return RelatedTag(
        tag=tag,
        cosine=min(1.0, both / (own * total) ** 0.5),
        jaccard=min(1.0, both / max(own + total - both, 1.0)),
        overlap=min(1.0, both / min(own, total)),
        frequency=frequency,
    )


def living(post_ids: Iterable[int], *, viewer: User | AnonymousUser) -> PostQuerySet:
    """Those of the posts that are not deleted."""
    posts = Post.objects.visible_to(viewer).exclude(status=Post.Status.DELETED)
    return posts.filter(pk__in=list(post_ids)).prefetch_related("tags")


def find_visible(post_id: int, *, viewer: User | AnonymousUser) -> Post | None:
    return (
        Post.objects.visible_to(viewer)
        .filter(Q(pk=post_id))
        .select_related("uploader")
        .prefetch_related("tags")
        .first()
    )
