"""The verbs of this app. Every change of the gallery raises its revision, so that all processes see it at once."""

from embeddings.calibration import active_version
from embeddings.services.checkup import checkup, checkups
from embeddings.services.dry_run import preview
from embeddings.services.history import undo
from embeddings.services.learning import learn, unlearn
from embeddings.services.pictures import near, near_each, recognise_all, rematch, remember
from embeddings.services.references import clean_name, named, parse_reference, parse_references, speaking
from embeddings.services.search import find_by_picture
from embeddings.services.subjects import (
    add_support,
    change,
    enrol,
    merge,
    remove_support,
    set_enabled,
    split,
    withdraw,
)

__all__ = [
    "active_version",
    "add_support",
    "change",
    "checkup",
    "checkups",
    "clean_name",
    "enrol",
    "find_by_picture",
    "learn",
    "merge",
    "named",
    "near",
    "near_each",
    "parse_reference",
    "parse_references",
    "preview",
    "recognise_all",
    "rematch",
    "remember",
    "remove_support",
    "set_enabled",
    "speaking",
    "split",
    "undo",
    "unlearn",
    "withdraw",
]
