"""What every API view inherits, shown on views of this file's own."""

import json
import logging

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.db import OperationalError
from django.http import Http404
from django.test import Client
from django.urls import path
from rest_framework import serializers
from rest_framework.authtoken.models import Token
from rest_framework.response import Response

from booru_ml.errors import NotFound, NotPermitted, StaleState, Unavailable
from booru_ml.fields import PostKeyField
from booru_ml.http import ApiView, NotFoundView, StrictSerializer, post_key, read_body, read_query, requires
from tests.people import client_of

FAULTS = {
    "stale": StaleState("Too late.", state="accepted"),
    "unavailable": Unavailable("Redis is away."),
    "http404": Http404("secret path"),
    "forbidden": PermissionDenied("secret rule"),
    "suspicious": SuspiciousOperation("secret detail"),
    "django": ValidationError({"name": ["Too odd."]}),
    "database": OperationalError("secret host is down"),
    "bug": ZeroDivisionError("secret arithmetic"),
}


class Inner(StrictSerializer):
    count = serializers.IntegerField(min_value=1)


class Body(StrictSerializer):
    name = serializers.CharField(max_length=5)
    id = serializers.IntegerField(read_only=True)
    inner = Inner(many=True, required=False)
    post = PostKeyField(required=False)


class Query(StrictSerializer):
    category = serializers.ChoiceField(choices=["general", "artist"], required=False)


class Echo(ApiView):
    def get(self, request):
        return Response(read_query(request, Query))

    def post(self, request):
        return Response(read_body(request, Body))


class Fault(ApiView):
    permission_classes = ()

    def get(self, request, name):
        raise FAULTS[name]


class Moderators(ApiView):
    permission_classes = (requires("booru_tagging.decide_suggestion"),)

    def get(self, request):
        return Response({})

    def post(self, request):
        raise NotPermitted("Not on a Sunday.")


urlpatterns = [
    path("echo/", Echo.as_view()),
    path("fault/<name>/", Fault.as_view()),
    path("moderators/", Moderators.as_view()),
    path("nothing/", NotFoundView.as_view()),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("fresh_throttles")]


@pytest.fixture
def person(django_user_model):
    return django_user_model.objects.create_user("ann", password="secret")


@pytest.fixture
def ann(person):
    return client_of(person)


def post(client, address, body, **others):
    return client.post(address, json.dumps(body), content_type="application/json", **others)


def test_a_missing_log_in_is_a_401_with_a_challenge(client):
    answer = client.get("/echo/")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Token"
    assert answer.json()["code"] == "not_authenticated"


def test_tokens_and_sessions_are_understood(client, ann, person):
    token = Token.objects.create(user=person)
    assert client.get("/echo/", headers={"Authorization": f"Token {token.key}"}).status_code == 200
    assert ann.get("/echo/").status_code == 200
    wrong = client.get("/echo/", headers={"Authorization": "Token nonsense"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "authentication_failed")


def test_sessions_need_the_csrf_token_and_tokens_do_not(person):
    client = client_of(person, enforce_csrf_checks=True)
    assert post(client, "/echo/", {"name": "a"}).status_code == 403
    token = Token.objects.create(user=person)
    bare = Client(enforce_csrf_checks=True)
    answer = post(bare, "/echo/", {"name": "a"}, headers={"Authorization": f"Token {token.key}"})
    assert answer.status_code == 200


def test_without_the_authtoken_app_sessions_remain(ann, client, settings):
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "rest_framework.authtoken"]
    assert ann.get("/echo/").status_code == 200
    assert client.get("/echo/", headers={"Authorization": "Token x"}).status_code == 403


def test_the_hosts_rest_framework_settings_do_not_leak_in(ann, settings):
    settings.REST_FRAMEWORK = {
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "EXCEPTION_HANDLER": "rest_framework.views.exception_handler",
        "URL_FORMAT_OVERRIDE": "category",
    }
    answer = ann.get("/echo/?category=artist", headers={"Accept": "text/html, */*"})
    assert answer.json() == {"category": "artist"}
    assert ann.get("/echo/?category=x").json()["code"] == "invalid"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("stale", 409, "stale_state"),
        ("unavailable", 503, "unavailable"),
        ("http404", 404, "not_found"),
        ("forbidden", 403, "permission_denied"),
        ("suspicious", 400, "bad_request"),
        ("django", 400, "invalid"),
        ("database", 503, "unavailable"),
        ("bug", 500, "internal"),
    ],
)
def test_every_failure_has_the_same_shape_and_keeps_its_secrets(client, fault, status, code):
    client.raise_request_exception = False
    answer = client.get(f"/fault/{fault}/")
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"code", "message", "extra"}
    assert body["code"] == code
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_bugs_reach_the_log_and_error_reporters(client, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(ZeroDivisionError):
        client.get("/fault/bug/")
    assert any(record.exc_info for record in caplog.records)


def test_extra_detail_of_our_errors_is_passed_on(client):
    assert client.get("/fault/stale/").json()["extra"] == {"state": "accepted"}


def test_unknown_methods_types_and_addresses(ann):
    assert (ann.put("/echo/").status_code, ann.put("/echo/").json()["code"]) == (405, "method_not_allowed")
    assert ann.options("/echo/").status_code == 405
    answer = ann.post("/echo/", "<a/>", content_type="application/xml")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert ann.post("/echo/", "{", content_type="application/json").json()["code"] == "parse_error"
    assert ann.get("/nothing/").json()["code"] == "not_found"
    assert ann.get("/echo/", headers={"Accept": "text/csv"}).json()["code"] == "not_acceptable"


def test_numbers_that_are_none_are_refused(ann):
    answer = ann.post("/echo/", '{"name": NaN}', content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")


def test_every_wrong_field_is_named(ann):
    body = {"name": "much too long", "inner": [{"count": 1}, {"count": 0, "more": 1}], "post": "nope"}
    answer = post(ann, "/echo/", body).json()
    assert answer["code"] == "invalid"
    fields = answer["extra"]["fields"]
    assert fields["name"][0]["code"] == "max_length"
    assert fields["inner.1.more"][0]["code"] == "unknown_field"
    assert fields["post"][0]["code"] == "does_not_exist"
    assert "2 more" in answer["message"]


def test_unknown_and_read_only_fields_are_refused(ann):
    fields = post(ann, "/echo/", {"name": "a", "id": 3, "is_staff": True}).json()["extra"]["fields"]
    assert fields["id"][0]["code"] == "read_only"
    assert fields["is_staff"][0]["code"] == "unknown_field"


@pytest.mark.parametrize("body", [[], "text", 3, None])
def test_a_body_that_is_no_object_is_refused(ann, body):
    assert post(ann, "/echo/", body).status_code == 400


def test_a_mistyped_filter_does_not_return_everything(ann):
    assert ann.get("/echo/?category=artist&page=1").json() == {"category": "artist"}
    assert ann.get("/echo/?catgory=artist").json()["extra"]["fields"]["catgory"][0]["code"] == "unknown_field"


def test_permissions_are_named_and_reading_takes_a_log_in(client, ann, person):
    assert client.get("/moderators/").status_code == 401
    assert ann.get("/moderators/").status_code == 200
    answer = ann.post("/moderators/")
    assert answer.status_code == 403
    assert "booru_tagging.decide_suggestion" in answer.json()["message"]
    person.is_superuser = True
    person.save()
    assert ann.post("/moderators/").json()["message"] == "Not on a Sunday."


def test_answers_are_not_cached_nor_sniffed(ann):
    headers = ann.get("/echo/").headers
    assert headers["Cache-Control"] == "private, no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("text", ["x", "", "1.5", "9" * 30, "-" + "9" * 30, "1\x00", "1 OR 1=1"])
def test_shapeless_post_ids_are_not_found(text):
    with pytest.raises(NotFound):
        post_key(text)


def test_post_ids_are_of_the_boards_own_type():
    assert post_key("12") == 12
