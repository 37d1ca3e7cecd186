"""Few-shot episodes and games on sets in which one picture shows several characters."""

from __future__ import annotations

import numpy as np
import pytest

from embeddings import games
from embeddings.chances import Calibration
from embeddings.evaluation import episodes, open_set


def shared(classes: int, groups: int) -> games.Labelled:
    """Every class stands in every group, whose pictures all have one vector of its own."""
    labels = [f"c{number}" for number in range(classes) for _ in range(groups)]
    own = [str(number) for _ in range(classes) for number in range(groups)]
    return games.normalised(np.eye(groups)[np.array(own, int)], labels, own)


def test_no_query_shares_a_group_with_a_support_of_another_class():
    one = shared(classes=4, groups=6)
    played = list(episodes.episodes(one, ways=3, shots=1, queries=5, count=50, seed=0))
    assert len(played) == 50
    for episode in played:
        assert not set(one.groups[episode.support]) & set(one.groups[episode.queries])
        assert len(episode.queries) == len(episode.truth) > 0


def test_draws_that_leave_nothing_to_ask_about_are_made_again():
    one = shared(classes=3, groups=3)
    played = list(episodes.episodes(one, ways=3, shots=1, queries=5, count=9, seed=0))
    assert len(played) == 9
    assert all(len(set(one.groups[episode.support])) < 3 for episode in played)


def test_classes_that_can_only_show_what_the_other_is_asked_by_are_not_played():
    one = games.normalised(np.eye(8), list("aaaabbbb"), list("00011110"))
    assert not list(episodes.episodes(one, ways=2, shots=3, queries=5, count=5, seed=0))


def test_a_game_asks_about_no_stranger_from_an_enrolled_picture(monkeypatch):
    asked = []
    weigh = games.weigh

    def spy(queries, supports, calibration):
        asked.append(float((queries @ supports.fitted.support.exemplars.T).max(initial=0)))
        return weigh(queries, supports, calibration)

    monkeypatch.setattr(games, "weigh", spy)
    assert open_set.ask(shared(classes=4, groups=6), Calibration(), shots=2, queries=5, seed=0) is not None
    assert max(asked) == 0


def test_half_of_the_classes_cannot_be_unknown_where_all_pictures_show_everybody():
    assert open_set.ask(shared(classes=2, groups=1), Calibration(), shots=1, queries=5, seed=0) is None


@pytest.mark.parametrize("seed", range(3))
def test_games_in_which_nothing_is_left_to_ask_about_count_for_nothing(seed):
    one = shared(classes=4, groups=2)  # two enrolled ones may take both groups
    found = open_set.ask(one, Calibration(), shots=1, queries=5, seed=seed)
    assert found is not None
    assert np.isfinite(found.oscr)
    assert len(found.outcomes.chance) == len(found.outcomes.known)
