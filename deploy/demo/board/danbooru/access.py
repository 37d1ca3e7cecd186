"""Who asks, and how an answer or an error looks on the wire."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.authtoken.models import Token

from booru_ml.errors import BooruError, NotPermitted
from deploy.demo.board.danbooru.only import prune

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

# Danbooru's class names; clients show them.
ERRORS = {
    400: "BadRequest",
    401: "SessionLoader::AuthenticationFailure",
    403: "User::PrivilegeError",
    404: "ActiveRecord::RecordNotFound",
    405: "ActionController::MethodNotAllowed",
    410: "PaginationExtension::PaginationError",
    422: "PostQuery::Error",
}


class Unauthenticated(NotPermitted):
    code = "not_authenticated"
    status = 401


def viewer(request: HttpRequest) -> User | AnonymousUser:
    """The session's user, or the owner of the API key given as HTTP Basic or ``?login=&api_key=``.

    Raises ``Unauthenticated`` for a key that does not belong to that log-in.
    """
    login, key = request.GET.get("login", ""), request.GET.get("api_key", "")
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            login, _, key = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthenticated("The Authorization header cannot be read.") from None
    if not login and not key:
        return request.user
    owner = {f"user__{get_user_model().USERNAME_FIELD}": login}
    # NUL cannot be compared on every database, and no log-in or key has one.
    token = None
    if "\0" not in login + key:
        token = Token.objects.select_related("user").filter(key=key, user__is_active=True, **owner).first()
    if token is None:
        raise Unauthenticated("Invalid API key.")
    return cast("User", token.user)


def failure(message: str, *, status: int, error: str | None = None) -> JsonResponse:
    body = {"success": False, "error": error or ERRORS.get(status, "Error"), "message": message, "backtrace": []}
    response = JsonResponse(body, status=status)
    if status == 401:
        response["WWW-Authenticate"] = 'Basic realm="api"'
    return response


View = Callable[..., Any]


def endpoint(view: View) -> Callable[..., HttpResponse]:
    """A read-only JSON view: ``view(request, user, **kwargs)`` returns what ``json`` can write; ``only=`` prunes it."""

    @wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return failure("This API is for reading.", status=405)
        try:
            body = view(request, viewer(request), **kwargs)
            if only := request.GET.get("only"):
                body = prune(body, only)
        except BooruError as error:
            return failure(error.message, status=422 if error.status == 400 else error.status)
        response = JsonResponse(body, safe=False)
        response["Cache-Control"] = "private, no-cache"
        return response

    return wrapped
