"""The OpenAPI document and the page that shows it; every script and style comes from this server."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.core.signals import setting_changed
from django.templatetags.static import static
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from booru_ml.http import ApiView
from booru_ml.openapi import Generator


class SchemaView(ApiView):
    """``GET`` the document: JSON, or YAML by ``Accept: application/vnd.oai.openapi``. Open to everyone."""

    permission_classes = ()
    renderer_classes = (JSONRenderer, OpenApiJsonRenderer, OpenApiYamlRenderer)
    schema = None
    urlconf = ""
    """Dotted path of the module whose ``urlpatterns`` are described."""

    def get(self, request: Request) -> Response:
        mounted_at = request.path.removesuffix("api/schema/").rstrip("/") or "/"
        return Response(_document(self.urlconf) | {"servers": [{"url": mounted_at}]})


@cache
def _document(urlconf: str) -> dict[str, Any]:
    """Built once in a process, but for where it is mounted: it takes a tenth of a second, and everyone may ask."""
    return Generator(patterns=import_module(urlconf).urlpatterns).document()


def _forget(**_: object) -> None:
    _document.cache_clear()


setting_changed.connect(_forget, dispatch_uid="booru_ml.docs")


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI over the schema next door. Its script is a request of its own, so a strict CSP can stay."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    versioning_class = None
    schema = None
    title = "Booru ML API"

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Swagger UI writes styles into the page; everything else may stay as strict as the board's own pages."""
        answer: Response = super().finalize_response(request, response, *args, **kwargs)
        parts = urlsplit(static(""))
        files = f"'self' {parts.scheme or request.scheme}://{parts.netloc}" if parts.netloc else "'self'"
        answer.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src {files}; style-src {files} 'unsafe-inline'; img-src {files} data:; "
            f"font-src {files} data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        )
        return answer

    def _get_schema_url(self, request: Request) -> str:
        return "../schema/"

    @staticmethod
    def _swagger_ui_resource(filename: str) -> str:
        return static(f"drf_spectacular_sidecar/swagger-ui-dist/{filename}")

    @staticmethod
    def _swagger_ui_favicon() -> Any:
        return static("drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png")
