"""The flags' thresholds in force: our defaults, under what the checkpoints know of themselves, under the settings."""

from __future__ import annotations

from collections.abc import Mapping

from booru_ml.conf import config
from booru_ml.types import Finding
from embeddings.calibration import calibration
from moderation import rules
from tagging import thresholds as checkpoints

# Flags that look at the same label as a checkpoint's own threshold. That one is made for suggesting a tag, which costs
# nothing; a flag costs somebody's look, so the checkpoint may ask for more than our default but not for less.
SAME_LABEL = {rules.NOT_DRAWN: ("medium", "photo"), rules.LOW_QUALITY: ("quality", "poor")}


def current(finding: Finding) -> Mapping[str, float]:
    """Least scores for a picture that these networks looked at. Raises ``CheckpointError``."""
    least = dict(rules.THRESHOLDS)
    known = checkpoints.current().checkpoints
    for flag, (head, label) in SAME_LABEL.items():
        if head in finding.scores:
            calibrated = known.get(finding.scores[head].model, {}).get(head, {})
            least[flag] = max(least[flag], calibrated.get(label, 0.0))
    least[rules.DUPLICATE] = calibration(finding.embedding_model, "picture").twin
    return least | dict(config().FLAG_THRESHOLDS)
