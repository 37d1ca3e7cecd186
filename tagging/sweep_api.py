"""Searches of old posts over HTTP: ordered, watched, stopped and taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from booru_ml.errors import NotFound
from booru_ml.fields import Moment, Username
from booru_ml.http import ApiView, Cursor, Nothing, StrictSerializer, read_body, requires
from booru_ml.openapi import extend_schema
from embeddings.selectors import ENROL, subject
from tagging import sweeps
from tagging.models import Sweep


class SweepBody(StrictSerializer):
    threshold = serializers.FloatField(
        min_value=0,
        max_value=1,
        required=False,
        help_text="The least probability that is suggested; the gallery's own bar without.",
    )


class SweepSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    subject = serializers.IntegerField(source="subject_id")
    name = serializers.CharField()
    category = serializers.CharField()
    threshold = serializers.FloatField()
    state = serializers.ChoiceField(choices=Sweep.State.choices)
    total = serializers.IntegerField(help_text="Posts to pass.")
    passed = serializers.IntegerField()
    compared = serializers.IntegerField(help_text="Passed posts that are analysed.")
    suggested = serializers.IntegerField(help_text="New suggestions.")
    withdrawn = serializers.IntegerField(help_text="Open suggestions that are not supported any more.")
    taken_back = serializers.IntegerField(help_text="Changes that an undo took back.")
    fault = serializers.CharField()
    actor = Username()
    created_at = Moment()
    finished_at = Moment(allow_null=True)


class SweepsView(ApiView):
    permission_classes = (requires(ENROL, safe=False),)
    pagination_class = Cursor

    @extend_schema(responses=SweepSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Searches of old posts, the latest first."""
        return self.page(Sweep.objects.select_related("actor"), SweepSerializer)


class SweepView(ApiView):
    permission_classes = (requires(ENROL, safe=False),)

    @extend_schema(responses=SweepSerializer)
    def get(self, request: Request, sweep_id: int) -> Response:
        """How far a search is."""
        row = Sweep.objects.select_related("actor").filter(pk=sweep_id).first()
        if row is None:
            raise NotFound("There is no such search.")
        return Response(SweepSerializer(row).data)


class SubjectSweepView(ApiView):
    permission_classes = (requires(ENROL),)
    category: str = "character"

    @extend_schema(request=SweepBody, responses={201: SweepSerializer})
    def post(self, request: Request, subject_id: int) -> Response:
        """Looks for it on every post, in the background; what it finds becomes suggestions."""
        found, body = subject(subject_id, category=self.category), read_body(request, SweepBody)
        order = sweeps.begin(subject_id=found.pk, threshold=body.get("threshold"), actor=request.user)
        order.refresh_from_db()
        return Response(SweepSerializer(order).data, status=201)


class TurnView(ApiView):
    permission_classes = (requires(ENROL),)
    turn: Callable[..., Sweep]

    @extend_schema(request=Nothing, responses=SweepSerializer)
    def post(self, request: Request, sweep_id: int) -> Response:
        read_body(request, Nothing)
        return Response(SweepSerializer(type(self).turn(sweep_id=sweep_id, actor=request.user)).data)


class PauseView(TurnView):
    """Stops until it is resumed."""

    turn = staticmethod(sweeps.pause)


class ResumeView(TurnView):
    """Goes on where it stopped."""

    turn = staticmethod(sweeps.resume)


class CancelView(TurnView):
    """Ends it; what it suggested stays until it is undone."""

    turn = staticmethod(sweeps.cancel)


class UndoView(TurnView):
    """Takes back as a whole what it changed, in the background; decisions made meanwhile stay."""

    turn = staticmethod(sweeps.undo)
