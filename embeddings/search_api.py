"""Similar posts by a picture that is sent along, over HTTP. Takes a log-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.decorators import method_decorator
from drf_spectacular.types import OpenApiTypes
from rest_framework import parsers, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from booru_ml.errors import InvalidInput
from booru_ml.fields import FaceBoxSerializer
from booru_ml.http import ApiView, StrictSerializer, read_body, read_query
from booru_ml.openapi import extend_schema
from embeddings import queries, selectors, services
from embeddings.api import SimilarQuery, SimilarSerializer

ENVELOPE = 64 * 2**10
"""Bytes that a multipart body may have beside the file."""


class PictureParser(parsers.BaseParser):
    """The file itself as the body; at most one byte more than is allowed."""

    media_type = "image/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        return stream.read(queries.limits().max_bytes + 1)


class BytesParser(PictureParser):
    media_type = "application/octet-stream"


class FileSerializer(StrictSerializer):
    """A picture to ask with."""

    file = serializers.FileField(allow_empty_file=True, help_text="JPEG, PNG, GIF, WebP or AVIF.")


class FoundPostSerializer(SimilarSerializer):
    duplicate = serializers.BooleanField(help_text="It shows the same picture, in this or another file.")


class FoundSerializer(serializers.Serializer[Any]):
    faces = FaceBoxSerializer(many=True, help_text="The faces in the picture sent; `number` counts them.")
    similar = FoundPostSerializer(many=True)


# The query has to be seen by workers while this request waits for them.
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class FindView(ApiView):
    parser_classes: Any = (parsers.MultiPartParser, PictureParser, BytesParser)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Too large a body is refused before anybody reads it."""
        said = request.META.get("CONTENT_LENGTH") or "0"
        queries.check_size(max(1, int(said) - ENVELOPE) if said.isdigit() else 1)
        super().initial(request, *args, **kwargs)

    @extend_schema(
        parameters=[SimilarQuery],
        request={"multipart/form-data": FileSerializer, "application/octet-stream": OpenApiTypes.BINARY},
        responses=FoundSerializer,
    )
    def post(self, request: Request) -> Response:
        """Posts that look like the picture sent. A worker looks at it, after the uploads that wait; nothing of it is
        kept. Send the file as the body, or as `file` of a form."""
        query = read_query(request, SimilarQuery)
        found = services.find_by_picture(
            _picture(request),
            asker=str(request.user.pk),
            kind=query["kind"],
            number=query["number"],
            limit=query["limit"],
        )
        views = selectors.similar_views(found.neighbours, viewer=request.user, twins=found.twins)
        return Response(FoundSerializer({"faces": found.boxes, "similar": views}).data)


def _picture(request: Request) -> bytes:
    body: Any = request.data
    if isinstance(body, bytes):
        return body
    if not body:
        raise InvalidInput("Send a picture: the file as the body, or as `file` of a multipart form.")
    file = read_body(request, FileSerializer)["file"]
    queries.check_size(file.size)
    return bytes(file.read())
