"""What people do on the board: upload and edit. One verb, one permission, one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.files.base import File
from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from booru_ml.errors import BooruError, InvalidInput, NotFound, NotPermitted
from deploy.demo.board import sniff, tagnames
from deploy.demo.board.models import Post, Tag

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MAX_BYTES = 100 * 2**20
MAX_SOURCE = 1000


class DuplicatePost(BooruError):
    """The very same file is here already; ``extra["post_id"]`` and ``extra["url"]`` say where."""

    code = "duplicate"
    status = 409

    def __init__(self, post: Post) -> None:
        super().__init__(f"This very file is post #{post.pk} already.", post_id=post.pk, url=post.get_absolute_url())


@dataclass(frozen=True, slots=True)
class Digest:
    sha256: str
    md5: str
    size: int
    kind: sniff.Sniffed

    @property
    def path(self) -> str:
        """Where the file lies: by its digest only, so that no name a person chose reaches a path or a header."""
        return f"posts/{self.sha256[:2]}/{self.sha256[2:4]}/{self.sha256}.{self.kind.ext}"


def upload(*, uploader: User, file: File[bytes], rating: str, tags: str = "", source: str = "") -> Post:
    """Creates a post. Whether the picture can be analysed plays no part here.

    Raises ``NotPermitted``, ``InvalidInput`` (empty or too large file, tags, rating, source) and ``DuplicatePost``.
    """
    if not uploader.has_perm("board.add_post"):
        raise NotPermitted("Your account may not upload. Ask a moderator for the uploaders' group.")
    typed = tagnames.parse(tags)
    rating = _rating(typed.rating or rating)
    source = _source(source or typed.source or "")
    digest = _digest(file)
    known = Post.objects.filter(sha256=digest.sha256).first()
    if known is not None:
        raise DuplicatePost(known)
    post = Post(
        uploader=uploader,
        rating=rating,
        source=source,
        sha256=digest.sha256,
        md5=digest.md5,
        width=digest.kind.width,
        height=digest.kind.height,
        file_size=digest.size,
        file_ext=digest.kind.ext,
    )
    post.picture.name = _store(post, digest, file)
    try:
        with transaction.atomic():
            post.save()
            post.tags.add(*_tags(typed.tags))
            refresh_counts(tag.pk for tag in post.tags.all())
    except IntegrityError:
        # Two people sent the same file at the same moment; the file on disk is the other post's too.
        known = Post.objects.filter(sha256=digest.sha256).first()
        if known is None:
            raise
        raise DuplicatePost(known) from None
    return post


@transaction.atomic
def edit(*, post_id: int, actor: User, tags: str, tags_before: str, rating: str, source: str) -> Post:
    """Changes tags, rating and source.

    ``tags_before`` is the tag box as the form showed it: only what the person added or took out is applied, so a tag
    that somebody (or the analysis) added in the meantime stays. Raises ``NotPermitted``, ``NotFound`` and
    ``InvalidInput``.
    """
    if not actor.has_perm("board.change_post"):
        raise NotPermitted("Your account may not change posts.")
    post = Post.objects.visible_to(actor).select_for_update(of=("self",)).filter(pk=post_id).first()
    if post is None:
        raise NotFound("There is no such post.")
    typed = tagnames.parse(tags)
    after = {tag.name: tag for tag in typed.tags}
    before = {tag.name for tag in tagnames.parse(tags_before).tags}
    added = _tags(tag for name, tag in after.items() if name not in before)
    removed = list(post.tags.filter(name__in=before - after.keys()))
    if post.tags.exclude(pk__in=[tag.pk for tag in removed]).count() + len(added) > tagnames.MAX_TAGS:
        raise InvalidInput(f"A post takes at most {tagnames.MAX_TAGS} tags.", code="too_many_tags")
    post.tags.add(*added)
    post.tags.remove(*removed)
    refresh_counts(tag.pk for tag in (*added, *removed))
    post.rating = _rating(typed.rating or rating)
    post.source = _source(source)
    post.save(update_fields=["rating", "source", "updated_at"])
    return post


def refresh_counts(tag_ids: Iterable[int]) -> None:
    """Counts the posts of these tags anew. Call it in the transaction that changed them.

    The rows are locked first, in one order: two transactions that add the same tag count one after the other.
    """
    wanted = sorted(set(tag_ids))
    if not wanted:
        return
    with transaction.atomic():
        list(Tag.objects.select_for_update(no_key=True).filter(pk__in=wanted).order_by("pk").values_list("pk"))
        counted = (
            Tag.objects.filter(pk=OuterRef("pk"))
            .annotate(living=Count("posts", filter=~Q(posts__status=Post.Status.DELETED)))
            .values("living")
        )
        Tag.objects.filter(pk__in=wanted).update(post_count=Coalesce(Subquery(counted), 0))


def _tags(typed: Iterable[tagnames.TypedTag]) -> list[Tag]:
    """Rows for these names; new ones are made. A known tag keeps its category."""
    wanted = {tag.name: tag for tag in typed}
    if not wanted:
        return []
    Tag.objects.bulk_create(
        [Tag(name=tag.name, category=tag.category or Tag.Category.GENERAL) for tag in wanted.values()],
        ignore_conflicts=True,
    )
    return list(Tag.objects.filter(name__in=wanted))


def _digest(file: File[bytes]) -> Digest:
    sha256, md5, size, head = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0, b""
    for chunk in file.chunks():
        size += len(chunk)
        if size > MAX_BYTES:
            raise InvalidInput(f"The file is larger than {MAX_BYTES // 2**20} MiB.", code="too_large")
        sha256.update(chunk)
        md5.update(chunk)
        if len(head) < sniff.HEAD_BYTES:
            head += chunk[: sniff.HEAD_BYTES - len(head)]
    if not size:
        raise InvalidInput("The file is empty.", code="empty")
    return Digest(sha256.hexdigest(), md5.hexdigest(), size, sniff.sniff(head))


def _store(post: Post, digest: Digest, file: File[bytes]) -> str:
    storage = post.picture.storage
    if storage.exists(digest.path):
        if storage.size(digest.path) == digest.size:
            return digest.path
        # Left by an upload that was broken off.
        storage.delete(digest.path)
    return str(storage.save(digest.path, file))


def _rating(value: str) -> str:
    if value not in Post.Rating.values:
        raise InvalidInput("Choose a rating: general, sensitive, questionable or explicit.", code="rating")
    return value


def _source(value: str) -> str:
    value = value.strip()
    if len(value) > MAX_SOURCE:
        raise InvalidInput(f"The source is longer than {MAX_SOURCE} characters.", code="source")
    if "\0" in value:
        raise InvalidInput("The source has invisible characters; type it anew.", code="source")
    return value
