"""Finished analyses become flags and cases: the last of the sinks that hear of an upload."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.db.models import QuerySet
from django.db.models.sql import InsertQuery
from django.utils import timezone

from booru_ml.errors import Unavailable
from booru_ml.host.loader import host
from booru_ml.statements import insert, kept, slots
from booru_ml.types import Analysis, Finding, PostFacts
from embeddings import services as embeddings
from embeddings.types import Neighbour
from moderation import priority, rules, states, thresholds
from moderation.models import Case, Decision, Flag
from moderation.rules import FlagDraft
from tagging.rules import ratings

log = logging.getLogger(__name__)

# What the queue shows of the whole picture; heads with many labels stay out of the case's row.
SHOWN_HEADS = ("rating", "medium", "nsfw", "quality")
NEIGHBOURS = 12
# Cosine similarity from which a picture is worth showing beside this one.
SIMILAR = 0.5
UNDECIDED = frozenset({"pending", "flagged"})
GONE = "deleted"


@transaction.atomic(savepoint=False)
def triage(analyses: Sequence[Analysis]) -> None:
    """Stores the flags that follow and keeps the queue. Idempotent; a constant number of queries per batch.

    * Flags that no longer follow are put to rest, not deleted.
    * A post gets a case when a flag speaks against it or while it waits for a decision (pending or flagged).
    * A decided case opens again only for a reason that nobody judged yet, or for a picture that was replaced, and only
      while the post is visible; its history stays.
    """
    latest = {analysis.post_id: analysis for analysis in sorted(analyses, key=lambda analysis: analysis.job_id)}
    facts = host().facts(latest)
    latest = {post_id: latest[post_id] for post_id in sorted(facts.keys() & latest.keys(), key=str)}
    findings = {post_id: item.finding for post_id, item in latest.items() if item.finding}
    bars = {post_id: thresholds.current(finding) for post_id, finding in findings.items()}
    near = _neighbours(
        findings, least=min(SIMILAR, *(bar[rules.DUPLICATE] for bar in (rules.THRESHOLDS, *bars.values())))
    )
    drafts = {
        post_id: rules.flags(analysis, facts[post_id], near.get(post_id, ()), bars.get(post_id, rules.THRESHOLDS))
        for post_id, analysis in latest.items()
    }
    before = _store_flags(drafts)
    _keep_queue(latest, facts, drafts, before, near)


def _neighbours(findings: Mapping[Any, Finding], *, least: float) -> dict[Any, tuple[Neighbour, ...]]:
    """Posts from a cosine of ``least`` on. The batch's own vectors are rows already, so that twins uploaded together
    find each other."""
    near: dict[Any, tuple[Neighbour, ...]] = {}
    for version in {finding.embedding_model for finding in findings.values()}:
        asked = {
            post_id: finding.embedding
            for post_id, finding in findings.items()
            if finding.embedding_model == version and finding.embedding.size
        }
        try:
            answers = embeddings.near_each(list(asked.values()), model_version=version, limit=NEIGHBOURS, least=least)
        except Unavailable as error:  # a vector store of its own; an upload does not wait for it
            missed = [str(post_id) for post_id in asked]
            log.warning("near-duplicates not looked for: %s", error.message, extra={"post_ids": missed})
            continue
        near |= dict(zip(asked, answers, strict=True))
    return near


def _store_flags(drafts: Mapping[Any, Iterable[FlagDraft]]) -> dict[Any, set[str]]:
    """Writes the drafts and rests what they no longer say; returns the reasons that were active before, by post."""
    before: dict[Any, set[str]] = {post_id: set() for post_id in drafts}
    fallen = []
    now = {(post_id, draft.reason) for post_id, found in drafts.items() for draft in found}
    for flag_id, post_id, reason in _standing(Flag.objects.db).rows(post=drafts):
        before[post_id].add(reason)
        if (post_id, reason) not in now:
            fallen.append(flag_id)
    if fallen:
        Flag.objects.filter(pk__in=fallen).update(active=False)
    flags = [
        Flag(
            post_id=post_id,
            reason=draft.reason,
            score=draft.score,
            detail=dict(draft.detail),
            model_version=draft.model[:64],
        )
        for post_id, found in drafts.items()
        for draft in found
    ]
    _insert_flag(router.db_for_write(Flag)).run_each([vars(flag) for flag in flags])
    return before


def _keep_queue(
    latest: Mapping[Any, Analysis],
    facts: Mapping[Any, PostFacts],
    drafts: Mapping[Any, tuple[FlagDraft, ...]],
    before: Mapping[Any, set[str]],
    near: Mapping[Any, Sequence[rules.Near]],
) -> None:
    now, using = timezone.now(), router.db_for_write(Case)
    cases = {case.post_id: case for case in _cases(using).rows(post=latest)}
    judged = _judged([case for case in cases.values() if case.state != states.OPEN])
    opened, kept, reopenings = [], [], []
    for post_id, analysis in latest.items():
        case, status = cases.get(post_id), facts[post_id].status
        reasons = {draft.reason for draft in drafts[post_id]}
        if case is None:
            if status in UNDECIDED or (reasons and status != GONE):
                opened.append(_scored(Case(post_id=post_id, opened_at=now), analysis, drafts[post_id], near))
            continue
        if case.state == states.OPEN:
            case.version += reasons != before[post_id] or _replaced(case, analysis)
        elif status != GONE:
            of_picture = [what for picture, what in judged[case.pk] if not picture or picture == analysis.sha256]
            unseen = bool(analysis.sha256 and judged[case.pk] and not of_picture)
            new = states.new_reasons(reasons, set().union(*of_picture))
            if new or unseen:
                reopenings.append(_reopen(case, new, replaced=unseen, now=now))
        kept.append(_scored(case, analysis, drafts[post_id], near))
    _insert_case(using).run_each([vars(case) for case in opened])
    Case.objects.bulk_update(kept, ["state", "version", "priority", "analysis", "opened_at", "decided_at"])
    Decision.objects.bulk_create(reopenings)


def _scored(
    case: Case,
    analysis: Analysis,
    drafts: Iterable[FlagDraft],
    near: Mapping[Any, Sequence[rules.Near]],
) -> Case:
    """The case with what the analysis said and the priority that follows."""
    heads = analysis.finding.scores if analysis.finding else {}
    scores = {
        name: [(label, round(value, 4)) for label, value in heads[name].as_dict().items()]
        for name in SHOWN_HEADS
        if name in heads
    }
    case.analysis = {
        "sha256": analysis.sha256,
        "width": analysis.width,
        "height": analysis.height,
        "pipeline": analysis.pipeline_version,
        "scores": scores,
        "near": rules.closest(case.post_id, near.get(case.post_id, ()), least=SIMILAR),
    }
    case.priority = priority.priority(
        risk=priority.risk((draft.reason, draft.score) for draft in drafts),
        uncertainty=priority.uncertainty(ratings(dict(scores.get("rating", ()))).values()),
        opened_at=case.opened_at,
    )
    return case


def _replaced(case: Case, analysis: Analysis) -> bool:
    known = case.analysis.get("sha256", "")
    return bool(known and analysis.sha256 and known != analysis.sha256)


def _judged(cases: Iterable[Case]) -> dict[int, list[tuple[str, set[str]]]]:
    """By case: the picture (sha256) and the reasons that each standing decision was made on."""
    found: dict[int, list[tuple[str, set[str]]]] = {case.pk: [] for case in cases}
    if not found:
        return found
    standing = Decision.objects.filter(case_id__in=list(found), verb__in=states.POST_STATUS, undone_by=None)
    for case_id, delta in standing.values_list("case_id", "delta"):
        found[case_id].append((delta.get("sha256", ""), set(delta.get("reasons", ()))))
    return found


def _reopen(case: Case, reasons: Iterable[str], *, replaced: bool, now: datetime) -> Decision:
    decision = Decision(
        case=case,
        verb=states.REOPEN,
        from_state=case.state,
        to_state=states.TRANSITIONS[case.state, states.REOPEN],
        delta={"reasons": sorted(reasons), "picture_replaced": replaced},
    )
    case.state, case.version = states.OPEN, case.version + 1
    case.opened_at, case.decided_at = now, None
    return decision


@kept
def _standing(using: str) -> QuerySet[Any]:
    flags = Flag.objects.using(using).filter(post_id__in=slots(Flag, "post"), active=True)
    return flags.order_by().values_list("pk", "post_id", "reason")


@kept
def _cases(using: str) -> QuerySet[Case]:
    return Case.objects.using(using).filter(post_id__in=slots(Case, "post")).select_for_update()


@kept
def _insert_flag(using: str) -> InsertQuery:
    update_fields = ["score", "detail", "model_version", "active"]
    return insert(Flag, unique_fields=["post", "reason"], update_fields=update_fields)


@kept
def _insert_case(using: str) -> InsertQuery:
    return insert(Case, "opened_at", unique_fields=["post"], update_fields=["priority", "analysis"])
