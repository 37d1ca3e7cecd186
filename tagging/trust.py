"""How far a decision is believed when it teaches the gallery: by how many of that person's decisions still stand.

Pictures that were enrolled by hand count in full (1.0): that takes a right of its own. What a decision teaches begins
at one half and moves with the record, like a share among ``PRIOR`` imaginary decisions of which half went wrong:
(½·PRIOR + kept) / (PRIOR + kept + COST·undone). Only what *others* took back counts as undone; who corrects a slip of
their own loses nothing by it.
"""

from __future__ import annotations

from typing import Any

from tagging.models import TagDecision

PRIOR = 20
COST = 4
"""A wrong lesson costs more than a right one gains: it takes several to outweigh it."""
RECENT = 500
"""Decisions on characters and artists that the record goes back to."""
TAUGHT = ("character", "artist")
LEAST = 0.05


def weight(*, kept: int, undone: int) -> float:
    """0.05–1: ½ without a record, 0.9 after 80 decisions that all stand, 0.3 after 10 of which others undid half."""
    return max((PRIOR / 2 + kept) / (PRIOR + kept + COST * undone), LEAST)


def weight_of(actor: Any) -> float:
    """What a decision by this person is worth now; nobody's is worth what a newcomer's is."""
    if actor is None or getattr(actor, "pk", None) is None:
        return weight(kept=0, undone=0)
    rows = TagDecision.objects.filter(
        actor=actor,
        verb__in=[TagDecision.Verb.ACCEPT, TagDecision.Verb.REJECT],
        suggestion__category__in=TAUGHT,
    ).order_by("-id")
    recent = list(rows.values_list("undone_by", "undone_by__actor")[:RECENT])
    undone = sum(undo is not None and who != actor.pk for undo, who in recent)
    return weight(kept=sum(undo is None for undo, _ in recent), undone=undone)
