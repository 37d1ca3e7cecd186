"""Real odd and malicious files against what a reference guard expects of them."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from booru_ml.pipeline.images import DecoderPool, Limits
from booru_ml.pipeline.images.folder import Checked, check


@dataclass(frozen=True)
class Judged:
    path: str
    expected: str
    expected_code: str
    found: Checked

    @property
    def accepted_as_expected(self) -> bool:
        return self.expected == "either" or (self.expected == "reject") == (self.found.outcome == "reject")


@pytest.fixture(scope="module")
def judged(data_dir: Path) -> list[Judged]:
    folder = data_dir / "hostile"
    with DecoderPool(workers=2, limits=Limits()) as pool:
        found = {checked.path: checked for checked in check(folder, pool)}
    with (folder / "manifest.csv").open(newline="") as manifest:
        return [
            Judged(row["path"], row["expect"], row["reject_code"], found[row["path"]])
            for row in csv.DictReader(manifest)
        ]


def test_what_can_be_shown_is_accepted_and_all_else_refused(judged: list[Judged]) -> None:
    assert [item for item in judged if not item.accepted_as_expected] == []


def test_nothing_crashes_hangs_or_exhausts_a_decoder(judged: list[Judged]) -> None:
    assert not [item for item in judged if item.found.code in ("crashed", "timeout", "resources")]


def test_refusals_name_the_expected_reason(judged: list[Judged]) -> None:
    reasons = Counter(
        (item.expected_code, item.found.code)
        for item in judged
        if item.expected == "reject" and item.expected_code != item.found.code
    )
    # A damaged signature makes a file of no format; the reference calls some of these corrupt.
    assert set(reasons) <= {("corrupt", "format")}


def test_whatever_is_expected_to_be_noted_is_noted(judged: list[Judged]) -> None:
    assert [item for item in judged if (item.expected, item.found.outcome) == ("accept-converted", "accept")] == []


def test_hardly_anything_else_is_noted(judged: list[Judged]) -> None:
    """The set calls some files plain by the collection they come from, although they have transparency, 16 bits, grey
    or a gamma of their own, and others with the very same traits converted."""
    noted = [item for item in judged if (item.expected, item.found.outcome) == ("accept", "accept-converted")]
    assert len(noted) / len(judged) < 0.05
