"""Reads back what the board and the plugin hold of the demo's uploads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from booru_ml.models import AnalysisJob
from booru_ml.types import Category
from deploy.demo.board.models import Post
from deploy.demo.launch.pictures import Role, Sample
from deploy.demo.launch.report import Row
from embeddings import services as embeddings
from moderation import selectors as moderation
from moderation.models import Flag
from tagging.selectors import SuggestionView, suggestions_of


def rows(
    samples: Sequence[Sample], posts: Mapping[str, int], not_accepted: Mapping[str, str], names: Mapping[str, str]
) -> list[Row]:
    """A row per sample. ``posts``: post ids by sha256; ``not_accepted``: the board's sentence by sha256; ``names``: the
    enrolled tag of each label."""
    ids = [posts[sample.picture.sha256] for sample in samples if sample.picture.sha256 in posts]
    jobs = _jobs(ids)
    said = suggestions_of(ids, confirming=True)
    guesses = _guesses(ids)
    flags: dict[int, list[str]] = defaultdict(list)
    for flag in Flag.objects.filter(post_id__in=ids, active=True):
        flags[flag.post_id].append(f"{flag.get_reason_display()} {flag.score:.0%}")
    places = {post_id: place for place, post_id in enumerate(moderation.queue().values_list("post_id", flat=True), 1)}
    ratings = dict(Post.objects.filter(pk__in=ids).values_list("pk", "rating"))
    found = []
    for sample in samples:
        picture, post_id = sample.picture, posts.get(sample.picture.sha256)
        label = names.get(picture.label, picture.label)
        file = f"{picture.path.parent.name}/{picture.path.name}"
        if post_id is None:
            message = not_accepted.get(picture.sha256, "")
            state = "not accepted" if message else "lost"
            found.append(Row(file=file, label=label, role=sample.role, state=state, message=message))
            continue
        job = jobs.get(post_id)
        found.append(
            Row(
                file=file,
                label=label,
                role=sample.role,
                post_id=post_id,
                state=job.state if job else "lost",
                message=job.message if job else "",
                names=_characters(said[post_id]),
                guess=guesses.get(post_id),
                rating=_rating(said[post_id], ratings.get(post_id, "")),
                flags=tuple(flags[post_id]),
                place=places.get(post_id),
            )
        )
    return found


def _jobs(ids: Iterable[int]) -> dict[int, AnalysisJob]:
    """The newest job of each post."""
    return {job.post_id: job for job in AnalysisJob.objects.filter(post_id__in=list(ids)).order_by("id")}


def _characters(views: Sequence[SuggestionView]) -> tuple[tuple[str, float], ...]:
    characters = [view for view in views if view.category == Category.CHARACTER]
    return tuple((view.name, view.score) for view in sorted(characters, key=lambda view: -view.score))


def _rating(views: Sequence[SuggestionView], rated: str) -> str:
    said = next((view for view in views if view.category == Category.RATING), None)
    if said is None:
        return f"{rated} (unsure)"
    return f"{said.name} {said.score:.0%}" + ("" if said.name == rated else f", rated {rated}")


def _guesses(ids: Sequence[int]) -> dict[int, tuple[str, float]]:
    """The best candidate for each post, whether sure enough to be suggested or not."""
    found = {}
    for post_id, matches in embeddings.rematch(ids).items():
        best = max(
            (match for match in matches if match.category == Category.CHARACTER),
            key=lambda match: match.probability,
            default=None,
        )
        if best is not None:
            found[post_id] = (best.name, best.probability)
    return found


__all__ = ["Role", "rows"]
