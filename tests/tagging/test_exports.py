"""Decided posts become a folder to train with: what people said, and nothing that only a network said."""

import csv
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command

from booru_ml.training import manifest
from deploy.demo.board.models import Tag
from tagging import exports, services
from tests import disks
from tests.tagging.factories import post, suggestion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gallery", "media")]


def drawn(**others):
    picture = post(**others)
    picture.picture.save(f"{picture.pk}.png", ContentFile(f"picture {picture.pk}".encode()))
    return picture


def accept(picture, name, category="general"):
    return services.accept(suggestion_id=suggestion(picture, name, category).pk, actor=picture.uploader)


def export(folder, *args):
    out = StringIO()
    call_command("booru_export", "--out", str(folder), *args, stdout=out)
    with (folder / "manifest.csv").open(newline="") as file:
        return out.getvalue(), {row["path"]: row for row in csv.DictReader(file)}


def test_a_row_holds_what_people_decided(tmp_path):
    picture = drawn(rating="g", source="https://example.org/7")
    picture.tags.add(Tag.objects.create(name="hat"))
    accept(picture, "miku", "character")
    accept(picture, "q", "rating")
    accept(picture, "sketch", "quality")
    wrong = suggestion(picture, "sea")
    services.reject(suggestion_id=wrong.pk, actor=picture.uploader)
    suggestion(picture, "nobody_looked", "artist")
    said, rows = export(tmp_path / "set")
    assert rows == {
        f"{picture.pk}.png": {
            "path": f"{picture.pk}.png",
            "character": "miku",
            "artist": "",
            "quality": "sketch",
            "rating": "q",
            "tags": "character:miku hat",
            "rejected": "sea",
            "group": "ffd3aaca7cf1af52",
        }
    }
    assert said.startswith("1 decided posts")
    (sample,) = manifest.read(tmp_path / "set", label="tags", several=True)
    assert sample.labels == ("character:miku", "hat")


def test_only_posts_with_a_standing_decision_of_a_person_are_written(tmp_path):
    untouched, undone, automatic, deleted, decided = (drawn() for _ in range(5))
    suggestion(untouched)
    decision = accept(undone, "hat")
    services.undo(decision_id=decision.pk, actor=undone.uploader)
    suggestion(automatic, "sea", state="auto_applied")
    accept(deleted, "hat")
    deleted.status = "deleted"
    deleted.save()
    accept(decided, "hat")
    said, rows = export(tmp_path / "set")
    assert list(rows) == [f"{decided.pk}.png"]
    assert "1 posts are gone" in said


def test_pictures_of_one_source_are_one_group_and_what_an_uploader_typed_is_no_cell(tmp_path):
    typed = "=HYPERLINK(0)"
    for source in (typed, typed, "https://example.org/7", ""):
        accept(drawn(source=source), "hat")
    _, rows = export(tmp_path / "set")
    groups = [row["group"] for row in rows.values()]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3
    assert all(group[0].isalnum() for group in groups)


def test_two_characters_name_none(tmp_path):
    picture = drawn()
    for name in ("miku", "rin"):
        accept(picture, name, "character")
    _, rows = export(tmp_path / "set")
    assert rows[f"{picture.pk}.png"]["character"] == ""


def test_pictures_are_linked_once_and_what_was_cut_off_goes_on(tmp_path):
    first, second = drawn(), drawn()
    for picture in (first, second):
        accept(picture, "hat")
    folder = tmp_path / "set"
    export(folder)
    assert (folder / f"{first.pk}.png").samefile(first.picture.path)
    (folder / f"{second.pk}.png").unlink()
    (folder / f".{second.pk}.png.partial").write_bytes(b"half of it")
    said, rows = export(folder, "--copy")
    assert len(rows) == 2
    assert "1 of their pictures there before" in said
    copy = folder / f"{second.pk}.png"
    assert copy.read_bytes() == Path(second.picture.path).read_bytes()
    assert not copy.samefile(second.picture.path)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*rows, "manifest.csv"])


@pytest.mark.parametrize("how", [[], ["--copy"]])
def test_a_picture_that_was_replaced_takes_the_former_ones_place(tmp_path, how):
    picture = drawn()
    accept(picture, "hat")
    export(tmp_path / "set", *how)
    old = Path(picture.picture.path).read_bytes()
    Path(picture.picture.path).unlink()
    Path(picture.picture.path).write_bytes(bytes(reversed(old)))
    said, _ = export(tmp_path / "set", *how)
    assert "there before" not in said or "0 of their pictures there before" in said
    assert (tmp_path / "set" / f"{picture.pk}.png").read_bytes() == bytes(reversed(old))


def test_a_folder_of_somebody_elses_stays_as_it_is(tmp_path):
    picture = drawn()
    accept(picture, "hat")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / f"{picture.pk}.png").write_bytes(b"another picture")
    for manifest_of_theirs in (None, "path,character\na.png,miku\n"):
        if manifest_of_theirs:
            (foreign / "manifest.csv").write_text(manifest_of_theirs)
        before = {path: path.read_bytes() for path in foreign.iterdir()}
        with pytest.raises(CommandError, match=r"holds something else .* would be lost"):
            call_command("booru_export", "--out", str(foreign))
        assert {path: path.read_bytes() for path in foreign.iterdir()} == before


def test_an_export_that_was_cut_off_before_its_manifest_goes_on(tmp_path):
    pictures = [drawn(), drawn()]
    for picture in pictures:
        accept(picture, "hat")
    next(exports.export(tmp_path / "set"))
    said, rows = export(tmp_path / "set")
    assert len(rows) == 2
    assert "1 of their pictures there before" in said


@pytest.mark.parametrize("name", ["file", "file/below", "/proc/nowhere"])
def test_a_place_that_can_be_no_folder_is_told_in_a_sentence(tmp_path, name):
    accept(drawn(), "hat")
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=f"{tmp_path / name} cannot be written"):
        call_command("booru_export", "--out", str(tmp_path / name))


def test_a_full_disk_is_told_and_keeps_no_half_of_a_picture():
    picture = post()
    picture.picture.save("1.png", ContentFile(bytes(64 * 1024)))
    accept(picture, "hat")
    with disks.small_disk("16k") as disk:
        with pytest.raises(CommandError, match=f"{picture.pk}.png cannot be written: No space left"):
            call_command("booru_export", "--out", str(disk / "set"), "--copy")
        assert [path.name for path in (disk / "set").iterdir()] == ["manifest.csv"]
