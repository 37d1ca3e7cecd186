from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.contrib.messages.storage.fallback import FallbackStorage
from django.test import RequestFactory
from django.urls import reverse

from booru_ml.errors import NotFound
from deploy.demo.board.models import Post
from embeddings import revisions
from embeddings.admin import enrol_selected
from embeddings.models import Subject, Support
from tests.embeddings.factories import Artist, enrolled, post, seen
from tests.people import client_of, staff_client, user

pytestmark = pytest.mark.django_db
LIST = reverse("admin:booru_embeddings_subject_changelist")
ADD = reverse("admin:booru_embeddings_subject_add")


def change(subject: Subject) -> str:
    return reverse("admin:booru_embeddings_subject_change", args=[subject.pk])


def form(**fields) -> dict[str, str]:
    return {"show": "", "show_not": "", **fields}


def test_subjects_are_listed_with_their_counts(staff):
    enrolled("miku", [Artist(n).character() for n in range(3)])
    page = staff.get(LIST).content.decode()
    assert "miku" in page
    assert '<td class="field-pictures">3</td>' in page


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ÉCLAIR", ["Éclair_blanc"]),
        ("e\u0301clair", ["Éclair_blanc"]),
        ("blanc éc", ["Éclair_blanc"]),
        ("ДИВА", ["дива"]),
        ("MIKU", ["miku_(v4x)"]),
        ("(v4x)", ["miku_(v4x)"]),
        ("mik.", []),
    ],
)
def test_a_character_is_found_by_parts_of_its_name_in_whatever_case(staff, search, found):
    for name in ("Éclair_blanc", "дива", "miku_(v4x)"):
        enrolled(name, [Artist().character()])
    assert [row.name for row in staff.get(LIST, {"q": search}).context["cl"].queryset] == found


def test_a_character_is_enrolled_by_the_form(staff):
    draw = Artist()
    shown, group = post(), seen(draw.character(), faces=[draw.character(), draw.character()])
    answer = staff.post(
        ADD,
        form(name="hatsune miku", category="character", enabled="on", show=f"{shown.pk}, {group.pk}:1"),
    )
    assert answer.status_code == 302, answer.content.decode()
    subject = Subject.objects.get()
    assert (subject.name, subject.enabled, subject.created_by.is_staff) == ("hatsune_miku", True, True)
    assert set(subject.supports.values_list("post_id", "kind", "number")) == {
        (shown.pk, "picture", 0),
        (group.pk, "face", 1),
    }


@pytest.mark.parametrize("show", ["", "404404", "x", "1:x", "404404:0"])
def test_unusable_pictures_are_explained_beside_their_field(staff, show):
    answer = staff.post(ADD, form(name="miku", category="character", enabled="on", show=show))
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["show"]
    assert not Subject.objects.exists()


def test_the_change_page_takes_more_pictures_and_leads_to_those_that_are_there(staff):
    miku = enrolled("miku", [Artist(n).character() for n in range(6)])
    extra, mistaken = post(), post()
    answer = staff.post(change(miku), form(name="miku", enabled="on", show=str(extra.pk), show_not=str(mistaken.pk)))
    assert answer.status_code == 302, answer.content.decode()
    assert miku.supports.filter(post=extra, positive=True).exists()
    assert miku.supports.filter(post=mistaken, positive=False).exists()
    pictures = reverse("admin:booru_embeddings_subject_pictures", args=[miku.pk])
    assert f'<a href="{pictures}">Pictures and health (8)</a>' in staff.get(change(miku)).content.decode()


def test_a_character_of_many_pictures_can_be_changed(staff):
    miku = enrolled("miku", [Artist().character()])
    many = [Support(subject=miku, post=miku.supports.get().post, kind="face", number=n) for n in range(600)]
    Support.objects.bulk_create(many)
    inputs = re.findall(r' name="([^"]+)"', staff.get(change(miku)).content.decode())
    answer = staff.post(change(miku), dict.fromkeys(inputs, "") | form(name="rin", enabled="on"))
    assert answer.status_code == 302, answer.content.decode()
    assert Subject.objects.get().name == "rin"


def test_disabling_and_deleting_go_through_the_services(staff):
    miku = enrolled("miku", [Artist().character()])
    before = revisions.revision()[0]
    staff.post(LIST, {"action": "disable", "_selected_action": [miku.pk]})
    miku.refresh_from_db()
    assert not miku.enabled
    staff.post(LIST, {"action": "delete_selected", "_selected_action": [miku.pk], "post": "yes"})
    assert not Subject.objects.exists()
    assert not Support.objects.exists()
    assert revisions.revision()[0] >= before + 2


def test_a_name_that_is_taken_is_explained(staff):
    enrolled("miku", [Artist().character()])
    luka = enrolled("luka", [Artist(1).character()])
    answer = staff.post(change(luka), form(name="miku", enabled="on"))
    assert answer.status_code == 200
    assert "already" in answer.content.decode()


def test_what_somebody_else_was_faster_with_is_told(staff, monkeypatch):
    miku = enrolled("miku", [Artist().character()])

    def gone(**_):
        raise NotFound("There is no such character or artist.")

    monkeypatch.setattr("embeddings.services.change", gone)
    answer = staff.post(change(miku), form(name="rin", enabled="on"), follow=True)
    assert "There is no such character" in answer.content.decode()


def test_staff_without_the_permission_neither_see_nor_change():
    client = staff_client()
    assert client.get(LIST).status_code == 403
    assert client.get(ADD).status_code == 403


def test_the_host_may_offer_enrolment_in_its_own_list():
    first, second = post(), post()
    request = RequestFactory().post("/")
    request.user = user("booru_embeddings.enrol_subject", is_staff=True)
    answer = enrol_selected(admin.site._registry[Post], request, Post.objects.filter(pk__in=[first.pk, second.pk]))
    assert answer.status_code == 302
    client = client_of(request.user)
    page = client.get(answer.url).content.decode()
    assert str(first.pk) in page
    assert str(second.pk) in page
    request.user = user(is_staff=True)
    request.session = {}
    request._messages = FallbackStorage(request)
    assert enrol_selected(admin.site._registry[Post], request, Post.objects.all()) is None
