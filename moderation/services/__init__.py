"""The verbs of moderation. Admin, API and code call these, and nothing else writes flags, cases or decisions."""

from moderation.services.bulk import BulkOutcome, decide_many, undo_many
from moderation.services.claims import Claimed, claim, claim_next, release
from moderation.services.decisions import approve, reject, undo
from moderation.services.triage import triage

__all__ = [
    "BulkOutcome",
    "Claimed",
    "approve",
    "claim",
    "claim_next",
    "decide_many",
    "reject",
    "release",
    "triage",
    "undo",
    "undo_many",
]
