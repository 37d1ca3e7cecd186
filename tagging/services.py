"""The verbs of tagging. Admin, API, moderation and the pipeline call these and nothing below them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q

from booru_ml.conf import config
from booru_ml.errors import BooruError, InvalidInput, NotFound, NotPermitted, StaleState
from booru_ml.host.loader import host
from booru_ml.types import Analysis, PostFacts
from embeddings import services as embeddings
from tagging import automatic, board, permissions, rules, store, thresholds
from tagging.models import Suggestion, TagDecision
from tagging.withdrawal import withdraw_run

__all__ = [
    "Bulk",
    "accept",
    "accept_many",
    "hold",
    "reject",
    "reject_many",
    "resuggest",
    "suggest",
    "undo",
    "undo_many",
    "withdraw_run",
]

State, Verb, Source = Suggestion.State, TagDecision.Verb, Suggestion.Source


@dataclass(frozen=True, slots=True)
class Bulk:
    """What a verb over many rows did: decisions made, and why the others were left alone (by id)."""

    done: tuple[TagDecision, ...]
    refused: dict[int, BooruError]


# --- From the networks --------------------------------------------------------------------------------------------


@transaction.atomic(savepoint=False)
def suggest(analyses: Sequence[Analysis]) -> None:
    """Sink: turns findings into suggestions and applies those that the operators opened for it.

    Open rows follow the newest run; decided ones (accepted, rejected, applied) stay as they are. A refused picture
    changes nothing. Raises ``CheckpointError`` where thresholds cannot be read.
    """
    newest = {item.post_id: item for item in sorted(analyses, key=lambda item: item.job_id) if item.finding}
    if not newest:
        return
    bars, rivals = thresholds.current(), config().SUGGESTIONS_PER_SUBJECT
    matches = embeddings.recognise_all(list(newest.values()))
    wanted = {
        post_id: rules.proposals(analysis.finding, found, bars, per_subject=rivals)
        for (post_id, analysis), found in zip(newest.items(), matches, strict=True)
    }
    store.keep(wanted, sources=(Source.MODEL, Source.PROTOTYPE))
    automatic.apply(list(wanted), job_ids=[item.job_id for item in newest.values()])


@transaction.atomic
def resuggest(post_ids: Iterable[Any]) -> int:
    """Asks the gallery again about posts analysed before, so that a newly enrolled character shows up on them.

    No network runs; suggestions of the networks stay. Returns how many posts could be asked: those that the present
    embedding checkpoint has seen.
    """
    matches = embeddings.rematch(list(dict.fromkeys(post_ids)))
    rivals, version = config().SUGGESTIONS_PER_SUBJECT, embeddings.active_version()
    wanted = {
        post_id: rules.proposals(None, found, rules.Thresholds(), model_version=version, per_subject=rivals)
        for post_id, found in matches.items()
    }
    store.keep(wanted, sources=(Source.PROTOTYPE,))
    automatic.apply(list(wanted))
    return len(wanted)


# --- From people ----------------------------------------------------------------------------------------------------


@transaction.atomic
def accept(*, suggestion_id: int, actor: Any) -> TagDecision:
    """Writes the suggestion to the post and teaches the gallery.

    Raises ``NotFound``, ``NotPermitted``, or ``StaleState`` where somebody else decided first.
    """
    row, _ = _for_decision(suggestion_id, actor)
    before = _move(row, State.ACCEPTED)
    delta = board.learn(row, positive=True, actor=actor) | board.write(row)
    return _decided(row, Verb.ACCEPT, before, delta, actor)


@transaction.atomic
def reject(*, suggestion_id: int, actor: Any) -> TagDecision:
    """Refuses the suggestion for good; what was applied automatically is taken off the post again."""
    row, _ = _for_decision(suggestion_id, actor)
    before = _move(row, State.REJECTED)
    delta = board.learn(row, positive=False, actor=actor)
    if before == State.AUTO_APPLIED:
        delta |= board.take_back(row.post_id, _applied(row))
    return _decided(row, Verb.REJECT, before, delta, actor)


@transaction.atomic
def undo(*, decision_id: int, actor: Any) -> TagDecision:
    """Takes a decision back: its real change on the board, what the gallery learned, the suggestion's state.

    Only a suggestion's latest decision can be undone, once. Raises ``StaleState`` otherwise.
    """
    try:
        decision = TagDecision.objects.select_related("suggestion").get(pk=decision_id)
    except TagDecision.DoesNotExist:
        raise NotFound("There is no such decision.") from None
    row = decision.suggestion
    facts = _facts(row, actor)
    if decision.verb == Verb.UNDO:
        raise InvalidInput("An undo is not undone; decide again instead.", code="not_undoable")
    automatic_one = decision.verb == Verb.AUTO_APPLY
    if not permissions.may_undo(actor, facts, decided_by=decision.actor_id, automatic=automatic_one):
        raise NotPermitted("Only who decided this, or a moderator, may undo it.")
    row.state = decision.to_state
    before = _move(row, decision.from_state, starts=(decision.to_state,))
    standing = row.decisions.exclude(verb=Verb.UNDO).filter(undone_by=None)
    if standing.order_by("-id").values_list("pk", flat=True).first() != decision.pk:
        raise StaleState("This decision was undone already, or a later one stands.")
    delta = board.take_back(row.post_id, decision.delta)
    return _decided(row, Verb.UNDO, before, delta, actor, undoes=decision)


def hold(*, suggestion_ids: Iterable[int] = (), decision_ids: Iterable[int] = ()) -> None:
    """Locks these suggestions, and those of these decisions, before several are decided in one transaction.

    Deciding goes on to lock the gallery and the post; who came back from there for the next suggestion could wait for
    somebody who holds that one and waits for him.
    """
    rows = Suggestion.objects.filter(Q(pk__in=list(suggestion_ids)) | Q(decisions__in=list(decision_ids)))
    list(Suggestion.objects.filter(pk__in=rows.values("pk")).order_by("pk").select_for_update().values_list("pk"))


def accept_many(*, suggestion_ids: Iterable[int], actor: Any) -> Bulk:
    """``accept`` for each; one that fails leaves the others alone."""
    return _each(suggestion_ids, lambda pk: accept(suggestion_id=pk, actor=actor))


def reject_many(*, suggestion_ids: Iterable[int], actor: Any) -> Bulk:
    return _each(suggestion_ids, lambda pk: reject(suggestion_id=pk, actor=actor))


def undo_many(*, decision_ids: Iterable[int], actor: Any) -> Bulk:
    """Takes decisions back, the latest first."""
    return _each(sorted(decision_ids, reverse=True), lambda pk: undo(decision_id=pk, actor=actor))


def _each(ids: Iterable[int], verb: Callable[[int], TagDecision]) -> Bulk:
    done: list[TagDecision] = []
    refused: dict[int, BooruError] = {}
    for pk in dict.fromkeys(ids):
        try:
            done.append(verb(pk))
        except BooruError as error:
            refused[pk] = error
    return Bulk(tuple(done), refused)


def _for_decision(suggestion_id: int, actor: Any) -> tuple[Suggestion, PostFacts]:
    try:
        row = Suggestion.objects.get(pk=suggestion_id)
    except Suggestion.DoesNotExist:
        raise NotFound("There is no such suggestion.") from None
    facts = _facts(row, actor)
    if not permissions.may_decide(actor, facts):
        raise NotPermitted("Only the uploader of this post or a moderator may decide its suggestions.")
    return row, facts


def _facts(row: Suggestion, actor: Any) -> PostFacts:
    """The post as the board knows it; one that ``actor`` may not see does not exist."""
    facts = host().facts([row.post_id]).get(row.post_id)
    if facts is None or (actor is not None and not permissions.may_see(actor, facts)):
        raise NotFound("The post of this suggestion is gone.")
    return facts


def _move(row: Suggestion, to_state: str, *, starts: Sequence[str] = (State.SUGGESTED, State.AUTO_APPLIED)) -> str:
    """The guard of every verb: moves the row unless somebody else just did. Returns the state it came from."""
    before = row.state
    moved = before in starts and Suggestion.objects.filter(pk=row.pk, state=before).update(state=to_state)
    if not moved:
        now = Suggestion.objects.filter(pk=row.pk).values_list("state", flat=True).first() or "gone"
        raise StaleState(f"This suggestion is {now.replace('_', ' ')} by now; look again before you decide.", state=now)
    row.state = to_state
    return before


def _applied(row: Suggestion) -> board.Delta:
    latest = row.decisions.filter(verb=Verb.AUTO_APPLY, undone_by=None).order_by("-id").first()
    return latest.delta if latest else {}


def _decided(
    row: Suggestion, verb: str, before: str, delta: board.Delta, actor: Any, undoes: TagDecision | None = None
) -> TagDecision:
    return TagDecision.objects.create(
        suggestion=row, actor=actor, verb=verb, from_state=before, to_state=row.state, delta=delta, undoes=undoes
    )
