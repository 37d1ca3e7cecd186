"""Known subjects are named, strangers are not."""

from __future__ import annotations

import numpy as np
import pytest

from booru_ml.types import Category
from embeddings import calibration, gallery, recognition, services
from embeddings.chances import Calibration
from embeddings.models import Support
from embeddings.types import Match, SupportRef
from tests.embeddings.factories import VERSION, Artist, analysis, enrolled, finding, post, recognise, seen, unit

pytestmark = pytest.mark.django_db


def known(matches: tuple[Match, ...]) -> list[str]:
    return [match.name for match in matches if match.known]


def test_an_empty_gallery_knows_nobody():
    assert recognise(Artist().character()) == ()


def test_a_refused_picture_shows_nobody():
    enrolled("miku", [Artist().character()])
    assert services.recognise_all([analysis(post(), None)]) == [()]


def test_one_character_from_one_picture_is_recognised_and_everybody_else_is_not():
    draw = Artist()
    miku = draw.character()
    subject = enrolled("miku", [draw.picture(miku)])
    right = [recognise(draw.picture(miku)) for _ in range(30)]
    wrong = [recognise(draw.picture()) for _ in range(100)]
    assert sum(known(matches) == ["miku"] for matches in right) >= 29
    assert sum(bool(known(matches)) for matches in wrong) == 0
    best = right[0][0]
    assert (best.subject_id, best.category, best.support_count) == (subject.pk, Category.CHARACTER, 1)
    assert best.nearest_post_ids == (subject.supports.get().post_id,)
    assert best.gallery_revision > 0


def test_eight_characters_from_five_pictures_each():
    draw = Artist()
    cast = {f"character{number}": draw.character() for number in range(8)}
    for name, look in cast.items():
        enrolled(name, [draw.picture(look) for _ in range(5)])
    asked = [(name, draw.picture(look)) for name, look in cast.items() for _ in range(5)]
    answers = services.recognise_all([analysis(post(), finding(vector)) for _, vector in asked])
    assert np.mean([matches[0].name == name for (name, _), matches in zip(asked, answers, strict=True)]) == 1
    assert np.mean([known(matches) == [name] for (name, _), matches in zip(asked, answers, strict=True)]) >= 0.95
    strangers = services.recognise_all([analysis(post(), finding(draw.picture())) for _ in range(200)])
    assert np.mean([bool(known(matches)) for matches in strangers]) <= 0.02


def test_at_most_the_configured_number_of_candidates_is_shown(settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "SUGGESTIONS_PER_SUBJECT": 2}
    draw = Artist()
    for number in range(5):
        enrolled(f"character{number}", [draw.character()])
    assert len(recognise(draw.character())) == 2


def test_a_stricter_board_knows_fewer(settings):
    draw = Artist()
    miku = draw.character()
    enrolled("miku", [draw.picture(miku)])
    assert known(recognise(draw.picture(miku)))
    settings.BOORU_ML = {**settings.BOORU_ML, "UNKNOWN_BELOW": 1.01}
    assert not known(recognise(draw.picture(miku)))


def test_the_share_of_strangers_that_may_be_named_sets_the_bar(settings):
    draw = Artist()
    miku = draw.character()
    enrolled("miku", [draw.picture(miku)])
    chance = recognise(draw.picture(miku))[0].probability
    settings.BOORU_ML = {**settings.BOORU_ML, "UNKNOWN_BELOW": 1.0, "STRANGERS_NAMED": 0.1}
    assert chance > 0.3  # what a tenth of strangers reaches, by the default constants
    assert known(recognise(draw.picture(miku)))
    settings.BOORU_ML = {**settings.BOORU_ML, "STRANGERS_NAMED": 1e-6}
    assert not known(recognise(draw.picture(miku)))


def test_the_lowest_bar_is_that_of_the_kind_that_names_first(settings, monkeypatch):
    spaces = (VERSION, {"picture": Calibration(bar10=0.4), "face": Calibration(bar10=0.2), "style": Calibration()})
    monkeypatch.setattr(calibration, "_spaces", lambda checkpoints: spaces)
    settings.BOORU_ML = {**settings.BOORU_ML, "STRANGERS_NAMED": 0.1}
    assert recognition.lowest_bar("character") == pytest.approx(0.2)
    assert recognition.lowest_bar("artist") == pytest.approx(0.3)
    settings.BOORU_ML = {**settings.BOORU_ML, "STRANGERS_NAMED": 0.0, "UNKNOWN_BELOW": 0.7}
    assert recognition.lowest_bar("character") == recognition.lowest_bar("artist") == 0.7


def test_whom_a_space_without_a_calibration_names_is_a_guess(monkeypatch):
    draw = Artist()
    miku = draw.character()
    enrolled("miku", [draw.picture(miku) for _ in range(5)])
    assert not recognise(draw.picture(miku))[0].guess
    monkeypatch.setattr(calibration, "_spaces", lambda checkpoints: (VERSION, {"style": Calibration(bias=-4.0)}))
    monkeypatch.setattr(gallery, "room", gallery.Room())
    assert recognise(draw.picture(miku))[0].guess


def test_two_look_alikes_make_each_other_less_sure():
    draw = Artist(noise=0.5)
    one = draw.character()
    other = unit(one + 0.1 * draw.character())
    enrolled("fuwawa", [draw.picture(one)])
    alone = recognise(one)[0]
    enrolled("mococo", [draw.picture(other)])
    together = {match.name: match for match in recognise(one)}["fuwawa"]
    assert together.probability < alone.probability
    assert abs(together.margin) < alone.margin


def test_a_rejected_picture_does_not_come_back_for_its_twin():
    draw = Artist(noise=0.5)
    miku = draw.character()
    enrolled("miku", [draw.picture(miku) for _ in range(3)])
    cosplay = draw.picture(miku)
    rejected = seen(cosplay)
    assert known(recognise(cosplay)) == ["miku"]
    services.learn(post_id=rejected.pk, name="miku", category="character", positive=False, actor=None)
    twin = unit(cosplay + 0.05 * draw.character())
    assert float(twin @ cosplay) > 0.99
    assert recognise(twin) == ()
    assert known(recognise(draw.picture(miku))) == ["miku"]


def test_a_look_alike_is_told_apart_by_rejections():
    draw = Artist(noise=0.6)
    miku = draw.character()
    double = unit(miku + 0.6 * draw.character())
    subject = enrolled("miku", [draw.picture(miku) for _ in range(3)])
    before = [recognise(draw.picture(double)) for _ in range(20)]
    services.add_support(
        subject_id=subject.pk,
        posts=[SupportRef(seen(draw.picture(double)).pk) for _ in range(5)],
        positive=False,
        actor=None,
    )
    after = [recognise(draw.picture(double)) for _ in range(20)]
    assert np.mean([m[0].probability for m in after if m]) < np.mean([m[0].probability for m in before])
    assert np.mean([known(recognise(draw.picture(miku))) == ["miku"] for _ in range(20)]) >= 0.9


def test_every_face_gets_its_own_answer():
    draw = Artist()
    miku, luka = draw.character(), draw.character()
    enrolled("miku", [draw.character()], faces=[draw.picture(miku)])
    enrolled("luka", [draw.character()], faces=[draw.picture(luka)])
    faces = [draw.picture(luka), draw.picture(), draw.picture(miku)]
    found = {match.name: match for match in recognise(draw.picture(), faces=faces) if match.known}
    assert {name: match.face for name, match in found.items()} == {"luka": 0, "miku": 2}
    assert found["miku"].box.x > found["luka"].box.x


def test_picture_and_face_of_one_subject_are_one_match_that_names_the_face():
    draw = Artist()
    body, face = draw.character(), draw.character()
    enrolled("miku", [draw.picture(body)], faces=[draw.picture(face)])
    (match,) = recognise(draw.picture(body), faces=[draw.picture(face)])
    assert match.known
    assert match.face == 0
    (match,) = recognise(draw.picture(body), faces=[draw.picture()])
    assert match.known
    assert match.face is None


def test_a_rejected_picture_vetoes_all_its_faces():
    draw = Artist(noise=0.5)
    face = draw.character()
    enrolled("miku", [draw.character()], faces=[draw.picture(face)])
    look = draw.picture(face)
    group = seen(draw.character(), faces=[draw.picture(), look])
    assert known(recognise(draw.character(), faces=[look])) == ["miku"]
    services.learn(post_id=group.pk, name="miku", category="character", positive=False, actor=None)
    assert not known(recognise(draw.character(), faces=[look]))


def test_artists_are_known_by_style_and_characters_are_not():
    draw = Artist()
    hand = draw.character()
    shown = [seen(draw.picture(), style=draw.picture(hand)) for _ in range(3)]
    services.enrol(name="someone", category="artist", posts=[SupportRef(item.pk) for item in shown], actor=None)
    (match,) = recognise(draw.picture(), style=draw.picture(hand))
    assert (match.name, match.category, match.known) == ("someone", Category.ARTIST, True)
    assert recognise(draw.picture(hand), style=draw.picture())[0].known is False


def test_a_stored_post_can_be_asked_again_without_a_network_pass():
    draw = Artist()
    miku = draw.character()
    old, other, unseen = seen(draw.picture(miku)), seen(draw.picture()), post()
    enrolled("miku", [draw.picture(miku) for _ in range(2)])
    matches = services.rematch([old.pk, other.pk, unseen.pk])
    assert set(matches) == {old.pk, other.pk}
    assert known(matches[old.pk]) == ["miku"]
    assert not known(matches[other.pk])
    assert Support.objects.count() == 2
