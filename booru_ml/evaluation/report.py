"""A task's outcome as one HTML page that needs no other file: figures, reliability, confusions, worst mistakes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from booru_ml.disk import whole
from booru_ml.evaluation import scores
from booru_ml.evaluation.answers import Answers, Findings, Table
from booru_ml.evaluation.lettering import label
from booru_ml.nn.survey import read_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from booru_ml.types import PixelArray

WORST = 24
THUMBNAIL = 112
LARGEST = 40
"""Classes of a confusion matrix that can still be read; beyond them the commonest confusions are listed."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #222 }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto } img { max-width: 100% }
figure { display: inline-block; width: 8.2rem; margin: .3rem; vertical-align: top; font-size: 12px }
figcaption { overflow-wrap: anywhere } table { border-collapse: collapse }
td, th { padding: .1rem .7rem; text-align: left }
"""


def write(path: Path, title: str, lines: Sequence[str], found: Findings, figures: Mapping[str, Any]) -> None:
    """Everything a reader needs to judge the figures; pictures are small copies, so mind whose they are."""
    answers = found.answers
    several = answers.truth.ndim == 2
    parts = [f"<h1>{escape(title.capitalize())}</h1>", f"<pre>{escape(chr(10).join(lines))}</pre>"]
    parts += [_section("Are the probabilities true?", _image(_reliability(answers)))]
    parts += [_section("Tags, from the worst", _tags(answers))] if several else _of_one(found)
    parts += [_section("The figures as data", f"<pre>{escape(json.dumps(figures, indent=1))}</pre>")]
    body = "\n".join(parts)
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    with whole(path) as partial:
        partial.write_text(f"{page}<body>{body}</body></html>\n", encoding="utf-8")


def _of_one(found: Findings) -> list[str]:
    answers = found.answers
    table = np.zeros((len(answers.classes), len(answers.classes)))
    np.add.at(table, (answers.truth, answers.said), 1)
    small = len(answers.classes) <= LARGEST
    confusion = _matrix(table, answers.classes, "said", "true") if small else _confusions(table, answers.classes)
    pairs = [_section(title, _matrix(found.pairs[title], answers.classes, "", "")) for title in found.pairs if small]
    return [
        _section("What is taken for what", confusion),
        *pairs,
        _section("Classes, from the worst", _classes(table, answers.classes)),
        _section("Worst mistakes", _mistakes(found)),
    ]


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _reliability(answers: Answers) -> Figure:
    from matplotlib.figure import Figure

    if answers.truth.ndim == 2:
        bins = scores.reliability(answers.chances.ravel(), answers.truth.ravel().astype(bool))
    else:
        bins = scores.reliability(answers.chances.max(axis=1), answers.right)
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#bbb", linewidth=1)
    _, said, true = (np.array(column) for column in zip(*bins, strict=True))
    axes.scatter(said, true, s=[20 + 300 * share for share, _, _ in bins], alpha=0.7)
    axes.set(xlabel="probability said", ylabel="share that is so", xlim=(0, 1), ylim=(0, 1))
    return figure


def _matrix(table: Table, classes: Sequence[str], across: str, down: str) -> str:
    """Counts, coloured by their share of the row, or shares, coloured as they are."""
    from matplotlib.figure import Figure

    side = max(3.5, 0.32 * len(classes) + 1.5)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    counts = bool(np.nanmax(table) > 1)
    shade = table / np.maximum(1, table.sum(axis=1, keepdims=True)) if counts else table
    axes.imshow(shade, cmap="Blues", vmin=0 if counts else 0.5, vmax=1)
    numbers = label(axes, classes)
    axes.set(xlabel=across, ylabel=down)
    for row, column in zip(*np.nonzero(np.nan_to_num(table)), strict=True):
        text = str(int(table[row, column])) if counts else f"{table[row, column]:.2f}"[1:].replace(".00", "1")
        colour = "white" if shade[row, column] > (0.5 if counts else 0.8) else "#333"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    return _image(figure) + "".join(f"<p>{number} {escape(name)}</p>" for name, number in numbers.items())


def _image(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _confusions(table: Table, classes: Sequence[str]) -> str:
    off = table * (1 - np.eye(len(classes)))
    order = np.argsort(-off, axis=None, kind="stable")[:LARGEST]
    pairs = [(int(place) // len(classes), int(place) % len(classes)) for place in order]
    return _table(
        ("true", "said", "pictures"), [(classes[a], classes[b], int(off[a, b])) for a, b in pairs if off[a, b]]
    )


def _classes(table: Table, classes: Sequence[str]) -> str:
    rows = [
        (name, int(n), f"{table[i, i] / n:.3f}")
        for i, (name, n) in enumerate(zip(classes, table.sum(axis=1), strict=True))
        if n
    ]
    return _table(("class", "pictures", "right"), sorted(rows, key=lambda row: row[2])[: 2 * LARGEST])


def _tags(answers: Answers) -> str:
    found = scores.average_precisions(answers)
    rows = [
        (answers.classes[place], int(answers.truth[:, place].sum()), f"{found[place]:.3f}")
        for place in np.argsort(found)
        if np.isfinite(found[place])
    ]
    return _table(("tag", "pictures", "average precision"), rows[: 5 * LARGEST])


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _mistakes(found: Findings) -> str:
    """Where the model was surest and wrong."""
    answers = found.answers
    wrong = np.flatnonzero(~answers.right)
    sure = answers.chances.max(axis=1)
    shown = []
    for row in wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]:
        said, true = answers.classes[answers.said[row]], answers.classes[answers.truth[row]]
        caption = f"{escape(answers.paths[row].name)}: said <b>{escape(said)}</b> ({sure[row]:.2f}), is {escape(true)}"
        frame = found.frame(int(row)) if found.frame else read_picture(answers.paths[row])
        shown.append(f"<figure>{_thumbnail(frame)}<figcaption>{caption}</figcaption></figure>")
    return "".join(shown) or "<p>None.</p>"


def _thumbnail(frame: PixelArray) -> str:
    image = Image.fromarray(frame)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'
