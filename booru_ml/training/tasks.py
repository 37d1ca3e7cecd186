"""What a network is asked: which column says the truth, which head answers, how right its answers are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from booru_ml.checkpoint.heads import HeadKind, Label
from booru_ml.errors import InvalidInput
from booru_ml.evaluation import scores
from booru_ml.evaluation.answers import Answers
from booru_ml.evaluation.intervals import Metric
from booru_ml.training.manifest import Sample
from booru_ml.types import Category, FloatArray, Rating

Marks = npt.NDArray[np.bool_]
Targets = list[tuple[int, ...]]
"""For each picture the places of its labels: one, but for tags."""


@dataclass(frozen=True, slots=True)
class Task:
    """``column`` of the manifest; ``kind`` and ``category`` of the head's answer; ``grades`` of an ordinal one."""

    name: str
    column: str
    kind: HeadKind
    category: Category
    grades: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        return self.kind is HeadKind.SIGMOID

    def graded(self, grades: Sequence[str]) -> Task:
        return replace(self, grades=tuple(grades)) if grades else self

    def labels(self, samples: Sequence[Sample]) -> tuple[Label, ...]:
        """In the order of the head's outputs: grades as given, else the train pictures' labels by name.

        Raises ``InvalidInput`` where there is nothing to tell apart.
        """
        known = {label for sample in samples if sample.split == "train" for label in sample.labels}
        if self.kind is HeadKind.ORDINAL:
            if not self.grades:
                raise InvalidInput(
                    f"Name the grades in their order by --grades; the pictures have {', '.join(sorted(known))}."
                )
            if strange := {sample.label for sample in samples} - set(self.grades):
                raise InvalidInput(f"{', '.join(sorted(strange))}: not among the grades {', '.join(self.grades)}.")
            if missing := set(self.grades) - known:
                raise InvalidInput(f"No train picture has the grade {', '.join(sorted(missing))}.")
        if len(known) < (1 if self.several else 2):
            raise InvalidInput(f"There is nothing to tell apart: the train pictures have {len(known)} {self.column}.")
        names = self.grades or tuple(sorted(known))
        found = tuple(self._label(name) for name in names)
        if len({label.name for label in found}) < len(found):
            raise InvalidInput("A tag has two categories in the manifest; write it in one way.")
        return found

    def targets(self, samples: Sequence[Sample], labels: Sequence[Label]) -> Targets:
        """Tags that train does not know are left out; other labels have to be known. Raises ``InvalidInput``."""
        place = {label.name: number for number, label in enumerate(labels)}
        found = []
        for sample in samples:
            names = [self._label(text).name for text in sample.labels]
            if not self.several and names[0] not in place:
                raise InvalidInput(f"{sample.path.name}: no train picture has the label {names[0]!r}.")
            found.append(tuple(sorted(place[name] for name in names if name in place)))
        return found

    def figures(self, answers: Answers) -> dict[str, float]:
        """The first is the one to go by."""
        return {name: metric(answers) for name, metric in FIGURES[self.kind].items()}

    def _label(self, text: str) -> Label:
        return tag(text) if self.several else Label(text, self.category)


FIGURES: Mapping[HeadKind, Mapping[str, Metric]] = {
    HeadKind.SOFTMAX: {"accuracy": scores.accuracy, "top5": scores.top5, "balanced": scores.balanced},
    HeadKind.ORDINAL: {"qwk": scores.qwk, "accuracy": scores.accuracy, "mae": scores.mae},
    HeadKind.SIGMOID: {"map": scores.mean_average_precision, "micro_f1": scores.micro_f1, "macro_f1": scores.macro_f1},
}
RATINGS = tuple(rating.value for rating in Rating)

TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("characters", "character", HeadKind.SOFTMAX, Category.CHARACTER),
        Task("artist", "artist", HeadKind.SOFTMAX, Category.ARTIST),
        Task("quality", "quality", HeadKind.ORDINAL, Category.QUALITY),
        Task("rating", "rating", HeadKind.ORDINAL, Category.RATING, RATINGS),
        Task("tags", "tags", HeadKind.SIGMOID, Category.GENERAL),
    )
}


def rated(text: str) -> str:
    """``General`` and ``g`` are one rating. Raises ``InvalidInput`` for a word that is none of Danbooru's."""
    word = text.strip().lower()
    for rating in Rating:
        if word in (rating.value, rating.name.lower()):
            return rating.value
    words = ", ".join(f"{rating.value} ({rating.name.lower()})" for rating in Rating)
    raise InvalidInput(f"{text!r} is no rating of Danbooru's: write {words}. What was 'safe' once is g or s by now.")


def tag(text: str) -> Label:
    """Tags may name their category (``character:miku``); without one they are general."""
    head, colon, rest = text.partition(":")
    if colon and rest and head in {category.value for category in Category if category.is_tag}:
        return Label(rest, Category(head))
    return Label(text, Category.GENERAL)


def judged(samples: Sequence[Sample]) -> set[str]:
    """Names of the tags that somebody rejected on some picture."""
    return {tag(text).name for sample in samples for text in sample.rejected or ()}


def known(samples: Sequence[Sample], names: Sequence[str], judged: Collection[str]) -> Marks | None:
    """N × tags: what is known of each picture; None: everything.

    Where people said what a picture does not show, tags that nobody decided about are unknown. A tag outside ``judged``
    has nothing else to be told from, so pictures without it count as such.
    """
    if all(sample.rejected is None for sample in samples):
        return None
    found = np.ones((len(samples), len(names)), bool)
    decidable = np.array([name in judged for name in names])
    place = {name: number for number, name in enumerate(names)}
    for row, sample in zip(found, samples, strict=True):
        if sample.rejected is not None:
            said = {tag(text).name for text in (*sample.labels, *sample.rejected)}
            row[decidable] = False
            row[[place[name] for name in said if name in place]] = True
    return found


def settled(probabilities: FloatArray, known: Marks | None) -> FloatArray:
    """Nothing is said where nothing is known: neither precision nor recall has to do with it then."""
    return probabilities if known is None else np.where(known, probabilities, np.float32(0))


def table(targets: Targets, width: int) -> Marks:
    """N × labels, true where a picture has the label."""
    found = np.zeros((len(targets), width), bool)
    for row, places in zip(found, targets, strict=True):
        row[list(places)] = True
    return found
