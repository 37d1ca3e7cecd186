"""The ground that every API view stands on, whatever the host wrote into ``REST_FRAMEWORK``.

A view inherits ``ApiView``, names its rights with ``requires("app.permission")``, reads bodies with ``read_body`` and
query strings with ``read_query``, answers lists with ``page``, and raises children of ``BooruError``. Everything that
goes wrong is answered as ``{"code", "message", "extra"}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from django.apps import apps
from django.core.exceptions import ValidationError
from rest_framework import (
    authentication,
    exceptions,
    pagination,
    parsers,
    permissions,
    renderers,
    serializers,
)
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import APISettings
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from booru_ml.conf import config, post_model
from booru_ml.errors import InvalidInput, NotFound
from booru_ml.openapi import ProblemSchema

# Only what REST framework reads through ``view.settings``; the host's own settings stay out.
_SETTINGS: Any = cast(Any, APISettings)(
    {"EXCEPTION_HANDLER": "booru_ml.problems.problem", "URL_FORMAT_OVERRIDE": None, "FORMAT_SUFFIX_KWARG": None}
)


# --- Who may, and how often --------------------------------------------------------------------------------------


def requires(permission: str, *, safe: bool = True) -> type[permissions.BasePermission]:
    """A permission class: users who hold ``app.codename``; with ``safe``, reading takes a log-in alone."""

    class Requires(permissions.IsAuthenticated):
        message = f"This needs the permission {permission}."

        def has_permission(self, request: Request, view: APIView) -> bool:
            if not super().has_permission(request, view):
                return False
            if safe and request.method in permissions.SAFE_METHODS:
                return True
            return bool(request.user.has_perm(permission))

    return Requires


class RateThrottle(SimpleRateThrottle):
    """Rates from ``THROTTLE_RATES``, read live; clients told apart by ``NUM_PROXIES`` (see docs/api.md)."""

    def get_rate(self) -> str | None:
        return config().THROTTLE_RATES.get(cast(str, self.scope))

    def get_ident(self, request: Request) -> str:
        """The address that the outermost trusted proxy saw: what is left of it in the header can be forged."""
        address = str(request.META.get("REMOTE_ADDR", ""))
        hops = [hop.strip() for hop in str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",") if hop.strip()]
        proxies = config().NUM_PROXIES
        return hops[-min(proxies, len(hops))] if proxies and hops else address

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        known = bool(request.user and request.user.is_authenticated)
        if known != (self.scope == "user"):
            return None
        ident = str(request.user.pk) if known else self.get_ident(request)
        return f"booru_ml:throttle:{self.scope}:{ident}"


class UserThrottle(RateThrottle):
    scope = "user"


class AnonThrottle(RateThrottle):
    scope = "anon"


class StrictJSONParser(parsers.JSONParser):
    """Refuses NaN and Infinity, which databases and other clients cannot read."""

    strict = True


# --- Views -------------------------------------------------------------------------------------------------------


class Negotiation(DefaultContentNegotiation):
    settings = _SETTINGS


# One address, one class, one method per verb. Each policy is named here so that the host's defaults never leak in. No
# docstring: it would stand for the views' own.
class ApiView(APIView):
    settings = _SETTINGS
    permission_classes: Any = (permissions.IsAuthenticated,)
    throttle_classes: Any = (UserThrottle, AnonThrottle)
    parser_classes: Any = (StrictJSONParser,)
    renderer_classes: Any = (renderers.JSONRenderer,)
    content_negotiation_class: Any = Negotiation
    metadata_class: Any = None
    versioning_class: Any = None
    filter_backends: Any = ()
    pagination_class: Any = None
    schema: Any = ProblemSchema()

    def get_authenticators(self) -> list[authentication.BaseAuthentication]:
        """Token first, so that a missing log-in is a 401 with a challenge; tokens need the host's authtoken app."""
        session = authentication.SessionAuthentication()
        if not apps.is_installed("rest_framework.authtoken"):
            return [session]
        return [authentication.TokenAuthentication(), session]

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        answer: Response = super().finalize_response(request, response, *args, **kwargs)
        answer.headers.setdefault("Cache-Control", "private, no-store")
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    def page(
        self,
        rows: Any,
        serializer: type[serializers.BaseSerializer[Any]],
        *,
        views: Callable[[list[Any]], Any] = list,
        **context: Any,
    ) -> Response:
        """A page of ``rows`` by ``pagination_class``; ``views`` makes what is shown of the rows on it, and
        ``context`` is the serializer's."""
        pages = self.pagination_class()
        shown = views(pages.paginate_queryset(rows, self.request, self))
        answer: Response = pages.get_paginated_response(serializer(shown, many=True, context=context).data)
        return answer


class NotFoundView(ApiView):
    """Answers unknown addresses under the API in the API's own shape."""

    permission_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound("There is no such address in this API; see api/docs/.")


# --- Bodies, queries, pages --------------------------------------------------------------------------------------


# Base of every body and query: refuses what it does not know and what it does not let anyone write, instead of dropping
# it silently. No docstring, for the same reason as above.
class StrictSerializer(serializers.Serializer[Any]):
    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            wrong: dict[str, list[exceptions.ErrorDetail]] = {}
            for name in data:
                field = self.fields.get(str(name))
                if field is None:
                    wrong[str(name)[:100]] = [exceptions.ErrorDetail("There is no such field.", "unknown_field")]
                elif field.read_only:
                    wrong[str(name)] = [exceptions.ErrorDetail("This field cannot be written.", "read_only")]
            if wrong:
                raise exceptions.ValidationError(wrong)
        return super().to_internal_value(data)


class Nothing(StrictSerializer):
    """The body of a verb that takes none."""


def read_body(request: Request, serializer: type[serializers.BaseSerializer[Any]], **kwargs: Any) -> Any:
    """The validated body, or 400 with every field's problem."""
    reader = serializer(data=request.data, **kwargs)
    reader.is_valid(raise_exception=True)
    return reader.validated_data


def read_query(request: Request, serializer: type[StrictSerializer]) -> Any:
    """The validated query string without the paging keys, or 400: a mistyped filter must not return everything."""
    paging = {"page", "page_size", "cursor"}
    query = {key: value for key, value in request.query_params.items() if key not in paging}
    reader = serializer(data=query)
    reader.is_valid(raise_exception=True)
    return reader.validated_data


def post_key(text: Any) -> Any:
    """A post id from an address or body as the host's key type (int, UUID, …). Raises ``NotFound``."""
    field = cast(Any, apps.get_model(post_model())._meta.pk)
    while field.remote_field:
        field = field.target_field
    try:
        if "\x00" in str(text):
            raise ValueError("NUL")
        value = field.to_python(text)
        field.run_validators(value)
    except (ValidationError, ValueError, OverflowError):
        raise NotFound("There is no such post.") from None
    return value


def _page_size(request: Request) -> int:
    asked = request.query_params.get("page_size")
    if asked is None:
        return config().PAGE_SIZE
    most = config().MAX_PAGE_SIZE
    if not asked.isascii() or not asked.isdigit() or not 1 <= int(asked[:9]) <= most:
        raise InvalidInput(f"page_size is a number from 1 to {most}.")
    return int(asked)


class Pages(pagination.PageNumberPagination):
    """Numbered pages with a count, for short lists."""

    page_size_query_param = "page_size"
    template = None

    def get_page_size(self, request: Request) -> int:
        return _page_size(request)


class Cursor(pagination.CursorPagination):
    """A cursor for long and growing lists: stable while rows are added, cheap at any depth. Set ``ordering``."""

    page_size_query_param = "page_size"
    ordering = "-id"
    template = None

    def get_page_size(self, request: Request) -> int:
        return _page_size(request)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, TypeError, OverflowError, ValidationError):
            raise NotFound("This cursor is damaged; start from the first page.") from None
