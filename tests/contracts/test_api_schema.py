"""Every operation is asked with generated input, good and bad: no server error, only documented answers."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, settings
from rest_framework.authtoken.models import Token
from schemathesis.checks import not_a_server_error
from schemathesis.hooks import HookContext
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from booru_ml.openapi import Generator
from deploy.demo.wsgi import application
from embeddings import queries
from embeddings.services import enrol
from embeddings.types import SupportRef
from moderation.models import Case
from moderation.urls import urlpatterns
from tagging.services import reject
from tests.tagging import factories

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 6

schema = schemathesis.openapi.from_dict(Generator(patterns=urlpatterns).document(server="/booru"))
schema.app = application
known: dict[str, list[Any]] = {}


@pytest.fixture
def _open_connection():
    """Requests that come by WSGI would close the connection that holds the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(db, _open_connection, monkeypatch) -> str:
    """Rows for the generator to hit, a user who may do everything, and a worker that sees something in any picture."""
    cache.clear()
    seen = queries.Seen("seen@000000000001", {("picture", 0): np.ones(8, dtype=np.float32)}, ())
    monkeypatch.setattr(queries, "ask", lambda picture, asker: seen)
    god = factories.user(name="god", is_superuser=True, is_staff=True)
    posts = [factories.post(god) for _ in range(3)]
    suggestions = [factories.suggestion(posts[0], name) for name in ("hat", "smile", "sky")]
    subject = enrol(name="miku", posts=[SupportRef(posts[0].pk)], actor=god)
    known.clear()
    known["post_id"] = [post.pk for post in posts]
    known["job_id"] = [factories.job(post).pk for post in posts]
    known["suggestion_id"] = [row.pk for row in suggestions]
    known["decision_id"] = [reject(suggestion_id=suggestions[2].pk, actor=god).pk]
    known["subject_id"] = [subject.pk]
    known["support_id"] = [subject.supports.get().pk]
    known["case_id"] = [Case.objects.create(post=post).pk for post in posts]
    return Token.objects.create(user=god).key


@schema.hook
def map_path_parameters(context: HookContext, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Two of three generated ids become those of rows that exist."""
    for name, value in (path_parameters or {}).items():
        digest = crc32(str(value).encode())
        if digest % 3 and name in known:
            path_parameters[name] = known[name][digest % len(known[name])]
    return path_parameters


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_input_breaks_the_api(case, token):
    answer = case.call(headers={"Authorization": f"Token {token}"})
    case.validate_response(answer, checks=CHECKS)
