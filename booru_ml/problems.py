"""Every failure of an API request as ``{code, message, extra}``: a stable code, a sentence, JSON-ready detail."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.core.signals import got_request_exception
from django.db import OperationalError
from django.http import Http404
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from booru_ml.errors import BooruError

log = logging.getLogger(__name__)


def problem(error: Exception, context: Mapping[str, Any]) -> Response:
    """The one exception handler: any exception becomes ``{code, message, extra}``; causes stay in the log."""
    set_rollback()
    headers: dict[str, str] = {}
    match error:
        case BooruError():
            status, code, message, extra = error.status, error.code, error.message, dict(error.extra)
        case exceptions.ValidationError():
            status, code, message, extra = _invalid(error.get_full_details())
        case ValidationError():
            status, code, message, extra = _invalid(exceptions.ValidationError(_detail_of(error)).get_full_details())
        case Http404():
            status, code, message, extra = 404, "not_found", "There is nothing at this address.", {}
        case PermissionDenied():
            status, code, message, extra = 403, "permission_denied", "You may not do this.", {}
        case exceptions.APIException():
            status, code, message, extra = error.status_code, str(error.get_codes()), str(error.detail), {}
            if wait := getattr(error, "wait", None):
                headers["Retry-After"] = f"{wait:.0f}"
                extra["retry_after"] = round(wait)
            if challenge := getattr(error, "auth_header", None):
                headers["WWW-Authenticate"] = challenge
        case SuspiciousOperation() | UnreadablePostError():
            status, code, message, extra = 400, "bad_request", "The request is malformed or too large.", {}
        case _:
            status, code, message, extra = _unexpected(error, context)
    if status >= 500 and isinstance(error, BooruError):
        log.error("API request failed: %s", message, exc_info=error)
    return Response({"code": code, "message": message, "extra": extra}, status=status, headers=headers)


def _unexpected(error: Exception, context: Mapping[str, Any]) -> tuple[int, str, str, dict[str, Any]]:
    """A fault of ours: the log and Django's signal (error reporters listen there) learn it, the client does not."""
    log.error("API request failed", exc_info=error)
    request = context.get("request")
    got_request_exception.send(sender=None, request=getattr(request, "_request", request))
    if isinstance(error, OperationalError):
        return 503, "unavailable", "The database does not answer right now. Please try again in a moment.", {}
    return 500, "internal", "Something went wrong on our side. The operators can find it in the log.", {}


def _detail_of(error: ValidationError) -> Any:
    return error.message_dict if hasattr(error, "error_dict") else error.messages


def _invalid(details: Any) -> tuple[int, str, str, dict[str, Any]]:
    fields: dict[str, list[dict[str, str]]] = {}
    _flatten(details, "", fields)
    name, problems = next(iter(fields.items()))
    first = problems[0]["message"]
    message = first if name == "_" else f"{name}: {first}"
    if (others := sum(map(len, fields.values())) - 1) > 0:
        message += f" ({others} more in extra.fields)"
    return 400, "invalid", message, {"fields": fields}


def _flatten(details: Any, path: str, into: dict[str, list[dict[str, str]]]) -> None:
    """REST framework's nested error details as ``{"outer.0.inner": [{code, message}]}``; ``_`` is the body itself."""
    if isinstance(details, Mapping) and set(details) == {"message", "code"} and isinstance(details["message"], str):
        into.setdefault(path or "_", []).append({"code": str(details["code"]), "message": str(details["message"])})
    elif isinstance(details, Mapping):
        for key, value in details.items():
            inner = path if key == "non_field_errors" else f"{path}.{key}" if path else str(key)
            _flatten(value, inner, into)
    else:
        for index, value in enumerate(details):
            leaf = not isinstance(value, Mapping) or set(value) == {"message", "code"}
            _flatten(value, path if leaf else f"{path}.{index}".strip("."), into)
