"""The loop: what chance decides is the seed's, so a run that was killed goes on as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from booru_ml.checkpoint import Head, HeadKind, Label
from booru_ml.errors import BooruError, InvalidInput
from booru_ml.nn import backbones
from booru_ml.training import loop
from booru_ml.training.objectives import Angular, Answering, Frozen, Learner
from booru_ml.training.pictures import Deal
from booru_ml.training.runs import Run
from booru_ml.training.settings import Settings
from booru_ml.training.trainer import Bench
from booru_ml.types import Category

pytestmark = pytest.mark.torch

QUICK = Settings(
    size=16,
    epochs=3,
    batch=4,
    rate=0.05,
    backbone_rate=0.05,
    optimiser="sgd",
    dropout=0.5,
    ema=0.8,
    schedule="constant",
)
COUNT = 24
LABELS = (Label("a", Category.CHARACTER), Label("b", Category.CHARACTER))


ROOT = Path(__file__).resolve().parents[3]
DOOMED = """
import sys
from pathlib import Path
from booru_ml.training import loop
from tests.booru_ml.training.test_loop import COUNT, run
loop.SAVE_EVERY, loop.CHECK_EVERY = 2, 1
run(Path(sys.argv[1]), doom=COUNT + 16)
"""


class Noise(torch.utils.data.Dataset[Any]):
    """Pixels and label by number, noise by the seed of the variation; the process is killed at item ``doom``."""

    def __init__(self, doom: int = -1) -> None:
        self.doom, self.taken = doom, 0

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, item: tuple[int, int]) -> Any:
        self.taken += 1
        if self.taken == self.doom:
            os.kill(os.getpid(), signal.SIGKILL)
        number, seed = item
        noise = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(seed))
        return noise + number % 2, torch.tensor(number % 2)


def learner() -> Learner:
    torch.manual_seed(7)
    model = backbones.create("conv2d_2layer", {"img_size": 16}, 0)
    return Learner(model, Answering(Head("c", HeadKind.SOFTMAX, labels=LABELS), 16, QUICK))


def run(folder: Path, settings: Settings = QUICK, *, doom: int = -1) -> tuple[Learner, Any]:
    torch.set_num_threads(1)  # as the command does: sums depend on how they are shared out
    deal = Deal.of([(n % 2,) for n in range(COUNT)], settings)
    subject, data = learner(), Noise(doom)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=settings.accumulate)

    def examine(kept: Learner) -> dict[str, float]:
        return {"loss": loop.answers(kept, Noise(), batch=8, device="cpu")[2]}

    return loop.fit(
        subject,
        data,
        deal,
        settings=settings,
        frozen=Frozen(subject.backbone.model, ()),
        accelerator=accelerator,
        run=Run(folder),
        examine=examine,
    )


def test_a_run_that_was_killed_draws_the_same_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doomed = subprocess.run([sys.executable, "-c", DOOMED, tmp_path / "cut"], cwd=ROOT, check=False)
    assert doomed.returncode == -signal.SIGKILL
    monkeypatch.setattr(loop, "SAVE_EVERY", 2)
    monkeypatch.setattr(loop, "CHECK_EVERY", 1)
    whole, curve = run(tmp_path / "whole")
    state = Run(tmp_path / "cut").load()
    assert state is not None
    assert (state["progress"]["epoch"], state["progress"]["step"]) == (1, 2), "killed in the middle of an epoch"
    again, resumed = run(tmp_path / "cut")
    assert resumed == curve
    assert (tmp_path / "cut.run" / "curve.csv").read_text() == (tmp_path / "whole.run" / "curve.csv").read_text()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


@pytest.mark.parametrize(
    ("name", "read"),
    [("state.pt", Run.load), ("best.pt", Run.best), ("settings.json", lambda run: run.agree(QUICK))],
)
def test_a_damaged_book_says_how_to_start_anew(tmp_path: Path, name: str, read: Callable[[Run], object]) -> None:
    book = Run(tmp_path / "cut")
    book.save({"step": 1})
    (book.folder / name).write_bytes(b"{ half of it")
    with pytest.raises(InvalidInput, match=f"{name} cannot be read.*--restart"):
        read(book)


def test_halves_of_a_batch_make_the_same_step(tmp_path: Path) -> None:
    still = QUICK.with_({"dropout": 0.0, "ema": 0.0, "clip": 0.0})
    one, _ = run(tmp_path / "one", still)
    two, _ = run(tmp_path / "two", still.with_({"batch": 2, "accumulate": 2}))
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, two.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_it_ends_where_nothing_gets_better_and_keeps_the_best(tmp_path: Path) -> None:
    hopeless = QUICK.with_({"rate": 1e-9, "backbone_rate": 1e-9, "epochs": 50, "patience": 2, "ema": 0.0})
    worse = hopeless.with_({"rate": 3.0, "backbone_rate": 3.0, "clip": 0.0, "optimiser": "adam"})
    kept, curve = run(tmp_path / "worse", worse)
    losses = [row["val_loss"] for row in curve]
    assert len(curve) == losses.index(min(losses)) + 3 < 50
    assert loop.answers(kept, Noise(), batch=8, device="cpu")[2] == pytest.approx(min(losses), rel=1e-4)


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path) -> None:
    with pytest.raises(BooruError, match="no longer a number"):
        run(tmp_path / "wild", QUICK.with_({"rate": 1e30, "backbone_rate": 1e30, "clip": 0.0}))


@pytest.mark.parametrize(
    ("values", "rates"),
    [
        ({"schedule": "steps", "every": 2, "factor": 0.5}, [1, 1, 0.5, 0.5, 0.25]),
        ({"schedule": "constant"}, [1] * 5),
        ({"schedule": "constant", "decay": 0.1}, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
    ],
)
def test_rates_fall_as_the_schedule_says(values: dict[str, Any], rates: list[float]) -> None:
    settings = Settings(epochs=5).with_(values)
    assert [loop._rate(1.0, at, 10, 1.0, settings) for at in range(0, 50, 10)] == pytest.approx(rates)


def test_a_cosine_warms_up_and_ends_near_zero() -> None:
    rates = [loop._rate(1.0, at, 10, 1.0, Settings(epochs=4)) for at in range(40)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[-1] < 0.02
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_processes_share_the_pictures_of_a_step() -> None:
    settings = Settings(batch=2, accumulate=2)
    alone = list(Deal.of([(0,)] * 17, settings.with_({"batch": 4})).batches(3))
    parts = [list(Deal.of([(0,)] * 17, settings, rank=rank, ranks=2).batches(3)) for rank in range(2)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in alone]
    later = list(Deal.of([(0,)] * 17, settings, rank=1, ranks=2).batches(3, skip=1))
    assert later == parts[1][2:]
    with pytest.raises(InvalidInput, match="lower --batch"):
        Deal.of([(0,)] * 17, Settings(batch=32))


def test_rare_classes_are_drawn_as_often_as_common_ones() -> None:
    targets = [(0,)] * 190 + [(1,)] * 10
    drawn = {
        how: Counter(
            targets[number][0]
            for epoch in range(20)
            for batch in Deal.of(targets, Settings(batch=20, sampling=how)).batches(epoch)
            for number, _ in batch
        )
        for how in ("natural", "sqrt", "balanced")
    }
    share = {how: count[1] / count.total() for how, count in drawn.items()}
    assert share["natural"] == pytest.approx(0.05, abs=0.001)
    assert share["sqrt"] == pytest.approx(10**0.5 / (10**0.5 + 190**0.5), abs=0.03)
    assert share["balanced"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("kind", ["arcface", "subcenter"])
def test_angles_of_the_own_class_shrink(kind: str) -> None:
    torch.manual_seed(0)
    objective = Angular(8, 4, Settings(objective=kind, scale=16, margin=0.3))
    features = torch.randn(32, 8, requires_grad=True)
    target = torch.arange(32) % 4
    optimiser = torch.optim.Adam([features, *objective.parameters()], 0.05)
    first = objective(features, target).item()
    for _ in range(60):
        optimiser.zero_grad()
        objective(features, target).backward()
        optimiser.step()
    assert objective(features, target).item() < first / 4


def test_angles_keep_their_digits_under_half_precision() -> None:
    torch.manual_seed(0)
    learner = Learner(torch.nn.Identity(), Angular(8, 4, Settings(objective="arcface", scale=64, margin=0.5)))
    features, target = torch.randn(32, 8), torch.arange(32) % 4
    whole = learner(features, target)
    with torch.autocast("cpu", torch.bfloat16):
        assert learner(features, target).item() == pytest.approx(whole.item(), rel=1e-6)


def test_what_was_prepared_for_one_run_is_let_go() -> None:
    bench = Bench(Accelerator(cpu=True), tensorboard=False)
    bench.accelerator.prepare(torch.nn.Linear(2, 2))
    with pytest.raises(AttributeError):
        bench.fit(None, None, [(0,)] * 4, settings=QUICK, frozen=None, run=None, examine=None)  # type: ignore[arg-type]
    assert not bench.accelerator._models


def test_a_frozen_share_neither_learns_nor_drifts() -> None:
    model = backbones.create("test_efficientnet", {}, 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    frozen = Frozen(model, ("0.5",))
    model.train()
    frozen.hold()
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.5)
    model(torch.rand(4, 3, 32, 32)).square().sum().backward()
    optimiser.step()
    moved = {name.split(".")[0] for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {"conv_head", "bn2"} <= moved
    assert not {"conv_stem", "bn1"} & moved
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        Frozen(model, ("2",))


@pytest.mark.parametrize("architecture", ["test_vit", "test_convnext", "test_efficientnet"])
def test_a_share_is_counted_in_layers_also_where_one_holds_others(architecture: str) -> None:
    """A ViT's position embedding is the whole network's own, a ConvNeXt block's scale the block's."""
    model = backbones.create(architecture, {}, 0)
    Frozen(model, ("0.5",)).hold()
    learns = [parameter.requires_grad for parameter in model.parameters()]
    assert 0.3 < sum(learns) / len(learns) < 0.7
    for name, module in model.named_modules():
        if not list(module.children()) and any(not parameter.requires_grad for parameter in module.parameters()):
            assert not module.training, f"{name} would drift"


def test_ordinal_answers_are_those_that_were_fitted() -> None:
    labels = tuple(Label(name, Category.RATING) for name in "gsqe")
    torch.manual_seed(0)
    objective = Answering(Head("rating", HeadKind.ORDINAL, labels=labels), 4, Settings())
    rows, target = torch.randn(64, 4), torch.arange(64) % 4
    said = objective.answer(rows)
    loss = -said.gather(1, target[:, None]).clamp_min(1e-12).log().mean()
    assert objective(rows, target).item() == pytest.approx(loss.item(), rel=1e-3)
    np.testing.assert_allclose(said.sum(dim=1).detach(), np.ones(64), atol=1e-5)
    assert bool((objective.tensors()["thresholds"].diff() > 0).all())
