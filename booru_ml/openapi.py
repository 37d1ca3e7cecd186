"""How our views describe themselves; complete without any ``SPECTACULAR_SETTINGS`` of the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import normalize_result_object, sanitize_result_object
from drf_spectacular.utils import extend_schema as _extend_schema
from rest_framework import serializers

from booru_ml import __version__

# What may go wrong with any request, and with one that has a body or names a row.
PROBLEMS = {
    "400": "The request is malformed; `extra.fields` names each problem.",
    "401": "Log in first.",
    "403": "This user may not do this.",
    "404": "There is no such thing, or this user may not see it.",
    "406": "Only JSON is spoken here.",
    "409": "Somebody else was faster; read again, then decide.",
    "415": "Send JSON.",
    "422": "The content cannot be used.",
    "429": "Too many requests; `extra.retry_after` says when to come back, in seconds.",
    "503": "A part that this needs does not answer; try again later.",
}


class ProblemSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Stable, for programs.")
    message = serializers.CharField(help_text="A sentence, for people.")
    extra = serializers.DictField(help_text="Detail; empty where there is none.")


class ProblemSchema(AutoSchema):
    """Adds the problem answers to every operation and names things by app, wherever the host mounts us."""

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Any:
        return super().get_operation(path, path_regex, r"^(/.*?)?/api(?=/)", method, registry)

    def get_summary(self) -> str:
        """The first sentence of the view's docstring."""
        first, _, _ = str(self.get_description() or "").partition(". ")
        return " ".join(first.split()).removesuffix(".")

    def get_tags(self) -> list[str]:
        return [type(self.view).__module__.split(".")[0].replace("booru_ml", "jobs")]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        for status in self._problems():
            answer = self._get_response_for_code(ProblemSerializer, status)  # type: ignore[no-untyped-call]
            responses.setdefault(status, answer | {"description": PROBLEMS[status]})
        return dict(sorted(responses.items()))

    def _problems(self) -> Sequence[str]:
        statuses = ["400", "401", "403", "404", "406", "429", "503"]
        return statuses if self.method == "GET" else [*statuses, "409", "415", "422"]


Method = TypeVar("Method", bound=Callable[..., Any])


def extend_schema(**facts: Any) -> Callable[[Method], Method]:
    """drf-spectacular's decorator for methods of our views: it builds on our schema, whatever the host's default is."""

    def decorate(method: Method) -> Method:
        method.schema = ProblemSchema  # type: ignore[attr-defined]
        described: Method = _extend_schema(**facts)(method)
        del described.schema  # type: ignore[attr-defined]
        return described

    return decorate


TITLE = "Booru ML"
DESCRIPTION = (
    "Suggestions, characters, the moderation queue and the analysis jobs of an image board.\n\n"
    "Log in by session (with CSRF token) or by `Authorization: Token …`. "
    "Errors are `{code, message, extra}`; unknown and read-only fields are refused."
)


class Generator(SchemaGenerator):
    """The document for a list of URL patterns; ``server`` is where the host mounted them."""

    def __init__(self, patterns: Sequence[Any]) -> None:
        super().__init__(patterns=list(patterns))  # type: ignore[no-untyped-call]

    def document(self, *, server: str = "/") -> dict[str, Any]:
        """The host's post-processing hooks and titles are for the host's own document and stay out; so does the
        reader's language, which only REST framework's own sentences would follow."""
        with translation.override(None):
            paths = self.parse(None, True)  # type: ignore[no-untyped-call]
            own = {
                "openapi": "3.0.3",
                "info": {"title": TITLE, "version": __version__, "description": DESCRIPTION},
                "servers": [{"url": server.rstrip("/") or "/"}],
                "paths": {path: paths[path] for path in sorted(paths)},
                "components": self.registry.build({}),
            }
            return dict(_without_marks(sanitize_result_object(normalize_result_object(own))))


def _without_marks(part: Any) -> Any:
    """drf-spectacular marks choices for a hook that we do not run."""
    if isinstance(part, dict):
        return {key: _without_marks(value) for key, value in part.items() if key != "x-spec-enum-id"}
    return [_without_marks(item) for item in part] if isinstance(part, list) else part
