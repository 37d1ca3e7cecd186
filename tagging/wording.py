"""Why a suggestion was made, as a sentence for people. Wording may change without analysing anything again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RATINGS = {"g": "general", "s": "sensitive", "q": "questionable", "e": "explicit"}
# A match's lead over its best rival, in standard deviations, in words.
MARGINS = (
    (2.0, ", well ahead of the next candidate"),
    (0.5, ", ahead of the next candidate"),
    (float("-inf"), ", closely followed by another candidate"),
)


def why(*, score: float, evidence: Mapping[str, Any], model_version: str) -> str:
    """Plain text (escape it in HTML). Tolerates evidence that older versions stored."""
    match evidence.get("kind"):
        case "prototype":
            return _prototype(score, evidence)
        case "rating":
            shares = {RATINGS.get(name, name): share for name, share in _shares(evidence).items()}
            return f"The picture looks {_ranked(shares)}, says {_model(model_version)}."
        case "quality":
            return f"The drawing looks {_ranked(_shares(evidence))}, says {_model(model_version)}."
        case "tagger":
            bar = evidence.get("threshold")
            suffix = f"; it suggests from {bar:.0%}" if isinstance(bar, float | int) else ""
            return f"{_model(model_version)} is {score:.0%} sure{suffix}."
    return f"Scored {score:.0%} by {_model(model_version)}."


def _prototype(score: float, evidence: Mapping[str, Any]) -> str:
    count = evidence.get("supports") or 0
    what = "This face looks" if evidence.get("face") is not None else "The picture looks"
    sure = "guessed by a model without a calibration" if evidence.get("guess") else "sure"
    sentence = f"{what} like {count} enrolled picture{'s' * (count != 1)}: {score:.0%} {sure}"
    if isinstance(margin := evidence.get("margin"), float | int):
        sentence += next(words for least, words in MARGINS if not margin < least)
    if nearest := evidence.get("nearest"):
        sentence += f"; nearest {'is post' if len(nearest) == 1 else 'are posts'} {', '.join(map(str, nearest[:3]))}"
    return sentence + "."


def _shares(evidence: Mapping[str, Any]) -> dict[str, float]:
    shares = evidence.get("shares")
    return {str(name): float(share) for name, share in shares.items()} if isinstance(shares, Mapping) else {}


def _ranked(shares: Mapping[str, float]) -> str:
    (first, *rest) = sorted(shares.items(), key=lambda item: -item[1]) or [("unclear", 0.0)]
    others = ", ".join(f"{name} {share:.0%}" for name, share in rest)
    return f"{first[0]} ({first[1]:.0%}{'; ' + others if others else ''})"


def _model(version: str) -> str:
    return version.split("@")[0] or "the model"
