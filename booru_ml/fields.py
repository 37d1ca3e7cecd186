"""What bodies of several apps are made of."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import ISO_8601, serializers

from booru_ml.errors import NotFound
from booru_ml.http import post_key


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string"}], "description": "The board's own post id."})
class PostKeyField(serializers.Field[Any, Any, Any, Any]):
    """A post id in a body: a number where the board counts its posts, else text (UUIDs and the like)."""

    def to_representation(self, value: Any) -> int | str:
        return value if isinstance(value, int) else str(value)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, int | str):
            raise serializers.ValidationError("A post id is a number or text.")
        try:
            return post_key(data)
        except NotFound as error:
            raise serializers.ValidationError(error.message, "does_not_exist") from None


class Moment(serializers.DateTimeField):
    """A point in time as ISO 8601, whatever format the host prefers."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format=ISO_8601, **kwargs)


@extend_schema_field({"type": "string", "nullable": True})
class Username(serializers.Field[Any, Any, Any, Any]):
    """A user by name; null where nobody did it, or the account is gone."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, allow_null=True, **kwargs)

    def to_representation(self, value: Any) -> str:
        return str(value.get_username())


class FaceBoxSerializer(serializers.Serializer[Any]):
    """A face, as fractions (0–1) of the picture's width and height."""

    x = serializers.FloatField()
    y = serializers.FloatField()
    width = serializers.FloatField()
    height = serializers.FloatField()
