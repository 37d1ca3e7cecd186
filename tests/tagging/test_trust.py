from __future__ import annotations

import pytest

from embeddings import services as embeddings
from embeddings.models import Support
from embeddings.types import SupportRef
from tagging import services, trust
from tests.embeddings.factories import Artist, seen
from tests.tagging.factories import moderator, post, suggestion

pytestmark = pytest.mark.django_db


def test_trust_grows_with_what_stands_and_falls_faster_with_what_others_undid():
    assert trust.weight(kept=0, undone=0) == 0.5
    assert trust.weight(kept=80, undone=0) == 0.9
    assert trust.weight(kept=5, undone=5) == pytest.approx(1 / 3)
    assert trust.weight(kept=10**6, undone=0) <= 1
    assert trust.weight(kept=0, undone=10**6) > 0
    assert trust.weight(kept=20, undone=1) < trust.weight(kept=20, undone=0) < trust.weight(kept=21, undone=0)


def test_a_record_is_of_characters_and_artists_and_a_slip_of_ones_own_costs_nothing():
    mod, other = moderator(), moderator()
    decided = [
        services.accept(suggestion_id=suggestion(post(), "miku", "character").pk, actor=mod),
        services.reject(suggestion_id=suggestion(post(), "someone", "artist").pk, actor=mod),
        services.accept(suggestion_id=suggestion(post(), "long_hair", "general").pk, actor=mod),
    ]
    assert trust.weight_of(mod) == trust.weight(kept=2, undone=0)
    services.undo(decision_id=decided[0].pk, actor=mod)
    assert trust.weight_of(mod) == trust.weight(kept=1, undone=0)
    services.undo(decision_id=decided[1].pk, actor=other)
    assert trust.weight_of(mod) == trust.weight(kept=0, undone=1)
    assert trust.weight_of(None) == 0.5


def test_what_a_decision_teaches_carries_its_weight_and_an_enrolment_by_hand_counts_in_full():
    draw = Artist()
    shown = seen(draw.character())
    miku = embeddings.enrol(name="miku", posts=[SupportRef(shown.pk)], actor=None)
    mod = moderator()
    taught = [seen(draw.character()) for _ in range(2)]
    for on in taught:
        services.accept(suggestion_id=suggestion(on, "miku", "character").pk, actor=mod)
    weights = dict(Support.objects.order_by("id").values_list("post_id", "weight"))
    assert weights == {
        shown.pk: 1.0,
        taught[0].pk: pytest.approx(trust.weight(kept=0, undone=0)),
        taught[1].pk: pytest.approx(trust.weight(kept=1, undone=0)),
    }
    embeddings.add_support(subject_id=miku.pk, posts=[SupportRef(taught[0].pk)], actor=mod)
    assert Support.objects.get(post=taught[0]).weight == 1.0
