"""What style heads take of feature maps, and what a configuration may ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.torch


def maps(*shape: int, seed: int = 0) -> Any:
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated(channels: int, widest: int = 128) -> Any:
    from booru_ml.checkpoint.heads import Statistic
    from booru_ml.nn.style import Statistics

    return Statistics({2: channels}, [2], kinds=(Statistic.CORRELATIONS,), widest=widest)


def test_correlations_are_those_of_each_two_channels() -> None:
    pictures = maps(3, 6, 5, 7)
    found = correlated(6)({2: pictures})
    expected = [np.corrcoef(each)[np.triu_indices(6, 1)] for each in pictures.flatten(2).numpy()]
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-4)


def test_what_is_taken_is_joined_stage_by_stage() -> None:
    import torch

    from booru_ml.checkpoint.heads import Statistic
    from booru_ml.nn.style import Statistics, moments

    seen = {1: maps(2, 3, 8, 8), 2: maps(2, 5, 4, 4, seed=1)}
    both = Statistics({1: 3, 2: 5}, [1, 2], ["upper"], tuple(Statistic), widest=4)
    found = both(seen)
    assert found.shape == (2, both.width) == (2, 6 + 3 + 3 + 10 + 6 + 5)
    torch.testing.assert_close(found[:, :6], moments(seen[1]))
    plain = Statistics({1: 3, 2: 5}, [1, 2])
    assert not plain.state_dict()
    torch.testing.assert_close(plain(seen), torch.cat([moments(seen[1]), moments(seen[2])], dim=1))


def test_a_channel_that_says_nothing_has_no_correlations() -> None:
    flat = maps(1, 4, 6, 6)
    flat[:, 1] = 40.1  # rounding leaves some 1e-6 about its mean
    found = correlated(4)({2: flat})[0]
    assert found[[0, 3, 4]].abs().max() < 1e-2
    assert found[[1, 2, 5]].abs().min() > 1e-2


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_does_not_overflow(kind: str) -> None:
    import torch

    large = maps(2, 24, 28, 28) * 3e3  # squared and summed over 784 places: beyond float16's 65,504
    module = correlated(24, widest=8)
    exact = module({2: large})
    half = getattr(torch, kind)
    assert (module.half()({2: large.to(half)}).float() - exact).abs().max() < 0.05
    with torch.autocast("cpu", torch.bfloat16):
        assert (correlated(24, widest=8)({2: large}).float() - exact).abs().max() < 0.05


def test_turned_channels_are_uncorrelated_over_all_pictures() -> None:
    """Every picture mixes its channels alike, but one pair goes together in its own way."""
    import torch

    from booru_ml.training import channels

    alike, ways = maps(6, 6), torch.tensor([0.8, -0.8, 0.8, -0.8])
    pictures = maps(4, 6, 40, 40)
    pictures[:, 0] += ways[:, None, None] * pictures[:, 1]
    pictures = torch.einsum("kc,bchw->bkhw", alike, pictures)
    module = correlated(6)
    before = module({2: pictures})
    channels.turn(module, [2], [(pictures[:2],), (pictures[2:],)])
    after = module({2: pictures})
    assert after.mean(dim=0).abs().max() < 0.1 < before.mean(dim=0).abs().max()
    unlike, same = (torch.nn.functional.cosine_similarity(after[0], after[other], dim=0) for other in (1, 2))
    assert unlike < 0 < 0.8 < same


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"statistics": "correlations"}, "list of moments and correlations"),
        ({"statistics": []}, "list of moments and correlations"),
        ({"statistics": ["cumulants"]}, "list of moments and correlations"),
        ({"statistics": ["correlations"], "widest": 1}, "widest must be a whole number"),
        ({"statistics": ["correlations"], "widest": True}, "widest must be a whole number"),
        ({"statistics": ["correlations"], "kind": "embedding", "stages": []}, "by its stages"),
    ],
)
def test_what_cannot_be_taken_is_refused(said: dict[str, Any], message: str) -> None:
    from booru_ml.errors import InvalidInput
    from booru_ml.training.vectors import declare

    with pytest.raises(InvalidInput, match=message):
        declare("style", {"kind": "style", "dim": 8, "stages": [1], "projected": True} | said)
