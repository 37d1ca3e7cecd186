"""``booru_evaluate`` from end to end on small checkpoints and folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError

from booru_ml.checkpoint import Checkpoint
from booru_ml.training import manifest
from tests.booru_ml.evaluation.commands import evaluate, rewritten

pytestmark = pytest.mark.torch


def test_artists_are_told_by_characters_that_were_not_shown(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    """Here the ground's brightness is the artist's own, whoever is shown."""
    folder = rewritten(data, tmp_path / "set", artist=lambda _, row: f"hand {row['finish']}")
    (folder / "someone00" / "0.png").write_bytes(b"no picture")
    asked = ("--data", folder, "--model", checkpoint, "--folds", 3, "--report", tmp_path / "report")
    figures, said, warned = evaluate("artist", *asked)
    keys = ["classes", "pictures", "accuracy", "balanced_accuracy", "ci95", "pair_auc", "pixel_1nn"]
    keys += ["content_disjoint", "near_copies"]
    assert list(figures) == keys
    assert (figures["classes"], figures["pictures"]) == (4, 47)
    assert figures["ci95"][0] <= figures["accuracy"] <= figures["ci95"][1]
    assert figures["accuracy"] > 0.6
    assert figures["pair_auc"] > 0.6
    assert "share none of 12 groups" in said
    assert figures["content_disjoint"] is True
    assert "1 of 48 pictures cannot be read" in warned
    page = (tmp_path / "report" / "artist.html").read_text()
    assert "data:image/png;base64" in page
    assert "http" not in page
    assert evaluate("artist", *asked)[0] == figures
    apart = [line.split(",")[:2] for line in (data / "manifest.csv").read_text().splitlines()[1:]]
    rows = [f"{path},hand {path[-5]}" for path, _ in apart]
    (folder / "manifest.csv").write_text("\n".join(["path,artist", *rows]))
    figures, said, warned = evaluate("artist", *asked)
    assert figures["content_disjoint"] is False
    assert "share none of" not in said
    assert "48 of 48 pictures have no group, so characters may stand on both sides" in warned


def test_a_vision_transformer_is_asked_by_its_one_wide_map(data: Path, tmp_path: Path) -> None:
    from booru_ml.checkpoint.heads import WIDEST
    from booru_ml.evaluation import artist
    from tests.booru_ml.nn import builders

    model = builders.plain_timm(tmp_path / "vit", "test_vit", num_classes=0, embed_dim=192, num_heads=3)
    rows = artist.drawn(model, manifest.read(data, label="artist")[:5])
    assert rows.shape == (5, WIDEST * (WIDEST - 1) // 2)
    assert np.isfinite(rows).all()


def test_stored_thresholds_are_the_checkpoints_and_verify(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    folder = rewritten(data, tmp_path / "set", tags=lambda n, _: ("sky", "sky sea", "sea moon", "")[n % 4])
    asked = ("--data", folder, "--model", checkpoint)
    sums = Checkpoint.load(checkpoint).sums
    figures, _, _ = evaluate("tags", *asked)
    assert Checkpoint.load(checkpoint).sums == sums
    assert {"macro_f1", "micro_f1", "map", "p_equals_r_threshold", "pixel_1nn"} <= figures.keys()
    assert figures["unknown_tags"] == 1
    assert figures["pictures"] == 48, "a picture without any tag counts: what is said of it is wrong"
    evaluate("tags", *asked, "--store")
    stored = Checkpoint.load(checkpoint).thresholds["tags"]
    assert set(stored) == {"sky", "sea"}
    evaluate("tags", *asked, "--store")
    assert len((checkpoint / "thresholds.csv").read_text().splitlines()) == 3
    assert evaluate("tags", *asked)[0]["micro_f1"] >= figures["micro_f1"]


def test_the_floor_of_tags_is_measured_by_what_is_known(
    checkpoint: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every fourth picture nobody said whether it shows the sea; its neighbour's sea is no mistake there."""
    folder = rewritten(
        data,
        tmp_path / "set",
        tags=lambda n, _: "sky sea" if n % 4 else "sky",
        rejected=lambda n, _: "" if n else "sea",
    )
    monkeypatch.setattr("booru_ml.evaluation.tags.nearest_other", lambda *_: (np.arange(48) + 1) % 48)
    figures, _, _ = evaluate("tags", "--data", folder, "--model", checkpoint)
    hit, wrong, missed = 48 + 24, 1, 12
    assert figures["pixel_1nn"] == pytest.approx(2 * hit / (2 * hit + wrong + missed), abs=1e-4)


def test_quality_by_own_head_by_a_fitted_one_and_by_made_grades(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    own = rewritten(
        data, tmp_path / "own" / "set", quality=lambda n, _: ("poor", "rough", "fine")[n % 3] if n < 12 else ""
    )
    figures, said, _ = evaluate("quality", "--data", own, "--model", checkpoint)
    assert "own head quality" in said
    assert {"qwk", "spearman", "mae", "invariance", "pixel_1nn"} <= figures.keys()
    with pytest.raises(CommandError, match="poor, rough, fine in this order"):
        evaluate("quality", "--data", own, "--model", checkpoint, "--order", "fine", "rough", "poor")
    # The ground gets darker from finish to finish.
    fitted = rewritten(data, tmp_path / "fitted" / "set", quality=lambda n, _: 1 + n % 4 if n < 32 else "")
    figures, said, _ = evaluate("quality", "--data", fitted, "--model", checkpoint, "--folds", 3)
    assert "was fitted on the other of 3 folds" in said
    assert figures["qwk"] > 0.5
    assert set(figures["invariance"]) == {"middle 80 %", "half size"}
    kinds = rewritten(data, tmp_path / "kinds" / "set", kind=lambda n, _: ("color", "lineart")[n % 2] if n < 16 else "")
    figures, said, _ = evaluate("quality", "--data", kinds, "--model", checkpoint, "--folds", 3)
    assert "SYNTHETIC" in said
    assert figures["pictures"] == 8 * 5
    assert set(figures["no_sketch"]) == {"auroc", "found", "sketches_refused"}


def test_words_that_everybody_knows_need_no_order() -> None:
    from booru_ml.evaluation.quality import _order

    assert _order(["Bad", "Fair", "Good"], (), None) == ("Bad", "Fair", "Good")
    assert _order(["good", "poor"], (), None) == ("poor", "good")
    assert _order(["finished", "poor", "rough"], ("a", "b"), None) == ("poor", "rough", "finished")
    assert _order(["10", "9"], (), None) == ("9", "10")


def test_ratings_are_grades(data: Path, tmp_path: Path) -> None:
    folder = rewritten(data, tmp_path / "set", rating=lambda n, _: ("general", "s", "explicit")[n % 3])
    figures, _, _ = evaluate("rating", "--data", folder)
    assert {"accuracy", "qwk", "mae", "spearman", "ece", "pixel_1nn"} <= figures.keys()
    odd = rewritten(data, tmp_path / "odd" / "set", rating=lambda *_: "lewd")
    with pytest.raises(CommandError, match="'lewd' is no rating of Danbooru's: write g"):
        evaluate("rating", "--data", odd)


def test_a_model_is_no_better_than_itself(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    folder = rewritten(data, tmp_path / "set", rating=lambda n, _: "gsqe"[n % 4])
    asked = ("--of", "rating", "--data", folder, "--model", "nsfwjs", "--against")
    figures, said, _ = evaluate("compare", *asked, "nsfwjs", "--with=--resamples 20")
    assert figures["mcnemar_p"] == 1.0
    assert figures["figures"]["accuracy"]["difference"]["value"] == 0.0
    assert "McNemar" in said
    with pytest.raises(CommandError, match="no head 'rating'"):
        evaluate("compare", *asked, checkpoint)
    with pytest.raises(CommandError, match="--with: unrecognized arguments: --folds 3"):
        evaluate("compare", *asked, "nsfwjs", "--with=--folds 3")


def test_what_is_wrong_is_said(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="neither a checkpoint folder nor one that ships"):
        evaluate("artist", "--data", data, "--model", "nowhere")
    with pytest.raises(CommandError, match=r"lacks the column\(s\) rating"):
        evaluate("rating", "--data", data)
    alone = rewritten(data, tmp_path / "alone" / "set", artist=lambda _, row: row["character"])
    with pytest.raises(CommandError, match="pictures of two characters"):
        evaluate("artist", "--data", alone, "--model", checkpoint)
    with pytest.raises(CommandError, match="'0' is no whole number from 2"):
        evaluate("artist", "--data", data, "--model", checkpoint, "--folds", 0)
    with pytest.raises(CommandError, match=r"lacks the column\(s\) charcter"):
        evaluate("artist", "--data", data, "--model", checkpoint, "--group", "charcter")
    with pytest.raises(CommandError, match=r"lacks the column\(s\) grade"):
        evaluate("quality", "--data", data, "--model", checkpoint, "--label", "grade")
    words = rewritten(data, tmp_path / "words" / "set", quality=lambda n, _: ("meh", "nice", "great")[n % 3])
    with pytest.raises(CommandError, match="in which --order"):
        evaluate("quality", "--data", words, "--model", checkpoint)
    tagged = rewritten(data, tmp_path / "tagged" / "set", tags=lambda *_: "sky")
    with pytest.raises(CommandError, match="--precision lies"):
        evaluate("tags", "--data", tagged, "--model", checkpoint, "--choose", "precision", "--precision", 90)
    single = rewritten(data, tmp_path / "single" / "set", character=lambda n, _: f"who{n}")
    with pytest.raises(CommandError, match="fewer than two classes of 2 pictures"):
        evaluate("characters", "--data", single, "--model", checkpoint, "--most", 2)
    broken = rewritten(data, tmp_path / "broken" / "set", rating=lambda *_: "g")
    for path in broken.glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(CommandError, match="None of the 48 pictures can be read"):
        evaluate("rating", "--data", broken)
