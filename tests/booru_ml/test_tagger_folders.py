"""Folders as WD taggers are published: no section of ours, and a table of tags."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from booru_ml.checkpoint import Checkpoint, HeadKind, pin
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import CheckpointError
from booru_ml.types import Category

TAGS = "tag_id,name,category,count\n1,general,9,5\n2,explicit,9,4\n3,1girl,0,3\n4,hatsune_miku,4,2\n5,sky,0,1\n"


def tagger(folder: Path, rows: str, **config: Any) -> Path:
    """A folder of the shape that published taggers have, around another network's weights file."""
    folder.mkdir()
    shutil.copy(CHECKPOINTS / "nsfwjs" / "model.safetensors", folder)
    said = {"architecture": "vit_base_patch16_224", "num_classes": 5, "num_features": 768, "pretrained_cfg": {}}
    (folder / "config.json").write_text(json.dumps(said | config))
    (folder / "selected_tags.csv").write_text(rows)
    pin(folder)
    return folder


def test_a_published_taggers_folder_gives_tags_and_rating(tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(tagger(tmp_path / "WD-tagger", TAGS))
    assert checkpoint.name == "wd-tagger"
    assert list(checkpoint.heads) == ["embedding", "rating", "tags"]
    assert checkpoint.heads["rating"].rows == (0, 1)
    assert [label.name for label in checkpoint.heads["rating"].labels] == ["g", "e"]
    tags = checkpoint.heads["tags"]
    assert tags.kind is HeadKind.SIGMOID
    assert tags.rows == (2, 3, 4)
    assert tags.labels[1].category is Category.CHARACTER
    assert checkpoint.preprocess.resize == "pad"
    assert checkpoint.preprocess.channels == "BGR"
    assert checkpoint.embedding_dim == 768


def test_ratings_are_as_severe_as_their_names_say_in_whatever_order(tmp_path: Path) -> None:
    rows = "name,category\nexplicit,9\nsensitive,9\n1girl,0\nmiku,4\nsky,0\n"
    assert Checkpoint.read(tagger(tmp_path / "tagger", rows)).heads["rating"].severity == (3.0, 1.0)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("general,9\ngeneral,9\n1girl,0\nmiku,4\nsky,0\n", "each once"),
        ("general,9\nsafe,9\n1girl,0\nmiku,4\nsky,0\n", "general, sensitive, questionable, explicit"),
    ],
)
def test_a_slip_in_a_taggers_table_is_told(tmp_path: Path, rows: str, why: str) -> None:
    with pytest.raises(CheckpointError, match=why):
        Checkpoint.read(tagger(tmp_path / "tagger", f"name,category\n{rows}"))


def test_a_taggers_thresholds_come_per_category_and_per_tag(tmp_path: Path) -> None:
    rows = "name,category,best_threshold\ngeneral,9,\nexplicit,9,\n1girl,0,\nhatsune_miku,4,0.71\nsky,0,\n"
    folder = tagger(tmp_path / "tagger", rows)
    (folder / "thresholds.csv").write_text("category,name,threshold\n0,general,0.35\n4,character,0.8\n")
    pin(folder)
    assert Checkpoint.read(folder).thresholds["tags"] == {"1girl": 0.35, "hatsune_miku": 0.71, "sky": 0.35}


def test_a_taggers_ratings_are_meant_by_their_published_names(tmp_path: Path) -> None:
    folder = tagger(tmp_path / "tagger", TAGS)
    rows = "9,rating,0.5\n9,explicit,0.62\n0,general,0.35\n3,copyright,0.4\n9,g,0.55\n,sky,0.3\n"
    (folder / "thresholds.csv").write_text(f"category,name,threshold\n{rows}")
    pin(folder)
    found = Checkpoint.read(folder).thresholds
    assert found["rating"] == {"g": 0.55, "e": 0.62}
    assert found["tags"] == {"1girl": 0.35, "sky": 0.3}
    best = "name,category,best_threshold\ngeneral,9,0.4\nexplicit,9,\nexplicit,0,0.9\n1girl,0,\nsky,0,\n"
    folder = tagger(tmp_path / "other", best)
    assert Checkpoint.read(folder).thresholds == {"rating": {"g": 0.4}, "tags": {"explicit": 0.9}}


def test_a_threshold_for_each_of_ten_thousand_tags_is_read_at_once(tmp_path: Path) -> None:
    names = [f"tag_{number}" for number in range(10_000)]
    listed = "".join(f"{name},0\n" for name in names)
    folder = tagger(tmp_path / "tagger", f"name,category\n{listed}", num_classes=len(names))
    (folder / "thresholds.csv").write_text("name,threshold\n" + "".join(f"{name},0.25\n" for name in names))
    pin(folder)
    before = time.process_time()
    assert len(Checkpoint.read(folder).thresholds["tags"]) == len(names)
    assert time.process_time() - before < 2, "as many looks at every label as there are rows"


def test_a_tagger_with_too_few_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="num_classes differs"):
        Checkpoint.load(tagger(tmp_path / "tagger", TAGS, num_classes=6))
