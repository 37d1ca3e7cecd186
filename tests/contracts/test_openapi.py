"""The API's description is golden: a change of the wire is a change of ``tests/openapi.yml``, seen in review.

Refresh it with ``python manage.py booru_openapi > tests/openapi.yml``.
"""

from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.utils import translation

from booru_ml.openapi import Generator

GOLDEN = Path(__file__).parents[1] / "openapi.yml"


def described() -> str:
    out = StringIO()
    call_command("booru_openapi", stdout=out)
    return out.getvalue()


def test_the_document_is_the_golden_one():
    assert described() == GOLDEN.read_text(), "refresh: python manage.py booru_openapi > tests/openapi.yml"


def test_describing_warns_of_nothing(capsys):
    described()
    assert not capsys.readouterr().err


def test_every_operation_is_named_once_and_tells_its_problems():
    document = yaml.safe_load(GOLDEN.read_text())
    operations = [item for path in document["paths"].values() for item in path.values()]
    names = [item["operationId"] for item in operations]
    assert len(set(names)) == len(names)
    for item in operations:
        assert {"400", "401", "403", "404", "429"} <= set(item["responses"]), item["operationId"]
        assert item.get("description"), item["operationId"]


@pytest.mark.django_db
def test_the_served_document_knows_where_it_is_mounted():
    served = Client().get("/booru/api/schema/").json()
    assert served["servers"] == [{"url": "/booru"}]
    assert served["paths"].keys() == yaml.safe_load(GOLDEN.read_text())["paths"].keys()


@pytest.mark.django_db
def test_the_served_document_is_built_once(monkeypatch):
    address = "/booru/api/schema/"
    first = Client().get(address).json()
    monkeypatch.setattr(Generator, "document", None)
    assert Client().get(address).json() == first


def test_the_document_speaks_one_language():
    with translation.override("de"):
        assert described() == GOLDEN.read_text()


@pytest.mark.django_db
def test_the_hosts_own_settings_do_not_change_the_document(settings):
    settings.SPECTACULAR_SETTINGS = {"TITLE": "The board's own", "POSTPROCESSING_HOOKS": [], "VERSION": "7"}
    assert described() == GOLDEN.read_text()


@pytest.mark.django_db
def test_the_docs_page_loads_nothing_from_elsewhere():
    client = Client()
    page = client.get("/booru/api/docs/").text
    assert "http://" not in page
    assert "https://" not in page
    assert "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js" in page
    script = client.get("/booru/api/docs/?script").text
    assert "../schema/" in script
    assert "cdn" not in script


@pytest.mark.django_db
def test_unknown_addresses_answer_in_the_apis_own_shape():
    answer = Client().get("/booru/api/nonsense/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
