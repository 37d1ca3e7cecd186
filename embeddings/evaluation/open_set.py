"""Half of the classes are enrolled, half are strangers: who is named, and how far can the probability be believed?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from booru_ml.disk import whole
from booru_ml.evaluation.scores import calibration_error, reliability
from embeddings import games, measures
from embeddings.chances import Calibration
from embeddings.games import Labelled, Outcomes

GAMES = 100
BACKGROUND = 256


@dataclass(frozen=True, slots=True, eq=False)
class OpenSet:
    """Shares 0–1. ``auroc``: known ones against strangers; ``tpr_at_fpr5``: known ones that pass the bar which a
    twentieth of the strangers passes; ``oscr``: area under right names against strangers named; ``ece`` as in
    ``booru_ml.evaluation.scores``."""

    ways: int
    shots: int
    auroc: float
    tpr_at_fpr5: float
    oscr: float
    ece: float
    outcomes: Outcomes


def ask(one: Labelled, calibration: Calibration, *, shots: int, queries: int, seed: int) -> OpenSet | None:
    """The rule that serves uploads, in games with other halves each. None where there are fewer than two classes, or
    none whose pictures share no group with the other's."""
    ways = len(games.playable(one)) // 2
    if not ways:
        return None
    random = np.random.default_rng(seed)
    played = [games.game(one, calibration, random, ways, shots, BACKGROUND, queries=queries) for _ in range(GAMES)]
    found = games.join(played)
    if found.known.all() or not found.known.any():
        return None
    known, strangers = found.chance[found.known], found.chance[~found.known]
    return OpenSet(
        ways=ways,
        shots=shots,
        auroc=measures.auroc(known, strangers),
        tpr_at_fpr5=measures.tpr_at_fpr(known, strangers, 0.05),
        oscr=measures.oscr(known, found.correct[found.known], strangers),
        ece=calibration_error(found.chance, found.correct),
        outcomes=found,
    )


def plot(found: OpenSet, path: Path, *, title: str) -> None:
    """The reliability diagram (Guo et al. 2017): how often answers of each probability were right."""
    from matplotlib.figure import Figure

    rows = reliability(found.outcomes.chance, found.outcomes.correct)
    shares, said, true = (np.array(column) for column in zip(*rows, strict=True))
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="as it should be")
    axes.scatter(said, true, s=20 + 600 * shares, alpha=0.8, label="answers (area: their share)")
    axes.set(xlabel="probability", ylabel="share that was right", xlim=(0, 1), ylim=(0, 1), title=title)
    axes.legend(loc="upper left")
    with whole(path) as partial:
        figure.savefig(partial, dpi=120)
