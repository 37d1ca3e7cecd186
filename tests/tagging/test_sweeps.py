"""Looking for a character on old posts: step by step, whoever dies, and taken back as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from booru_ml.errors import InvalidInput, NotFound, NotPermitted, StaleState
from embeddings import services as embeddings
from embeddings.models import Subject
from embeddings.types import SupportRef
from tagging import services, sweeper, sweeps
from tagging.models import Suggestion, Sweep, SweepStep
from tests.embeddings.conftest import encoder, fresh_process  # noqa: F401
from tests.embeddings.factories import Artist, post, seen
from tests.people import user
from tests.threads import together

pytestmark = pytest.mark.django_db
ENROL = "booru_embeddings.enrol_subject"


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "CHUNK", 4)


@pytest.fixture
def board() -> dict[str, Any]:
    """Old posts, of which some show miku, who is enrolled now."""
    draw = Artist(seed=5)
    look = draw.character()
    shows = [seen(draw.picture(look)) for _ in range(6)]
    others = [seen(draw.picture()) for _ in range(8)]
    post()  # not analysed
    examples = [SupportRef(seen(draw.picture(look)).pk) for _ in range(4)]
    miku = embeddings.enrol(name="miku", posts=examples, actor=None)
    return {"miku": miku, "shows": {item.pk for item in shows}, "draw": draw, "look": look, "others": others}


def run(order: Sweep) -> Sweep:
    while sweeper.advance(seconds=5):
        pass
    order.refresh_from_db()
    return order


def suggested() -> set[Any]:
    return set(Suggestion.objects.filter(name="miku", state="suggested").values_list("post_id", flat=True))


def rows() -> list[dict[str, Any]]:
    return list(Suggestion.objects.order_by("pk").values("post_id", "name", "score", "state", "source", "evidence"))


def test_every_old_post_is_asked_and_undo_leaves_nothing_behind(board):
    order = run(sweeps.begin(subject_id=board["miku"].pk, actor=user(ENROL)))
    assert (order.state, order.passed, order.total, order.compared) == ("finished", 19, 19, 18)
    assert board["shows"] <= suggested()
    assert order.suggested == len(suggested())
    assert Suggestion.objects.filter(evidence__subject=board["miku"].pk).count() == order.suggested
    undone = run(sweeps.undo(sweep_id=order.pk, actor=None))
    assert (undone.state, undone.taken_back) == ("undone", order.suggested)
    assert not Suggestion.objects.exists()
    assert not SweepStep.objects.exists()
    with pytest.raises(StaleState, match="taken back"):
        sweeps.undo(sweep_id=order.pk)
    assert run(sweeps.begin(subject_id=board["miku"].pk)).suggested == order.suggested


def test_only_what_clears_the_threshold_is_suggested(board):
    all_scores = services.embeddings.rematch(list(board["shows"]))
    best = max(matches[0].probability for matches in all_scores.values())
    order = run(sweeps.begin(subject_id=board["miku"].pk, threshold=best))
    assert 1 <= order.suggested < len(board["shows"])
    for wrong in (0.49, 1.01, float("nan")):
        with pytest.raises(InvalidInput):
            sweeps.begin(subject_id=board["miku"].pk, threshold=wrong)


def test_the_share_of_strangers_that_may_be_named_sets_the_lowest_threshold(board, settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "STRANGERS_NAMED": 0.05}
    with pytest.raises(InvalidInput, match=r"from 0\.45"):
        sweeps.begin(subject_id=board["miku"].pk, threshold=0.44)
    order = run(sweeps.begin(subject_id=board["miku"].pk))
    assert order.threshold == pytest.approx(0.45)
    assert suggested() >= board["shows"]


def test_a_worker_that_dies_in_a_step_changes_nothing_and_another_goes_on(board, monkeypatch):
    order = sweeps.begin(subject_id=board["miku"].pk)

    def dies(**_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(sweeper.SweepStep.objects, "create", dies)
        with pytest.raises(KeyboardInterrupt):
            run(order)
    order.refresh_from_db()
    assert not Suggestion.objects.exists()
    assert order.passed < order.total
    run(order)
    assert order.passed == order.total
    assert board["shows"] <= suggested()
    assert order.suggested == len(suggested())


def test_whoever_was_overtaken_writes_nothing(board, monkeypatch):
    sweeps.begin(subject_id=board["miku"].pk)
    ask = embeddings.rematch

    def overtaken(posts: Any, **others: Any) -> Any:
        said = ask(posts, **others)
        Sweep.objects.update(cursor="another worker was here")
        return said

    monkeypatch.setattr(sweeper.embeddings, "rematch", overtaken)
    sweeper.advance(seconds=1e-9)
    assert not Suggestion.objects.exists()
    assert Sweep.objects.get().passed == 0


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_a_sweep(board):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    order = sweeps.begin(subject_id=board["miku"].pk)

    together(*[lambda: sweeper.advance(seconds=20)] * 2)
    order.refresh_from_db()
    assert (order.state, order.passed, order.suggested) == ("finished", 19, len(suggested()))
    assert board["shows"] <= suggested()


def test_it_pauses_goes_on_and_ends_by_hand(board):
    order = sweeps.begin(subject_id=board["miku"].pk)
    sweeper.advance(seconds=1e-9)
    sweeps.pause(sweep_id=order.pk)
    assert sweeper.advance() == 0
    with pytest.raises(StaleState, match="already"):
        sweeps.begin(subject_id=board["miku"].pk)
    sweeps.resume(sweep_id=order.pk)
    sweeper.advance(seconds=1e-9)
    sweeps.cancel(sweep_id=order.pk)
    assert sweeper.advance() == 0
    for verb in (sweeps.pause, sweeps.resume, sweeps.cancel):
        with pytest.raises(StaleState):
            verb(sweep_id=order.pk)
    with pytest.raises(NotFound):
        sweeps.undo(sweep_id=10**9)
    assert run(sweeps.undo(sweep_id=order.pk)).state == "undone"
    assert not Suggestion.objects.exists()


def test_decisions_stand_before_and_after(board):
    first, second, third = sorted(board["shows"])[:3]
    moderator = user("booru_tagging.decide_suggestion")
    services.resuggest([first])
    rejected = Suggestion.objects.get(post_id=first, name="miku")
    services.reject(suggestion_id=rejected.pk, actor=moderator)
    order = run(sweeps.begin(subject_id=board["miku"].pk))
    rejected.refresh_from_db()
    assert rejected.state == "rejected"
    accepted = Suggestion.objects.get(post_id=second, name="miku")
    services.accept(suggestion_id=accepted.pk, actor=moderator)
    run(sweeps.undo(sweep_id=order.pk))
    assert {row["post_id"]: row["state"] for row in rows()} == {first: "rejected", second: "accepted"}
    assert third not in suggested()


def test_what_the_gallery_no_longer_says_is_withdrawn_and_undo_brings_it_back_as_it_was(board):
    run(sweeps.begin(subject_id=board["miku"].pk))
    stranger = board["others"][0].pk
    Suggestion.objects.create(
        post_id=stranger,
        name="miku",
        category="character",
        score=0.8,
        source="prototype",
        model_version="x",
        evidence={},
    )
    by_network = board["others"][1].pk
    Suggestion.objects.create(
        post_id=by_network, name="miku", category="character", score=0.6, source="model", model_version="x", evidence={}
    )
    before = rows()
    embeddings.add_support(
        subject_id=board["miku"].pk, posts=[SupportRef(seen(board["draw"].picture(board["look"])).pk)], actor=None
    )
    order = run(sweeps.begin(subject_id=board["miku"].pk))
    assert order.withdrawn >= 1
    assert Suggestion.objects.get(post_id=stranger).state == "withdrawn"
    assert Suggestion.objects.get(post_id=by_network).state == "suggested"
    run(sweeps.undo(sweep_id=order.pk))
    assert rows() == before


def test_undo_withdraws_what_was_decided_and_taken_back_since_and_keeps_its_history(board):
    order = run(sweeps.begin(subject_id=board["miku"].pk))
    shown = Suggestion.objects.filter(post_id__in=board["shows"])
    (stays, turned), actor = shown[:2], user("booru_tagging.decide_suggestion")
    services.accept(suggestion_id=stays.pk, actor=actor)
    services.undo(decision_id=services.accept(suggestion_id=turned.pk, actor=actor).pk, actor=actor)
    undone = run(sweeps.undo(sweep_id=order.pk))
    assert dict(Suggestion.objects.values_list("pk", "state")) == {stays.pk: "accepted", turned.pk: "withdrawn"}
    assert undone.taken_back == order.suggested - 1
    assert turned.decisions.count() == 2
    run(sweeps.begin(subject_id=board["miku"].pk))
    assert suggested() >= board["shows"] - {stays.post_id}


def test_it_waits_where_its_character_is_disabled_meanwhile(board):
    order = sweeps.begin(subject_id=board["miku"].pk)
    embeddings.set_enabled(subject_id=board["miku"].pk, enabled=False)
    run(order)
    assert (order.state, order.passed) == ("paused", 0)
    assert "disabled" in order.fault
    with pytest.raises(StaleState):
        sweeps.begin(subject_id=board["miku"].pk) if Subject.objects.update(enabled=True) else None
    assert run(sweeps.resume(sweep_id=order.pk)).state == "finished"


def fails(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError


def test_a_fault_pauses_it_and_no_worker_suffers(board, monkeypatch):
    order = sweeps.begin(subject_id=board["miku"].pk)
    with monkeypatch.context() as context:
        context.setattr(sweeper.embeddings, "rematch", fails)
        assert sweeper.advance() == 0
    order.refresh_from_db()
    assert order.state == "paused"
    assert "ZeroDivisionError" in order.fault
    sweeps.resume(sweep_id=order.pk)
    assert sweeper.advance() > 0


def test_an_undo_that_fails_says_why_holds_up_no_other_search_and_goes_on_when_it_is_resumed(board, monkeypatch):
    order = run(sweeps.begin(subject_id=board["miku"].pk))
    rin = embeddings.enrol(name="rin", posts=[SupportRef(seen(board["draw"].picture()).pk)], actor=None)
    sweeps.undo(sweep_id=order.pk)
    with monkeypatch.context() as context:
        context.setattr(SweepStep, "delete", fails)
        other = run(sweeps.begin(subject_id=rin.pk))
        order.refresh_from_db()
    assert (other.state, order.state, order.fault) == ("finished", "undoing", "ZeroDivisionError: ")
    assert suggested() >= board["shows"]
    sweeps.resume(sweep_id=order.pk)
    assert run(order).state == "undone"
    assert not suggested()


@pytest.mark.django_db(transaction=True)
def test_a_fault_is_held_against_the_search_that_had_it(board, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    rin = embeddings.enrol(name="rin", posts=[SupportRef(seen(board["draw"].picture()).pk)], actor=None)
    elder, younger = (sweeps.begin(subject_id=subject.pk) for subject in (board["miku"], rin))
    monkeypatch.setattr(sweeper.embeddings, "rematch", fails)
    with transaction.atomic():
        Sweep.objects.select_for_update().get(pk=elder.pk)  # another worker has it in hand
        assert together(sweeper.advance) == [0]
    assert dict(Sweep.objects.values_list("pk", "state")) == {elder.pk: "running", younger.pk: "paused"}


def test_it_takes_the_right_to_enrol(board):
    for verb in (
        lambda: sweeps.begin(subject_id=board["miku"].pk, actor=user("booru_tagging.decide_suggestion")),
        lambda: sweeps.undo(sweep_id=1, actor=user()),
    ):
        with pytest.raises(NotPermitted):
            verb()
    with pytest.raises(NotFound):
        sweeps.begin(subject_id=10**9)


def test_the_command_searches_reports_and_takes_back(board, capsys, monkeypatch):
    call_command("booru_sweep", "miku", "--threshold", "0.6")
    said = capsys.readouterr().out
    assert "finished; 19 of 19 posts passed" in said
    assert len(suggested()) >= 1
    call_command("booru_sweep")
    assert "miku on old posts from 60%" in capsys.readouterr().out
    call_command("booru_sweep", "miku", "--undo")
    assert "taken back" in capsys.readouterr().out
    assert not suggested()
    call_command("booru_sweep", "miku", "--background")
    assert Sweep.objects.first().passed == 0
    with monkeypatch.context() as context:
        context.setattr(sweeper.embeddings, "rematch", fails)
        call_command("booru_sweep", "miku", "--pause")
        call_command("booru_sweep", "miku", "--resume")
    assert "paused; 0 of 19 posts passed" in (said := capsys.readouterr().out)
    assert "ZeroDivisionError" in said
    call_command("booru_sweep", "miku", "--cancel")
    embeddings.change(subject_id=board["miku"].pk, name="Дива")
    call_command("booru_sweep", "Дива", "--background")
    call_command("booru_sweep", "дива", "--cancel")
    for wrong in (["nobody"], ["nobody", "--undo"], ["miku", "--pause"], ["miku", "--threshold", "0.1"]):
        with pytest.raises(CommandError):
            call_command("booru_sweep", *wrong)
