"""What a model said is taken back as a whole; what people said stays."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from booru_ml import promotions
from booru_ml.models import ModelVersion, Promotion
from booru_ml.types import TagRef
from tagging import services
from tagging.models import Suggestion, TagDecision
from tests.tagging.factories import moderator, post, suggestion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gallery", "promotions")]
State = Suggestion.State
GOOD, BAD = "net@000000000001", "net@000000000002"


def tags(on) -> set[str]:
    from booru_ml.host.loader import host

    return {tag.name for tag in host().facts([on.pk])[on.pk].tags}


def applied(on, name: str, version: str) -> Suggestion:
    from booru_ml.host.loader import host

    host().add_tags(on.pk, [TagRef(name)])
    row = suggestion(on, name, state=State.AUTO_APPLIED, model_version=version)
    TagDecision.objects.create(
        suggestion=row,
        verb=TagDecision.Verb.AUTO_APPLY,
        from_state=State.SUGGESTED,
        to_state=State.AUTO_APPLIED,
        delta={"tags_added": [[name, "general"]]},
    )
    return row


def states() -> dict[str, str]:
    return dict(Suggestion.objects.values_list("name", "state"))


def withdraw(*tasks: str) -> int:
    return services.withdraw_run(version=BAD, tasks=tasks, actor=None, most=100)


def test_open_suggestions_go_and_decisions_of_people_stay():
    on = post()
    for name in ("open", "accepted", "rejected"):
        suggestion(on, name, model_version=BAD)
    suggestion(on, "other", model_version=GOOD)
    decided = dict(Suggestion.objects.values_list("name", "pk"))
    services.accept(suggestion_id=decided["accepted"], actor=moderator())
    services.reject(suggestion_id=decided["rejected"], actor=moderator())
    assert withdraw("tags") == 1
    assert states() == {"accepted": "accepted", "rejected": "rejected", "other": "suggested"}
    assert "accepted" in tags(on)
    assert withdraw("tags") == 0


def test_what_it_applied_by_itself_is_taken_off_the_board_with_an_audit_row():
    on = post()
    mine, theirs = applied(on, "wrong", BAD), applied(on, "right", GOOD)
    assert tags(on) == {"wrong", "right"}
    assert withdraw("tags") == 1
    assert tags(on) == {"right"}
    assert states() == {"wrong": "withdrawn", "right": "auto_applied"}
    undo = mine.decisions.get(verb=TagDecision.Verb.UNDO)
    assert undo.delta == {"tags_removed": [["wrong", "general"]]}
    assert not theirs.decisions.filter(verb=TagDecision.Verb.UNDO).exists()


def test_only_the_tasks_that_it_lost_are_withdrawn():
    on = post()
    suggestion(on, "sky", model_version=BAD)
    suggestion(on, "q", "rating", model_version=BAD)
    suggestion(on, "photo_(medium)", "meta", model_version=BAD)
    suggestion(on, "saber", "character", model_version=BAD, source="prototype")
    for task, left in (("rating", 3), ("medium", 2), ("embedding", 1), ("tags", 0)):
        assert withdraw(task) == 1
        assert Suggestion.objects.count() == left


@pytest.fixture
def rolled_back() -> Promotion:
    row = ModelVersion.objects.create(name="net", version=BAD, sha256="0" * 64, folder="/nowhere")
    before = Promotion.objects.create(candidate=row, tasks=["tags"], verb="promote", pipeline_version="p")
    return Promotion.objects.create(
        candidate=row, tasks=["tags"], verb="rollback", undoes=before, follows=before, pipeline_version="q"
    )


def test_a_withdrawal_that_was_cut_short_is_gone_on_with_by_a_worker(rolled_back, monkeypatch):
    on = post()
    for number in range(5):
        suggestion(on, f"tag{number}", model_version=BAD)
    monkeypatch.setattr(promotions, "CHUNK", 2)
    assert not promotions.withdraw(rolled_back, seconds=0)
    assert Suggestion.objects.count() == 3
    promotions.withdraw_quietly()
    rolled_back.refresh_from_db()
    assert (Suggestion.objects.count(), rolled_back.withdrawn) == (0, 5)
    assert rolled_back.withdrawn_at
    promotions.withdraw_quietly()


def test_what_a_model_says_once_it_is_back_in_force_is_not_taken_from_it(rolled_back):
    suggestion(post(), "sky", model_version=BAD)
    member = {"version": BAD, "folder": "/nowhere", "tasks": ["tags"]}
    Promotion.objects.create(
        candidate=rolled_back.candidate, members=[member], verb="promote", follows=rolled_back, pipeline_version="p"
    )
    assert promotions.withdraw(rolled_back)
    assert states() == {"sky": "suggested"}


def test_the_command_rolls_back_with_its_suggestions(rolled_back, capsys):
    Promotion.objects.filter(pk=rolled_back.pk).delete()
    suggestion(post(), "sky", model_version=BAD)
    call_command("booru_model", "rollback", "--no-reanalyse")
    assert "1 suggestions of net@000000000002 were withdrawn" in capsys.readouterr().out
    assert states() == {}
