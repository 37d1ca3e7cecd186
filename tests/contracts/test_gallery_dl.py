"""gallery-dl as it comes from the package index, pointed at this board by its configuration file."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rest_framework.authtoken.models import Token

from deploy.demo.board.models import Post, Tag
from tests.flows.board import moderator, png, post, uploader

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media")]


class GalleryDl:
    def __init__(self, root: str, folder: Path) -> None:
        self.root, self.folder = root, folder

    def __call__(self, path: str, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        config = {
            "extractor": {
                "base-directory": str(self.folder / "files"),
                "sleep-request": 0,
                "Danbooru": {"booru-ml": {"root": self.root}},
                "booru-ml": settings,
            },
            "cache": {"file": None},
        }
        file = self.folder / "gallery-dl.json"
        file.write_text(json.dumps(config))
        command = [sys.executable, "-m", "gallery_dl", "--config-ignore", "--config", str(file), *options]
        return subprocess.run([*command, self.root + path], capture_output=True, text=True, timeout=120)

    def posts(self, path: str, **settings: Any) -> list[dict[str, Any]]:
        done = self(path, "--dump-json", **settings)
        assert done.returncode == 0, done.stderr
        return [message[2] for message in json.loads(done.stdout) if message[0] == 3]


@pytest.fixture
def gallery_dl(live_server, tmp_path: Path) -> GalleryDl:
    return GalleryDl(live_server.url, tmp_path)


def test_it_downloads_the_files_of_a_search(gallery_dl: GalleryDl) -> None:
    ann = uploader()
    wanted = [post(ann, "hat artist:bob") for _ in range(3)]
    post(ann, "smile")
    done = gallery_dl("/posts?tags=hat")
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_bytes() for path in (gallery_dl.folder / "files").rglob("*.png")}
    assert {hashlib.sha256(content).hexdigest() for content in files.values()} == {row.sha256 for row in wanted}
    assert all(name.startswith("booru-ml_") for name in files)


def test_it_reads_one_post_with_its_tags(gallery_dl: GalleryDl) -> None:
    row = post(uploader(), "hat artist:bob character:rei", rating="q", source="https://x.example/1")
    (found,) = gallery_dl.posts(f"/posts/{row.pk}")
    assert found["tags_artist"] == ["bob"]
    assert found["tags_character"] == ["rei"]
    assert (found["rating"], found["source"], found["md5"], found["extension"]) == (
        "q",
        "https://x.example/1",
        row.md5,
        "png",
    )


@pytest.mark.parametrize("order", ["", "+order:id", "+order:filesize"])
def test_it_follows_the_pages_to_the_end(gallery_dl: GalleryDl, order: str) -> None:
    ann = uploader()
    tag = Tag.objects.create(name="hat", post_count=450)
    rows = Post.objects.bulk_create(
        Post(uploader=ann, picture=f"posts/{number}.png", sha256=f"{number:064}", md5=f"{number:032}", file_ext="png")
        for number in range(450)
    )
    Post.tags.through.objects.bulk_create(Post.tags.through(post=row, tag=tag) for row in rows)
    found = [item["id"] for item in gallery_dl.posts(f"/posts?tags=hat{order}")]
    ids = sorted(row.pk for row in rows)
    assert found == (ids if order == "+order:id" else ids[::-1])


def test_its_log_in_opens_what_moderators_see(gallery_dl: GalleryDl) -> None:
    row = post(uploader(), "hat", status="deleted")
    key = Token.objects.create(user=moderator("mod")).key
    assert gallery_dl.posts("/posts?tags=status:deleted", username="mod", password=key)[0]["id"] == row.pk
    assert gallery_dl.posts("/posts?tags=status:deleted") == []
    assert gallery_dl("/posts?tags=hat", username="mod", password="wrong").returncode != 0


def test_metadata_is_asked_for_with_only(gallery_dl: GalleryDl) -> None:
    row = post(uploader(), "hat")
    (found,) = gallery_dl.posts("/posts?tags=hat", metadata="media_asset[id,file_key]")
    assert found["media_asset"]["id"] == row.pk
    assert set(found["media_asset"]) == {"id", "file_key"}


def test_a_file_that_is_no_picture_comes_as_it_is(gallery_dl: GalleryDl) -> None:
    from deploy.demo.board import services
    from tests.flows.board import file

    services.upload(uploader=uploader(), file=file(b"<svg onload='alert(1)'/>"), rating="g", tags="odd")
    assert gallery_dl("/posts?tags=odd").returncode == 0
    (path,) = (gallery_dl.folder / "files").rglob("*.bin")
    assert path.read_bytes() == b"<svg onload='alert(1)'/>"
    assert png()[:4] == b"\x89PNG"
