from __future__ import annotations

import numpy as np
import pytest

from embeddings import health, services
from embeddings.models import Change
from embeddings.types import SupportRef
from tests.embeddings.factories import Artist, enrolled, seen, unit

STRANGER = 0.24


def gallery(*groups):
    """Exemplars and starts of subjects given as lists of vectors."""
    starts = np.cumsum([0, *(len(group) for group in groups)])[:-1]
    return np.stack([vector for group in groups for vector in group]), starts


def cast(count, pictures, seed=0):
    draw = Artist(seed)
    return [[draw.picture(look) for _ in range(pictures)] for look in (draw.character() for _ in range(count))]


def test_a_picture_under_the_wrong_name_is_found_and_its_true_bearer_named():
    groups = cast(6, 6)
    groups[0][2], groups[4][5] = groups[4][5], groups[0][2]
    exemplars, starts = gallery(*groups)
    checked = list(health.examine(exemplars, starts, range(6), stranger=STRANGER))
    assert [(item.row, item.rival_place) for item in checked[0].suspects] == [(2, 4)]
    assert [(item.row, item.rival_place) for item in checked[4].suspects] == [(29, 0)]
    assert checked[0].consistency == pytest.approx(5 / 6)
    assert [item.suspects for item in checked if item.place not in (0, 4)] == [()] * 4


def test_a_costume_of_its_own_is_told_apart_from_a_mistake():
    groups = cast(4, 5)
    groups[1].append(Artist(99).character())
    exemplars, starts = gallery(*groups)
    (checked,) = health.examine(exemplars, starts, [1], stranger=STRANGER)
    assert [item.lonely for item in checked.suspects] == [True]
    groups[1].append(unit(groups[1][-1] + 0.2 * Artist(98).character()))  # a second picture of that costume
    exemplars, starts = gallery(*groups)
    (checked,) = health.examine(exemplars, starts, [1], stranger=STRANGER)
    assert not any(item.lonely for item in checked.suspects)


def test_the_nearest_rival_is_the_one_most_alike():
    groups = cast(5, 4)
    twin = [unit(vector + 0.9 * groups[3][0]) for vector in groups[2]]
    exemplars, starts = gallery(*groups[:2], twin, *groups[3:])
    (checked,) = health.examine(exemplars, starts, [3], stranger=STRANGER)
    assert checked.rival_place == 2
    assert checked.rival > 0.3


def test_leaving_one_out_is_what_a_loop_would_say():
    groups = [*cast(3, 4, seed=7), [Artist(8).character()]]
    exemplars, starts = gallery(*groups)
    left = health.leave_one_out(exemplars, starts, np.arange(len(exemplars)))
    for row, query in enumerate(exemplars):
        mine = int(np.searchsorted(starts, row, side="right")) - 1
        scores = {}
        for place, group in enumerate(groups):
            others = [vector for number, vector in enumerate(group) if starts[place] + number != row]
            if others:
                scores[place] = max(float(query @ unit(sum(others))), *(float(query @ vector) for vector in others))
        rivals = {place: score for place, score in scores.items() if place != mine}
        assert left.own[row] == pytest.approx(scores.get(mine, -1), abs=1e-5)
        assert left.rival[row] == pytest.approx(max(rivals.values()), abs=1e-5)
        assert left.rival_place[row] == max(rivals, key=rivals.__getitem__)


def test_chunks_change_nothing(monkeypatch):
    exemplars, starts = gallery(*cast(7, 3))
    whole = list(health.examine(exemplars, starts, range(7), stranger=STRANGER))
    monkeypatch.setattr(health, "ROWS", 4)
    assert list(health.examine(exemplars, starts, range(7), stranger=STRANGER)) == whole


def test_few_and_lone_subjects_are_no_errors():
    exemplars, starts = gallery(cast(1, 1)[0])
    (only,) = health.examine(exemplars, starts, [0], stranger=STRANGER)
    assert (only.consistency, only.rival_place, only.suspects) == (None, -1, ())
    exemplars, starts = gallery(cast(1, 3)[0])
    (alone,) = health.examine(exemplars, starts, [0], stranger=STRANGER)
    assert (alone.consistency, alone.rival_place) == (1.0, -1)
    assert list(health.examine(exemplars[:0], starts[:0], [], stranger=STRANGER)) == []


@pytest.mark.django_db
def test_a_suspicious_support_is_listed_by_its_row_and_gone_after_its_removal_until_that_is_undone():
    draw = Artist(seed=4)
    miku, rin = draw.character(), draw.character()
    one = enrolled("miku", [draw.picture(miku) for _ in range(5)])
    enrolled("rin", [draw.picture(rin) for _ in range(5)])
    services.add_support(subject_id=one.pk, posts=[SupportRef(seen(draw.picture(rin)).pk)], actor=None)
    wrong = one.supports.last()
    (checked,) = services.checkup(one.pk)
    assert (checked.kind, checked.supports, checked.rival) == ("picture", 6, "rin")
    (suspicion,) = checked.suspicions
    assert (suspicion.support_id, suspicion.post_id, suspicion.reason, suspicion.rival) == (
        wrong.pk,
        wrong.post_id,
        "rival",
        "rin",
    )
    services.remove_support(support_id=wrong.pk, actor=None)
    assert services.checkup(one.pk)[0].suspicions == ()
    services.undo(change_id=Change.objects.first().pk, actor=None)
    assert services.checkup(one.pk)[0].suspicions == (suspicion,)
    services.set_enabled(subject_id=one.pk, enabled=False)
    assert services.checkup(one.pk)[0].suspicions == (suspicion,)


@pytest.mark.django_db
def test_faces_and_pictures_are_looked_at_apart():
    draw = Artist(seed=4)
    look = draw.character()
    posts = [seen(draw.picture(), faces=[draw.picture(look)]) for _ in range(4)]
    made = services.enrol(name="rin", posts=[SupportRef(item.pk, "face") for item in posts], actor=None)
    (checked,) = services.checkup(made.pk)
    assert (checked.kind, checked.supports, checked.consistency, checked.rival) == ("face", 4, 1.0, None)
