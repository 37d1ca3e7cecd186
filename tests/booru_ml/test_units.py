"""The units for systemd start commands that exist, and start them again."""

from __future__ import annotations

import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest
from django.core.management import load_command_class

UNITS = sorted(Path(__file__, "../../../deploy/systemd").resolve().glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit_starts_a_command_that_exists(unit):
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read(unit)
    service = parser["Service"]
    _, manage, name, *flags = shlex.split(service["ExecStart"])
    assert manage == "manage.py"
    app = "tagging" if name == "booru_shadow" else "booru_ml"
    load_command_class(app, name).create_parser("manage.py", name).parse_args(flags)
    assert service["Restart"] == "always"
    assert parser["Install"]["WantedBy"] == "multi-user.target"
