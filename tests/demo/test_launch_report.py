from __future__ import annotations

import io

import pytest
from rich.console import Console

from deploy.demo.launch.pictures import Role
from deploy.demo.launch.report import Row, Summary, by_chance, show


def row(label: str, *names: str, role: Role = Role.QUERY, state: str = "done", **more: object) -> Row:
    scored = tuple((name, 0.9 - number / 10) for number, name in enumerate(names))
    return Row(file=f"{label}.png", label=label, role=role, state=state, names=scored, **more)  # type: ignore[arg-type]


SUPPORTS = [row(name, role=Role.SUPPORT) for name in ("ann", "bea", "cat")]


def good(name: str, count: int = 6) -> list[Row]:
    return [row(name, name, "other") for _ in range(count)]


def test_a_good_run_has_no_problems() -> None:
    strangers = [row("eve", role=Role.STRANGER), row("eve", "ann", role=Role.STRANGER)]
    assert Summary([*SUPPORTS, *good("ann"), *good("bea"), *good("cat"), *strangers]).problems() == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            [*good("ann"), *good("bea"), *[row("cat", "x", "y", "z", "cat")] * 4],
            "cat is among the first three in 0 of 4",
        ),
        ([*good("ann"), *good("bea")], "no upload of cat"),
        ([*good("ann"), *good("bea"), *good("cat"), row("cat", state="quarantined")], "1 upload quarantined"),
        ([*good("ann"), *good("bea"), *good("cat"), row("cat", state="lost")], "1 upload lost"),
        ([*good("ann"), *good("bea"), *good("cat"), row("cat", state="running")], "1 upload running"),
        ([row(name, "x", name) for name in ("ann", "bea", "cat") for _ in range(6)], "guessing could do"),
    ],
)
def test_what_is_wrong_is_named(changed: list[Row], problem: str) -> None:
    assert problem in "; ".join(Summary([*SUPPORTS, *changed]).problems())


def test_refused_files_are_accounted_for() -> None:
    refused = [row("cat", state="refused", message="no picture"), row("cat", state="not accepted", message="empty")]
    assert Summary([*SUPPORTS, *good("ann"), *good("bea"), *good("cat"), *refused]).problems() == []


def test_guessing_is_a_binomial_tail() -> None:
    assert by_chance(0, 10, 0.3) == pytest.approx(1)
    assert by_chance(10, 10, 0.5) == pytest.approx(2**-10)


def test_the_printed_result_tells_all_and_escapes_names() -> None:
    out = io.StringIO()
    rows = [
        *SUPPORTS,
        *good("ann"),
        row("bea", guess=("ann", 0.3)),
        row("[red]x", "bea", role=Role.STRANGER, flags=("looks explicit 90%",), place=2, post_id=7),
        row("cat", state="refused", message="This is no picture."),
    ]
    show(Summary(rows), Console(file=out, width=200))
    text = out.getvalue()
    for part in (
        "6 of 7 (86%)",
        "unknown (nearest: ann 30%)",
        "[red]x",
        "false name",
        "#2",
        "This is no picture.",
        "1 refused",
    ):
        assert part in text
    assert "Not as it should be" in text
