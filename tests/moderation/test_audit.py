"""The list of decisions in the admin."""

import pytest
from django.test import Client

from moderation import services
from tests.people import client_of

from .pages import text

AUDIT = "/admin/booru_moderation/decision/"


@pytest.fixture
def client(moderator) -> Client:
    return client_of(moderator)


def test_the_audit_lists_every_decision_with_what_it_changed(client, case, moderator) -> None:
    made = case()
    decision = services.reject(case_id=made.pk, actor=moderator, note="<b>spam</b>")
    services.undo(decision_id=decision.pk, actor=moderator)
    seen = client.get(AUDIT)
    assert "rejected the post (pending → deleted)" in text(seen)
    assert "took the decision back (deleted → pending)" in text(seen)
    assert "<b>spam</b>" not in seen.content.decode()
    for query in ("?verb__exact=reject", "?q=mira", f"?actor__id__exact={moderator.pk}"):
        assert client.get(AUDIT + query).status_code == 200
    assert client.get(f"{AUDIT}{decision.pk}/change/").status_code == 200


def test_the_audit_is_searched_by_whatever_users_log_in_with(client, case, moderator, monkeypatch) -> None:
    services.reject(case_id=case().pk, actor=moderator)
    type(moderator).objects.filter(pk=moderator.pk).update(email="mira@board.example")
    monkeypatch.setattr(type(moderator), "USERNAME_FIELD", "email")
    found = client.get(AUDIT, {"q": "mira@board.example"})
    assert found.context["cl"].queryset.count() == 1
