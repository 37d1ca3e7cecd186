"""Tagging with the real gallery: what the fake of ``conftest`` promises, and the round trip that users see."""

import pytest
from django.core.management import CommandError, call_command

from embeddings import services as embeddings
from embeddings.models import Support
from embeddings.types import SupportRef
from tagging import services
from tagging.models import Suggestion
from tests.embeddings.conftest import encoder, fresh_process  # noqa: F401
from tests.embeddings.factories import Artist, analysis, enrolled, finding, post, seen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars")]


@pytest.fixture
def artist():
    return Artist(seed=3)


def upload(vector, faces=()):
    made = post()
    batch = [analysis(made, finding(vector, faces=faces))]
    embeddings.remember(batch)
    services.suggest(batch)
    return made


def suggested(on):
    return {row.name: row for row in Suggestion.objects.filter(post=on)}


@pytest.fixture
def miku(artist):
    look = artist.character()
    enrolled("Hatsune Miku", [artist.picture(look) for _ in range(5)])
    for number in range(3):
        other = artist.character()
        enrolled(f"other{number}", [artist.picture(other) for _ in range(5)])
    return look


def test_an_enrolled_character_is_suggested_on_the_next_upload(artist, miku):
    row = suggested(upload(artist.picture(miku)))["hatsune_miku"]
    assert (row.category, row.source, row.state) == ("character", "prototype", "suggested")
    assert row.score > 0.5
    assert row.gallery_revision
    assert len(row.evidence["nearest"]) >= 1


def test_strangers_are_seldom_named(artist, miku):
    named = [bool(suggested(upload(artist.picture()))) for _ in range(20)]
    assert sum(named) <= 4


def test_accepting_teaches_and_undo_forgets(artist, miku):
    picture = upload(artist.picture(miku))
    before = Support.objects.count()
    row = suggested(picture)["hatsune_miku"]
    decision = services.accept(suggestion_id=row.pk, actor=picture.uploader)
    learned = Support.objects.get(pk=decision.delta["support_added"])
    assert (learned.post_id, learned.positive, learned.subject.name) == (picture.pk, True, "Hatsune_Miku")
    assert picture.tags.get().name == "hatsune_miku"
    undone = services.undo(decision_id=decision.pk, actor=picture.uploader)
    assert undone.delta["support_removed"] == decision.delta["support_added"]
    assert Support.objects.count() == before
    assert not picture.tags.exists()


def test_rejecting_teaches_what_the_character_is_not(artist, miku):
    picture = upload(artist.picture(miku))
    row = suggested(picture)["hatsune_miku"]
    decision = services.reject(suggestion_id=row.pk, actor=picture.uploader)
    assert Support.objects.get(pk=decision.delta["support_added"]).positive is False
    services.undo(decision_id=decision.pk, actor=picture.uploader)
    assert not Support.objects.filter(post=picture).exists()


def test_a_face_is_suggested_with_its_box_and_taught_as_a_face(artist):
    look = artist.character()
    posts = [seen(artist.picture(), faces=[artist.picture(look)]) for _ in range(5)]
    embeddings.enrol(name="rin", posts=[SupportRef(item.pk, "face") for item in posts], actor=None)
    picture = upload(artist.picture(), faces=[artist.picture(), artist.picture(look)])
    row = suggested(picture)["rin"]
    assert row.evidence["face"] == 1
    assert row.evidence["box"] == pytest.approx([0.5, 0.1, 0.4, 0.3])
    decision = services.accept(suggestion_id=row.pk, actor=picture.uploader)
    learned = Support.objects.get(pk=decision.delta["support_added"])
    assert (learned.kind, learned.number) == ("face", 1)


def test_a_character_enrolled_later_shows_up_on_earlier_posts_on_request(artist):
    look = artist.character()
    early, stranger = upload(artist.picture(look)), upload(artist.picture())
    assert not suggested(early)
    enrolled("luka", [artist.picture(look) for _ in range(5)])
    assert services.resuggest([early.pk, stranger.pk, 10**9]) == 2
    assert set(suggested(early)) == {"luka"}
    assert not suggested(stranger)


def test_the_command_looks_for_newly_enrolled_characters_everywhere(artist, capsys):
    look = artist.character()
    early = upload(artist.picture(look))
    enrolled("luka", [artist.picture(look) for _ in range(5)])
    unseen = post()
    call_command("booru_resuggest", str(early.pk), str(unseen.pk))
    assert "1 of 2 posts compared" in capsys.readouterr().out
    assert set(suggested(early)) == {"luka"}
    call_command("booru_resuggest", "--limit", "3")
    assert "of 3 posts compared" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no post id"):
        call_command("booru_resuggest", "nonsense")
