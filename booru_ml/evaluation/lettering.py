"""Names of classes along a drawing's axes, in whatever letters the fonts of this machine have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def label(axes: Any, names: Sequence[str]) -> dict[str, str]:
    """Writes the names along both axes; those that no font can write are numbered by their places, and returned."""
    families, missing = _fonts({letter for name in names for letter in name})
    numbers = {name: f"#{place}" for place, name in enumerate(names, 1) if missing.intersection(name)}
    # Between two dollars matplotlib sees mathematics.
    drawn = [numbers.get(name, name.replace("$", r"\$")) for name in names]
    axes.set_xticks(range(len(names)), drawn, rotation="vertical", family=families)
    axes.set_yticks(range(len(names)), drawn, family=families)
    return numbers


def _fonts(letters: set[str]) -> tuple[list[str], set[str]]:
    """matplotlib's own font and others that have the rest of the letters; and the letters that none has."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

    def known(file: str) -> set[str]:
        font = get_font(file)
        return {letter for letter in letters if font.get_char_index(ord(letter))}

    families = list(rcParams["font.family"])
    letters = letters.difference(*(known(findfont(FontProperties(family=[family]))) for family in families))
    # The last resort has a box for every letter.
    files = {entry.name: entry.fname for entry in fontManager.ttflist if "lastresort" not in entry.fname.lower()}
    others = {family: known(file) for family, file in files.items()} if letters else {}
    for family in sorted(others, key=lambda name: (-len(others[name]), name)):
        if letters & others[family]:
            families.append(family)
            letters -= others[family]
    return families, letters
