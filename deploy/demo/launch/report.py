"""What the demo found, and whether that is what it should have found. The figures are pure; ``show`` prints them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.demo.launch.pictures import Role

CHANCE_LEVEL = 0.001
RULE = (
    "every upload was analysed (or refused with a reason, where the file is no sound picture), nothing was lost or "
    "quarantined, each enrolled character is among the first three suggestions of at least half of its own uploads, "
    f"and the first suggestion is right more often than guessing explains (p < {CHANCE_LEVEL}; where there are too few "
    "uploads to tell, in more than half of them)"
)
SETTLED = ("done", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One upload. ``names``: suggested characters with their probability, best first; none is "unknown".

    ``guess``: the best candidate that was too unsure to be suggested. ``state``: its job's, "not accepted" where the
    board took no post, "lost" where a post has no job. ``place``: its place in the moderators' queue.
    """

    file: str
    label: str
    role: Role
    post_id: int | None = None
    state: str = "lost"
    message: str = ""
    names: tuple[tuple[str, float], ...] = ()
    guess: tuple[str, float] | None = None
    rating: str = ""
    flags: tuple[str, ...] = ()
    place: int | None = None

    @property
    def first(self) -> bool:
        return bool(self.names) and self.names[0][0] == self.label

    @property
    def among_three(self) -> bool:
        return self.label in [name for name, _ in self.names[:3]]


@dataclass(frozen=True, slots=True)
class Summary:
    rows: Sequence[Row]

    @property
    def asked(self) -> list[Row]:
        """Analysed pictures of enrolled characters that were not enrolled themselves."""
        return [row for row in self.rows if row.role == Role.QUERY and row.state == "done"]

    @property
    def strangers(self) -> list[Row]:
        return [row for row in self.rows if row.role == Role.STRANGER and row.state == "done"]

    @property
    def enrolled(self) -> list[str]:
        return sorted({row.label for row in self.rows if row.role == Role.SUPPORT})

    @property
    def states(self) -> Counter[str]:
        return Counter(row.state for row in self.rows)

    def problems(self) -> list[str]:
        """What keeps the demo from counting as passed, by ``RULE``."""
        found = [
            f"{count} upload{'s' if count > 1 else ''} {state}"
            for state, count in self.states.items()
            if state not in (*SETTLED, "not accepted")
        ]
        by_label: dict[str, list[Row]] = defaultdict(list)
        for row in self.asked:
            by_label[row.label].append(row)
        for name in self.enrolled:
            own = by_label[name]
            if not own:
                found.append(f"no upload of {name} could be analysed")
            elif sum(row.among_three for row in own) * 2 < len(own):
                found.append(f"{name} is among the first three in {sum(row.among_three for row in own)} of {len(own)}")
        hits, total = sum(row.first for row in self.asked), len(self.asked)
        if total and len(self.enrolled) > 1 and not beats_chance(hits, total, 1 / len(self.enrolled)):
            found.append(f"the first suggestion is right in {hits} of {total}, which guessing could do")
        return found


def beats_chance(hits: int, total: int, chance: float) -> bool:
    if chance**total >= CHANCE_LEVEL:
        return hits * 2 > total
    return by_chance(hits, total, chance) < CHANCE_LEVEL


def by_chance(hits: int, total: int, chance: float) -> float:
    """How probable ``hits`` or more of ``total`` are for somebody who guesses."""
    return sum(comb(total, k) * chance**k * (1 - chance) ** (total - k) for k in range(hits, total + 1))


def show(summary: Summary, console: Console) -> None:
    console.print(_table(summary))
    asked, strangers = summary.asked, summary.strangers
    figures = Table.grid(padding=(0, 2))
    figures.add_row("enrolled", f"{len(summary.enrolled)} characters", _supports(summary))
    if asked:
        unknown = sum(not row.names for row in asked)
        figures.add_row("first suggestion right", _share(sum(row.first for row in asked), len(asked)))
        figures.add_row("among the first three", _share(sum(row.among_three for row in asked), len(asked)))
        figures.add_row("left without a name", _share(unknown, len(asked)), "of the characters enrolled")
        sure = [row for row in asked if row.names]
        if sure:
            figures.add_row("right where one was named", _share(sum(row.first for row in sure), len(sure)))
    if strangers:
        wrong = sum(bool(row.names) for row in strangers)
        figures.add_row("named though not enrolled", _share(wrong, len(strangers)), "of the characters not enrolled")
    counted = ", ".join(f"{count} {state}" for state, count in sorted(summary.states.items()))
    figures.add_row("uploads", f"{len(summary.rows)}", counted)
    console.print(figures)
    if problems := summary.problems():
        console.print("[bold red]Not as it should be:[/] " + escape("; ".join(problems)) + ".")
    else:
        console.print("[bold green]All as it should be.[/]")
    console.print(f"[dim]It passes when {RULE}.[/]")


def _supports(summary: Summary) -> str:
    counts = Counter(row.label for row in summary.rows if row.role == Role.SUPPORT and row.state == "done")
    low, high = min(counts.values(), default=0), max(counts.values(), default=0)
    return f"from {low if low == high else f'{low}–{high}'} pictures each"


def _table(summary: Summary) -> Table:
    table = Table(title="What the networks said about the uploads", title_justify="left", title_style="bold")
    for name, justify in (("post", "right"), ("file", "left"), ("shows", "left"), ("first suggestion", "left")):
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name in ("post", "shows"))  # type: ignore[arg-type]
    for name in ("", "rating", "flags"):
        table.add_column(name, overflow="fold")
    table.add_column("queue", justify="right")
    for row in summary.rows:
        if row.role == Role.SUPPORT and row.state in SETTLED:
            continue
        table.add_row(
            str(row.post_id or "–"),
            escape(row.file),
            escape(row.label) + (" [dim](not enrolled)[/]" if row.role == Role.STRANGER else ""),
            _said(row),
            _verdict(row),
            row.rating if row.state == "done" else "",
            escape(", ".join(row.flags)),
            f"#{row.place}" if row.place else "",
        )
    return table


def _said(row: Row) -> str:
    if row.state != "done":
        return f"[yellow]{escape(row.state)}[/]: {escape(_short(row.message))}"
    if row.names:
        name, probability = row.names[0]
        return f"{escape(name)} {probability:.0%}"
    if row.guess:
        return f"[dim]unknown (nearest: {escape(row.guess[0])} {row.guess[1]:.0%})[/]"
    return "[dim]unknown[/]"


def _short(text: str, most: int = 70) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _verdict(row: Row) -> str:
    if row.state != "done":
        return ""
    if row.role == Role.STRANGER:
        return "[red]false name[/]" if row.names else "[green]✓[/]"
    if row.first:
        return "[green]✓[/]"
    if not row.names:
        return "[yellow]no name[/]"
    return "[yellow]in top 3[/]" if row.among_three else "[red]✗[/]"


def _share(count: int, total: int) -> str:
    return f"{count} of {total} ({count / total:.0%})"
