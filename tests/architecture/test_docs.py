"""What the pages tell people to type is there."""

from __future__ import annotations

import re
from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {name: app for name, app in get_commands().items() if name.startswith("booru_")}


def code(page: Path) -> list[str]:
    """The lines of its blocks of code, joined where a backslash ends them, and its code between words."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    words = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    lines = [line.split("#")[0] for block in blocks for line in block.splitlines()]
    return lines + [" ".join(word.split()) for word in words]


def options(parser: ArgumentParser) -> set[str]:
    inner = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    return set(parser._option_string_actions).union(
        *(options(choice) for action in inner for choice in action.choices.values())
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_knows_every_target(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {name for line in code(page) for name in re.findall(r"^make ([a-z-]+)", line)} <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_there_with_every_option(page: Path) -> None:
    for line in code(page):
        for name, rest in re.findall(r"(?:^|manage\.py )(booru_[a-z_]+)(?: (.*))?$", line):
            if name in COMMANDS or "manage.py" in line:
                parser = load_command_class(COMMANDS[name], name).create_parser("manage.py", name)
                assert set(re.findall(r"(?<!\S)\[?(--[a-z][a-z0-9-]*)", rest)) <= options(parser), line
