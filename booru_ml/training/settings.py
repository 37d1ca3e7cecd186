"""How to train, as one value: by task, by a paper's recipe, by the command line, each over the one before."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from typing import Any

from booru_ml.errors import InvalidInput

CHOICES: Mapping[str, tuple[str, ...]] = {
    "resize": ("squash", "pad", "crop"),
    "optimiser": ("adamw", "adam", "sgd"),
    "schedule": ("cosine", "steps", "plateau", "constant"),
    "augment": ("strong", "sketch", "light", "crop", "aniwho", "none"),
    "sampling": ("natural", "sqrt", "balanced"),
    "objective": ("cosface", "arcface", "subcenter"),
    "precision": ("no", "fp16", "bf16"),
    "keep": ("best", "last"),
}

SHARES = (0.7, 0.1, 0.2)
"""Of train, val and test in DAF:re."""

LIMITS: Mapping[str, tuple[float, float]] = {
    "size": (16, 4096),
    "look": (0, 4096),
    "epochs": (1, 1e6),
    "batch": (2, 1e6),
    "accumulate": (1, 1e6),
    "rate": (1e-12, 1e38),
    "backbone_rate": (1e-12, 1e38),
    "momentum": (0, 0.99999),
    "weight_decay": (0, 1e3),
    "every": (1, 1e6),
    "factor": (1e-6, 1),
    "least_rate": (0, 1e6),
    "decay": (0, 1e6),
    "hidden": (1, 65_536),
    "dropout": (0, 0.99),
    "smoothing": (0, 0.99),
    "scale": (1e-3, 1e6),
    "margin": (0, 3),
    "ema": (0, 0.999999),
    "patience": (0, 1e6),
    "clip": (0, 1e9),
    "least": (0, 1e9),
    "tile": (0, 1e6),
    "seed": (0, 2**32 - 1),
}
"""Least and largest values: what lies outside would end the run late, or do something else than it says."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``size``: side of the pictures, pixels. ``look``: side that the finished checkpoint looks at (0: ``size``).

    ``batch``: pictures of one forward and process; ``accumulate`` of them make a step. ``rate`` is the head's,
    ``backbone_rate`` the backbone's. ``schedule``: ``cosine`` after a warm-up of half an epoch; ``steps``: times
    ``factor`` every ``every`` epochs; ``plateau``: times ``factor`` after ``every`` epochs without a better loss, never
    below ``least_rate``; besides, ``decay`` divides by 1 + decay·step. ``sampling``: every picture alike, every class
    alike, or between (1/√n). ``frozen``: modules of the backbone that stay as they are, or a share of its layers from
    the first on (1: all). ``hidden`` and ``dropout`` are the head's. ``objective``, ``scale`` (s) and ``margin`` (m)
    are the encoder's. ``ema``: decay of the moving average that is kept instead of the last weights (0: none).
    ``patience``: epochs without a better loss before it ends (0: never). ``keep``: the weights of the epoch with
    the least loss, or the last ones. ``least``: pictures that a class needs. ``tile``: side of the tiles that pictures
    are cut into first, pixels (0: whole pictures).
    """

    size: int = 224
    look: int = 0
    resize: str = "squash"
    epochs: int = 20
    batch: int = 32
    accumulate: int = 1
    optimiser: str = "adamw"
    rate: float = 1e-3
    backbone_rate: float = 1e-4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    every: int = 20
    factor: float = 1 / 3
    least_rate: float = 0.0
    decay: float = 0.0
    augment: str = "light"
    sampling: str = "natural"
    frozen: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    smoothing: float = 0.0
    objective: str = "cosface"
    scale: float = 20.0
    margin: float = 0.25
    ema: float = 0.0
    patience: int = 0
    keep: str = "best"
    precision: str = "no"
    clip: float = 5.0
    shares: tuple[float, ...] = SHARES
    least: int = 1
    tile: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InvalidInput(f"{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}.")
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            # Written so that nan, which is neither, is refused as well.
            if not all(low <= one <= high for one in (value if isinstance(value, tuple) else (value,))):
                raise InvalidInput(f"{name} lies between {low:g} and {high:g}, not {value!r}.")
        if not (len(self.shares) == 3 and min(self.shares) >= 0 < self.shares[0] and abs(sum(self.shares) - 1) < 1e-6):
            raise InvalidInput("Shares of train, val, test are three numbers that add up to 1, such as 0.7 0.1 0.2.")
        if 0 < self.tile < LIMITS["size"][0]:
            raise InvalidInput("tile is 16 pixels or more, or 0 for whole pictures.")
        if self.look and self.look < LIMITS["size"][0]:
            raise InvalidInput("The finished checkpoint has to look at 16 pixels or more.")

    def with_(self, values: Mapping[str, Any]) -> Settings:
        """These settings with other values; lists become tuples. Raises ``InvalidInput`` for unknown names."""
        if strange := set(values) - {field.name for field in fields(self)}:
            raise InvalidInput(f"Training knows no setting {', '.join(sorted(strange))}.")
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return replace(self, **given)


ENCODER = Settings(
    size=112,
    epochs=8,
    batch=48,
    rate=4e-3,
    backbone_rate=4e-4,
    augment="strong",
    sampling="sqrt",
    smoothing=0.05,
    ema=0.996,
    least=2,
)
"""How ``booru-lite`` was taught."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A paper's protocol. ``tasks`` it is for; ``architectures`` it compares, the first by default; ``rates`` and
    ``lengths`` (epochs) it sweeps; ``grades`` of its drawings, worst first."""

    name: str
    settings: Mapping[str, Any]
    tasks: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    lengths: tuple[int, ...] = ()
    grades: tuple[str, ...] = ()


def recipes() -> list[str]:
    folder = files("booru_ml.training").joinpath("recipes")
    return sorted(path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml"))


def recipe(name: str) -> Recipe:
    """By name. Raises ``InvalidInput`` for an unknown one."""
    if name not in recipes():
        raise InvalidInput(f"There is no recipe {name!r}; there are {', '.join(recipes())}.")
    said = tomllib.loads(files("booru_ml.training").joinpath("recipes", f"{name}.toml").read_text("utf-8"))
    protocol = {key: tuple(value) for key, value in said["protocol"].items()}
    return Recipe(name=name, settings=said["settings"], **protocol)
