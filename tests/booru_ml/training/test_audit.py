"""A folder is looked through before anything is taught with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from booru_ml.checkpoint import Preprocess
from booru_ml.errors import InvalidInput
from booru_ml.training.audit import audit
from booru_ml.training.manifest import Sample, read
from booru_ml.training.material import Folders, material
from booru_ml.training.pictures import tiles
from booru_ml.training.runs import Run
from booru_ml.training.settings import Settings
from booru_ml.training.splits import split
from booru_ml.training.tasks import TASKS

pytestmark = pytest.mark.torch


def scene(seed: int) -> Image.Image:
    """Blocks of colour that no other seed has."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(blocks).resize((48, 48), Image.Resampling.BICUBIC)


def sample(folder: Path, image: Image.Image | bytes, label: str, split: str = "", name: str = "") -> Sample:
    path = folder / (name or f"{len(list(folder.iterdir())):03}.png")
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path)
    return Sample(path, label, path.name, split)


def names(pairs: object) -> list[tuple[str, ...]]:
    return [tuple(path.name for path in pair) for pair in pairs]  # type: ignore[attr-defined]


def test_what_cannot_teach_is_named_and_left_out(tmp_path: Path) -> None:
    good = [sample(tmp_path, scene(seed), "ab"[seed % 2]) for seed in range(12)]
    broken = sample(tmp_path, b"no picture", "a")
    plain = sample(tmp_path, Image.new("RGB", (48, 48), (250, 250, 248)), "a")
    again = sample(tmp_path, scene(0), "a")
    liar = sample(tmp_path, scene(1), "a")
    rare = sample(tmp_path, scene(50), "c")
    found = audit([*good, broken, plain, again, liar, rare], least=2)
    assert found.unreadable == (broken.path,)
    assert found.plain == (plain.path,)
    assert names(found.copies) == [("000.png", again.path.name)]
    assert names(found.contradictions) == [("001.png", liar.path.name)]
    assert found.rare == {"c": 1}
    assert {one.path for one in found.samples} == {one.path for one in good} - {good[1].path}
    assert found.lines[0].startswith("17 pictures listed, 11 kept, 2 labels: ")


def test_a_class_of_one_folder_is_not_that_of_another(tmp_path: Path) -> None:
    homes = [tmp_path / site / "pictures" for site in ("one", "other")]
    for number, home in enumerate(homes):
        (home / "a").mkdir(parents=True)
        for seed in range(2):
            sample(home / "a", scene(10 * number + seed), "a")
    apart = Folders(homes).identities("character", Settings())
    assert len({one.label for one in apart.samples}) == 2
    again = Folders([homes[0], homes[0].parent / "pictures"]).identities("character", Settings())
    assert {one.label for one in again.samples} == {"pictures/a"}


def test_tiles_of_a_picture_count_as_one(tmp_path: Path) -> None:
    whole = [sample(tmp_path, scene(seed), "a" if seed < 3 else "b" if seed < 6 else "c", "train") for seed in range(8)]
    found = audit(tiles(whole, 24), least=3)
    assert found.rare == {"c": 2}
    assert len(found.samples) == 24
    settings = Settings(size=24)
    look = Preprocess(24, 24, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert material(found.samples, TASKS["characters"], look, settings).taught.tolist() == [3, 3]


def test_a_reduced_copy_of_a_test_picture_does_not_teach(tmp_path: Path) -> None:
    tested = sample(tmp_path, scene(1), "a", "test")
    reduced = sample(tmp_path, scene(1).resize((40, 40)), "a", "train", "small.png")
    others = [sample(tmp_path, scene(seed), "a", "train") for seed in range(2, 6)]
    found = audit([tested, reduced, *others])
    assert names(found.leaks) == [(tested.path.name, "small.png")]
    assert set(found.samples) == {tested, *others}
    # Of exact copies the tested one stays, too.
    copy = sample(tmp_path, scene(1), "a", "train", "copy.png")
    assert tested in audit([copy, tested, *others]).samples


def test_what_only_val_and_test_have_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    taught = [sample(tmp_path, scene(seed), "ab"[seed % 2], "train") for seed in range(4)]
    alike = [
        sample(tmp_path, scene(9), "a", "val"),
        sample(tmp_path, scene(9).resize((40, 40)), "a", "test"),
    ]
    unknown = [sample(tmp_path, scene(seed), "c", "val") for seed in (10, 11)]
    found = audit([*taught, *alike, *unknown], shares=(0.5, 0.25, 0.25))
    assert set(found.samples) == {*taught, *alike}
    assert (found.untaught, found.rare) == ({"c": 2}, {})
    assert (names(found.leaks), names(found.tested)) == ([], [("004.png", "005.png")])
    assert "near-duplicates between val and test, kept" in found.lines[2]
    assert found.lines[3] == "1 labels without train pictures, left out: c (2)"
    assert "--shares has no effect" in found.lines[4]


def test_without_a_split_near_duplicates_stand_on_one_side(tmp_path: Path) -> None:
    originals = [sample(tmp_path, scene(seed), "ab"[seed % 2]) for seed in range(20)]
    reduced = [sample(tmp_path, scene(seed).resize((40, 40)), "ab"[seed % 2]) for seed in range(20)]
    found = audit([*originals, *reduced])
    sides = {one.path: one.split for one in found.samples}
    assert len(found.near) == 20
    assert [sides[a.path] for a in originals] == [sides[b.path] for b in reduced]
    assert set(sides.values()) == {"train", "val", "test"}


def test_a_copy_brings_its_group_along(tmp_path: Path) -> None:
    """Each picture stands in two works, by a copy in the second; the works may not be parted."""
    works = [[sample(tmp_path, scene(10 * work + n), "a") for n in range(2)] for work in range(12)]
    copies = [
        [sample(tmp_path, scene(10 * work), "a"), sample(tmp_path, scene(10 * work + 5), "a")] for work in range(12)
    ]
    grouped = []
    for name, sets in (("x", works), ("y", copies)):
        grouped += [replace(one, group=f"{name}{number}") for number, some in enumerate(sets) for one in some]
    found = audit(grouped)
    sides = {one.path: one.split for one in found.samples}
    assert len(found.copies) == 12
    assert all(sides[work[1].path] == sides[again[1].path] for work, again in zip(works, copies, strict=True))


def test_a_split_is_grouped_stratified_and_repeatable() -> None:
    samples = [
        Sample(Path(f"{label}{number}"), label, f"{label}{number // 2}")
        for label, count in (("many", 200), ("some", 40), ("few", 6), ("one", 1))
        for number in range(count)
    ]
    made = split(samples, seed=3)
    counts = {label: Counter(s.split for s in made if s.label == label) for label in ("many", "some", "few", "one")}
    assert counts["many"] == {"train": 140, "val": 20, "test": 40}
    assert counts["some"] == {"train": 28, "val": 4, "test": 8}
    assert counts["few"] == {"train": 2, "val": 2, "test": 2}
    assert counts["one"] == {"train": 1}
    assert all(len({s.split for s in made if s.group == group}) == 1 for group in {s.group for s in made})
    assert sorted(split(samples[::-1], seed=3), key=str) == sorted(made, key=str)
    assert split(samples, seed=4) != made


def test_tags_are_split_so_that_the_rare_one_is_everywhere() -> None:
    samples = [Sample(Path(str(n)), "", str(n), tags=("sky", "sea") if n % 20 == 0 else ("sky",)) for n in range(100)]
    made = split(samples)
    assert {s.split for s in made if "sea" in s.labels} == {"train", "val", "test"}


def test_half_a_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="fill all of them, or none"):
        audit([sample(tmp_path, scene(1), "a", "train"), sample(tmp_path, scene(2), "a")])
    with pytest.raises(InvalidInput, match="No picture is left"):
        audit([sample(tmp_path, scene(3), "a")], least=2)


def test_tags_are_read_as_words_and_an_empty_cell_as_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,tags\na.png,sky  character:miku sky\nb.png, \n")
    found = read(tmp_path, label="tags", several=True)
    assert [one.labels for one in found] == [("sky", "character:miku"), ()]
    # Where people said what is not there, nobody looked at the picture of which nothing is said.
    (tmp_path / "manifest.csv").write_text("path,tags,rejected\na.png,sky,\nb.png,,\nc.png,,sea\n")
    found = read(tmp_path, label="tags", several=True)
    assert [(one.path.name, one.labels, one.rejected) for one in found] == [
        ("a.png", ("sky",), ()), ("c.png", (), ("sea",)),
    ]  # fmt: skip


def test_pictures_without_tags_are_kept_and_split(tmp_path: Path) -> None:
    told = {0: ("sky",), 1: ("sky",), 2: ("rare",), 3: ()}
    found = audit([replace(sample(tmp_path, scene(n), ""), tags=tags) for n, tags in told.items()], least=2)
    assert sorted(one.labels for one in found.samples) == [(), (), ("sky",), ("sky",)]
    assert found.rare == {"rare": 1}
    run = Run(tmp_path / "out")
    run.keep_samples([*found.samples, sample(tmp_path, scene(9), "miku", "train")], [])
    assert [one.labels for one in run.samples() or ()] == [*(one.labels for one in found.samples), ("miku",)]


def test_a_group_is_one_in_whatever_folder_its_pictures_lie(tmp_path: Path) -> None:
    """An artist's characters are kept apart though two folders were given, and pictures lie by artist."""
    for number, home in enumerate(("one", "two")):
        for place, artist in enumerate(("x", "y")):
            for n in range(4):
                path = tmp_path / home / artist / f"{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                scene(100 * number + 10 * place + n).save(path)
        rows = [f"{artist}/{n}.png,{artist},who{n}\n" for artist in "xy" for n in range(4)]
        (tmp_path / home / "manifest.csv").write_text("path,artist,character\n" + "".join(rows))
    folders = Folders([tmp_path / "one", tmp_path / "two"])
    found = folders.samples(TASKS["artist"], Settings(shares=(0.5, 0.25, 0.25)))
    assert len(found.samples) == 16
    assert {len({one.split for one in found.samples if one.group == f"who{n}"}) for n in range(4)} == {1}
