"""Pages of API lists, and how often they may be asked for, shown on views of this file's own."""

import pytest
from django.urls import path
from rest_framework import serializers

from booru_ml.http import ApiView, Cursor, Pages
from deploy.demo.board.models import Tag
from tests.people import client_of, user


class TagSerializer(serializers.ModelSerializer):
    class Meta:
        model = Tag
        fields = ["id", "name"]


class Numbered(ApiView):
    pagination_class = Pages
    permission_classes = ()

    def get(self, request):
        return self.page(Tag.objects.order_by("id"), TagSerializer)


class Endless(Numbered):
    pagination_class = Cursor


urlpatterns = [path("pages/", Numbered.as_view()), path("cursor/", Endless.as_view())]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("fresh_throttles")]


@pytest.mark.parametrize("address", ["/pages/", "/cursor/"])
def test_pages_are_complete_and_bounded(client, settings, address):
    settings.BOORU_ML = {**settings.BOORU_ML, "PAGE_SIZE": 2, "MAX_PAGE_SIZE": 3}
    Tag.objects.bulk_create([Tag(name=f"tag{i}") for i in range(5)])
    names, url = [], address
    while url:
        page = client.get(url).json()
        names += [row["name"] for row in page["results"]]
        url = page["next"]
    assert sorted(names) == [f"tag{i}" for i in range(5)]
    assert len(client.get(f"{address}?page_size=3").json()["results"]) == 3
    for size in ("4", "0", "-1", "x", "9" * 30, "²"):
        assert client.get(address, {"page_size": size}).status_code == 400


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=999", "page=" + "9" * 40])
def test_pages_that_do_not_exist_are_404(client, query):
    assert client.get(f"/pages/?{query}").status_code == 404


@pytest.mark.parametrize(
    "cursor", ["x", "cD0wMDA%3D", "cD14", "bz0tMQ%3D%3D", "cD0lMDA%3D", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk%3D"]
)
def test_damaged_cursors_are_no_server_errors(client, cursor):
    Tag.objects.create(name="a")
    assert client.get(f"/cursor/?cursor={cursor}").status_code in (200, 404)


def test_clients_are_throttled_by_the_configured_rates(client, settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "THROTTLE_RATES": {"anon": "2/min"}}
    assert [client.get("/pages/").status_code for _ in range(3)] == [200, 200, 429]
    limited = client.get("/pages/")
    assert limited.json()["code"] == "throttled"
    assert limited.json()["extra"]["retry_after"] > 0
    assert int(limited.headers["Retry-After"]) > 0
    ann = client_of(user())
    assert [ann.get("/pages/").status_code for _ in range(4)] == [200] * 4


def test_a_forged_forwarded_header_buys_nothing(client, settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "THROTTLE_RATES": {"anon": "1/min"}}
    seen = [client.get("/pages/", headers={"X-Forwarded-For": f"10.0.0.{i}"}).status_code for i in range(3)]
    assert seen == [200, 429, 429]


def test_behind_a_proxy_clients_are_told_apart_by_what_the_proxy_saw(client, settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "THROTTLE_RATES": {"anon": "1/min"}, "NUM_PROXIES": 1}

    def ask(hops):
        return client.get("/pages/", headers={"X-Forwarded-For": hops}).status_code

    assert [ask("10.0.0.1"), ask("10.0.0.2"), ask("forged, 10.0.0.1"), ask("10.0.0.1")] == [200, 200, 429, 429]
