"""A model on trial sees uploads, delays none and is never heard; what it would have said is compared."""

from __future__ import annotations

import io
import json
from concurrent.futures import Future
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from booru_ml.errors import BooruError, PictureRefused, StaleState
from booru_ml.models import AnalysisJob, ModelVersion, Shadow, ShadowLook
from booru_ml.types import Category, Picture
from tagging import services, shadow, trial
from tagging.models import Suggestion
from tagging.rules import Thresholds
from tests.people import user
from tests.tagging.factories import finding, moderator, post, suggestion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gallery")]
State, Priority = AnalysisJob.State, AnalysisJob.Priority


class Eye:
    """Says the same of every picture."""

    thresholds = Thresholds()

    def __init__(self, version: str, **said) -> None:
        self.version, self.said, self.seen = version, said, 0

    def look(self, picture):
        self.seen += 1
        return finding(model=self.version, **self.said)


class Decoders:
    """Files that begin with ``bad`` are refused."""

    def submit(self, stream) -> Future:
        future: Future = Future()
        if stream.read().startswith(b"bad"):
            future.set_exception(PictureRefused("No picture."))
        else:
            future.set_result(Picture((), 8, 8, 1, "PNG", "0" * 64))
        return future


class Board:
    """The board's files."""

    def __init__(self) -> None:
        self.bad: set = set()

    def open_picture(self, post_id):
        return io.BytesIO(b"bad" if post_id in self.bad else b"good")


@pytest.fixture
def board(monkeypatch) -> Board:
    board = Board()
    monkeypatch.setattr(shadow, "host", lambda: board)
    return board


@pytest.fixture
def on_trial(db) -> Shadow:
    row = ModelVersion.objects.create(name="new", version="new@000000000001", sha256="0" * 64)
    return Shadow.objects.create(candidate=row, share=1.0)


ACTIVE = {"tags": {"sky": 0.9, "sea": 0.9}, "rating": {"g": 0.9, "s": 0.1}, "quality": {"good": 0.9}}
CANDIDATE = {"tags": {"sky": 0.8, "sun": 0.8}, "rating": {"g": 0.1, "s": 0.9}}


@pytest.fixture
def look(on_trial, board):
    active, candidate = Eye("old@1", **ACTIVE), Eye("new@1", **CANDIDATE)

    def step(**others) -> int:
        row = Shadow.objects.get(pk=on_trial.pk)
        return shadow.step(row, active=active, candidate=candidate, decoders=Decoders(), **others)

    return step


def uploaded(**facts):
    """A post with the job that its upload left."""
    on = post()
    AnalysisJob.objects.filter(post=on).update(**facts)
    return on


def done(**others):
    return uploaded(state=State.DONE, **others)


def test_finished_uploads_are_compared_once_and_nobody_hears_it(look):
    posts = [done() for _ in range(3)]
    done(priority=Priority.BACKFILL)
    assert look() == 3
    assert look() == 0
    assert set(ShadowLook.objects.values_list("post_id", flat=True)) == {on.pk for on in posts}
    said = ShadowLook.objects.first()
    assert {(kind, name) for kind, name, _ in said.candidate_said} == {
        ("general", "sky"),
        ("general", "sun"),
        ("rating", "s"),
    }
    # Of a task that the candidate does not have, nothing is compared.
    assert "quality" not in {kind for kind, _, _ in said.active_said}
    assert not Suggestion.objects.exists()


def test_an_upload_that_waits_goes_first_and_one_in_work_is_not_passed_over(look):
    first, second = done(), done()
    waiting = uploaded()  # An upload is ready: the trial keeps still.
    assert look() == 0
    job = AnalysisJob.objects.filter(post=waiting)
    job.update(state=State.RUNNING, lease_until=Now() + timedelta(minutes=1))
    later = done()
    assert look() == 2
    job.update(state=State.DONE)
    assert look() == 2
    seen = list(ShadowLook.objects.order_by("pk").values_list("post_id", flat=True))
    assert seen == [first.pk, second.pk, waiting.pk, later.pk]


def test_old_posts_that_wait_do_not_keep_a_trial_from_its_uploads(look):
    done()
    uploaded(priority=Priority.BACKFILL)
    assert look() == 1


def test_a_picture_that_cannot_be_read_or_breaks_the_candidate_stops_nothing(look, board, on_trial, monkeypatch):
    broken, strange, sound = done(), done(), done()
    board.bad = {broken.pk}
    compare = shadow.compare

    def stumble(row, job, *args, **others):
        if job.post_id == strange.pk:
            raise RuntimeError("index out of range")
        compare(row, job, *args, **others)

    monkeypatch.setattr(shadow, "compare", stumble)
    assert look() == 1
    assert ShadowLook.objects.get().post_id == sound.pk
    assert "index out of range" in Shadow.objects.get(pk=on_trial.pk).fault


def test_the_sample_is_a_share_and_the_same_whenever_it_is_asked(on_trial):
    on_trial.share = 0.2
    chosen = [number for number in range(2000) if shadow.sampled(on_trial, number)]
    assert 320 < len(chosen) < 480
    assert chosen == [number for number in range(2000) if shadow.sampled(on_trial, number)]


def test_the_report_sets_both_against_what_people_decided(look, on_trial, capsys):
    on = done()
    done()
    assert look() == 2
    rows = {name: suggestion(on, name) for name in ("sky", "sea", "sun", "moon")}
    for name in ("sky", "sun", "moon"):
        services.accept(suggestion_id=rows[name].pk, actor=moderator())
    services.reject(suggestion_id=rows["sea"].pk, actor=moderator())
    (general,) = [line for line in trial.report(on_trial).lines if line.category == Category.GENERAL]
    assert (general.both, general.only_active, general.only_candidate) == (2, 2, 2)
    assert general.agreement == pytest.approx(1 / 3)
    assert (general.active.precision, general.active.recall) == (0.5, pytest.approx(1 / 3))
    assert (general.candidate.precision, general.candidate.recall) == (1.0, pytest.approx(2 / 3))
    call_command("booru_shadow", "report", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] == 2
    assert told["milliseconds"].keys() == {"active", "candidate"}
    call_command("booru_shadow", "report")
    assert "new@000000000001 beside old@1" in capsys.readouterr().out


def test_the_report_of_a_long_trial_asks_as_short_a_question(look, on_trial):
    lengths = []
    for _ in range(2):
        done(), done()
        look()
        with CaptureQueriesContext(connection) as asked:
            trial.report(on_trial)
        lengths.append([len(question["sql"]) for question in asked])
    assert lengths[0] == lengths[1]


def test_one_trial_at_a_time_and_only_of_sound_models(on_trial, monkeypatch):
    monkeypatch.setattr("booru_ml.promotions.plan", lambda *args: None)
    ModelVersion.objects.update(folder="/somewhere")
    with pytest.raises(StaleState, match="on trial"):
        shadow.begin(version="new@")
    shadow.end()
    with pytest.raises(StaleState):
        shadow.end()
    with pytest.raises(BooruError, match="at most 1"):
        shadow.begin(version="new@", share=1.5)
    newest = AnalysisJob.objects.get(post=uploaded())
    assert shadow.begin(version="new@").cursor == newest.pk


def test_the_page_of_a_trial_is_for_those_who_may_see_it(look, on_trial, client):
    done()
    look()
    clerk = user(is_staff=True)
    client.force_login(clerk)
    page = f"/admin/booru_ml/shadow/{on_trial.pk}/change/"
    assert client.get(page).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_shadow"))
    said = client.get(page).content.decode()
    assert "Trial of new@000000000001" in said
    assert '<th scope="row">general</th>' in said


@pytest.fixture
def service(monkeypatch):
    """Runs the service with these networks until this event says that it is stopped."""

    def run(networks: type, stop: type) -> None:
        command = "tagging.management.commands.booru_shadow"
        monkeypatch.setattr(f"{command}.Loaded", networks)
        monkeypatch.setattr(f"{command}.threading.Event", stop)
        monkeypatch.setattr(f"{command}.when_told_to_stop", lambda _: None)
        monkeypatch.setattr(f"{command}.stand_back", lambda: None)
        monkeypatch.setattr(f"{command}.close_old_connections", lambda: None)
        monkeypatch.setattr(f"{command}.Checkpoint.load", lambda _: None)
        monkeypatch.setattr(
            f"{command}.registry.wanted", lambda: SimpleNamespace(version="old@1", load=lambda: ["old@1"])
        )
        monkeypatch.setattr("booru_ml.pipeline.images.DecoderPool", lambda **_: nullcontext(Decoders()))
        call_command("booru_shadow", "run")

    return run


def test_an_order_to_stop_is_heeded_after_the_picture_in_hand(on_trial, board, service):
    class Loaded(Eye):
        def __init__(self, checkpoints) -> None:
            super().__init__(str(checkpoints[0]), **ACTIVE)

        def close(self) -> None:
            pass

    class Stop:
        def is_set(self) -> bool:
            return ShadowLook.objects.exists()

        def wait(self, seconds: float) -> None:
            pass

    for _ in range(3):
        done()
    service(Loaded, Stop)
    assert ShadowLook.objects.count() == 1


def test_a_service_without_a_trial_holds_no_network(on_trial, service):
    held, most = [], []

    class Loaded:
        def __init__(self, checkpoints) -> None:
            held.append(self)

        def close(self) -> None:
            held.remove(self)

    class Stop:
        """The trial ends while the service waits; it is stopped a turn later."""

        turns = 0

        def is_set(self) -> bool:
            return self.turns == 2

        def wait(self, seconds: float) -> None:
            most.append(len(held))
            self.turns += 1
            if self.turns == 1:
                shadow.end()

    service(Loaded, Stop)
    assert most == [2, 0]
    assert not held
