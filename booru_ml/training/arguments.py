"""The words of ``booru_train`` for networks, and the order that they make."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from booru_ml.errors import InvalidInput
from booru_ml.training.settings import CHOICES, ENCODER, Recipe, Settings, recipe, recipes

HELP: Mapping[str, str] = {
    "size": "side of the pictures it is taught with, pixels",
    "look": "side that the finished checkpoint looks at; an encoder may gain from a larger one",
    "resize": "how pictures become squares",
    "epochs": "times that it sees all pictures",
    "batch": "pictures of one forward, in each process",
    "accumulate": "forwards that make one step",
    "rate": "learning rate of the head",
    "backbone_rate": "learning rate of the backbone",
    "schedule": "how the rates fall",
    "every": "epochs between two falls (steps), or without a better loss before one (plateau)",
    "factor": "what a fall leaves",
    "least_rate": "where plateaus end",
    "decay": "divides the rates by 1 + decay × step",
    "augment": "how pictures vary",
    "sampling": "whether pictures or classes are alike; sqrt is between",
    "frozen": "modules that stay as they are, or the share of the layers from the first on (1: the whole backbone)",
    "hidden": "widths of layers between backbone and answer",
    "dropout": "before the head",
    "smoothing": "of the labels, where a picture has one in no order; of an encoder with cosface alone",
    "objective": "what teaches an encoder",
    "scale": "s of the encoder's objective",
    "margin": "m of the encoder's objective (arcface: radians)",
    "ema": "decay of the moving average that is kept; 0: none",
    "patience": "epochs without a better validation loss before it ends; 0: never",
    "keep": "which epoch's weights",
    "precision": "of the forwards",
    "clip": "longest gradient of the backbone; 0: any",
    "shares": "train, val and test, where the pictures have no split",
    "least": "pictures that a class needs",
    "tile": "cut pictures into squares of so many pixels; 0: whole pictures",
    "seed": "decides all that chance decides",
}


def add_folders(parser: Any, name: str, what: str) -> None:
    parser.add_argument(name, type=Path, action="append", default=[], metavar="DIR", help=f"{what}; may be repeated")


def add_data(parser: ArgumentParser) -> None:
    """What a look at the pictures depends on."""
    for name in ("shares", "least", "tile", "seed"):
        _add_setting(parser, name)
    parser.add_argument("--grades", nargs="+", default=[], metavar="GRADE", help="of quality, in their order")


def add_network(parser: ArgumentParser, *, encoder: bool = False) -> None:
    """Everything but the folders of pictures."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="the checkpoint to write; books are kept in DIR.run")
    start = parser.add_argument_group("what it starts from")
    start.add_argument("--base", type=Path, metavar="DIR", help="a checkpoint folder; its heads are left behind")
    start.add_argument(
        "--arch", nargs="+", default=[], metavar="NAME", help="by a paper's or timm's name; several are compared"
    )
    start.add_argument("--weights", type=Path, metavar="FILE", help="a .safetensors file with timm's names")
    start.add_argument("--pretrained", action="store_true", help="timm's weights, if they are on this machine")
    how = parser.add_argument_group("how it is taught")
    if encoder:
        how.add_argument(
            "--teacher",
            type=Path,
            metavar="DIR",
            help="a checkpoint folder whose embedding it copies; the characters' names then only balance the pictures",
        )
    for field in fields(Settings):
        if encoder or field.name not in ("objective", "scale", "margin", "look"):
            if encoder and field.name in ("tile", "shares", "hidden", "dropout"):
                continue
            _add_setting(how, field.name)
    if not encoder:
        how.add_argument("--recipe", choices=recipes(), help="a paper's protocol; what is named beside it wins")
        how.add_argument("--grades", nargs="+", default=[], metavar="GRADE", help="of quality, in their order")
        how.add_argument("--pairs", action="store_true", help="a network for each pair of labels, and their table")
        how.add_argument("--sweep", action="store_true", help="the recipe's rates and lengths, chosen by validation")
        how.add_argument("--sweep-rates", nargs="+", type=float, default=[], metavar="RATE")
        how.add_argument("--sweep-epochs", nargs="+", type=int, default=[], metavar="COUNT")
    where = parser.add_argument_group("where")
    where.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU where there is one")
    where.add_argument("--workers", type=_count, default=0, help="processes that read pictures; default: %(default)s")
    where.add_argument("--threads", type=_count, default=1)
    where.add_argument("--restart", action="store_true", help="forget what a run that was cut off has done")
    where.add_argument("--dry-run", action="store_true", help="only look at the pictures")


def orders(task: str, options: Mapping[str, Any]) -> list[Any]:
    """One order for each architecture. Raises ``InvalidInput``."""
    from booru_ml.checkpoint.heads import HeadKind
    from booru_ml.nn.writing import check_place
    from booru_ml.training.material import Folders
    from booru_ml.training.orders import Order
    from booru_ml.training.tasks import TASKS

    paper = recipe(options["recipe"]) if options.get("recipe") else Recipe("", {})
    if paper.tasks and task not in paper.tasks:
        raise InvalidInput(f"The recipe {paper.name} is for {', '.join(paper.tasks)}.")
    given = {field.name: options[field.name] for field in fields(Settings) if options.get(field.name) is not None}
    settings = (ENCODER if task == "encoder" else Settings()).with_(paper.settings).with_(given)
    rates = tuple(options.get("sweep_rates", ())) or (paper.rates if options.get("sweep") else ())
    if options.get("sweep") and not rates:
        raise InvalidInput("--sweep takes a recipe with rates; name them by --sweep-rates.")
    if options.get("sweep_epochs") and not rates:
        raise InvalidInput(
            "--sweep-epochs goes with --sweep-rates, or with the --sweep of a recipe; for one length: --epochs."
        )
    if options.get("pairs") and TASKS[task].kind is not HeadKind.SOFTMAX:
        raise InvalidInput("--pairs takes labels of which a picture has one, in no order: characters or artist.")
    if rates and TASKS[task].several:
        raise InvalidInput("A sweep goes by validation accuracy, which tags do not have; leave out --sweep-rates.")
    names: Sequence[str] = options.get("arch") or ([] if options.get("base") else paper.architectures[:1]) or [""]
    out = options.get("out")
    places = [out / _plain(name) if len(names) > 1 else out for name in names] if out else [None] * len(names)
    for place in filter(None, places):
        check_place(place)
    return [
        Order(
            task=task,
            folders=Folders(options["data"], options.get("faces", ())),
            settings=settings,
            out=place,
            architecture=name,
            base=options.get("base"),
            weights=options.get("weights"),
            pretrained=options.get("pretrained", False),
            grades=tuple(options.get("grades", ())) or paper.grades,
            strangers=tuple(options.get("test", ())),
            teacher=options.get("teacher"),
            pairs=options.get("pairs", False),
            rates=rates,
            lengths=tuple(options.get("sweep_epochs", ())) or (paper.lengths if options.get("sweep") else ()),
            device=options.get("device", "auto"),
            workers=options.get("workers", 0),
            restart=options.get("restart", False),
        )
        for name, place in zip(names, places, strict=True)
    ]


def _count(text: str) -> int:
    if int(text) < 0:
        raise ArgumentTypeError("0 or more")
    return int(text)


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())[:40]


def _add_setting(parser: Any, name: str) -> None:
    """An option without a default of its own: what is not said is the task's or the recipe's."""
    kind = get_type_hints(Settings)[name]
    several = get_args(kind)
    parser.add_argument(
        f"--{name.replace('_', '-')}",
        type=several[0] if several else kind,
        nargs="*" if several else None,
        choices=CHOICES.get(name),
        help=HELP.get(name),
    )
