"""The queue over HTTP, for moderators. Rules and mutations live in ``services``."""

from __future__ import annotations

from typing import Any

from rest_framework import permissions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from booru_ml.errors import NotFound
from booru_ml.http import ApiView, Cursor, Nothing, read_body, read_query
from booru_ml.openapi import extend_schema
from moderation import selectors, services
from moderation.models import Decision
from moderation.permissions import may_decide, may_view
from moderation.serializers import (
    ANY,
    ApproveBody,
    CaseBulkOutcomeSerializer,
    CaseDecisionSerializer,
    CaseOutcomeSerializer,
    CaseSerializer,
    DecideManyBody,
    NextBody,
    QueueQuery,
    RejectBody,
)


class Moderators(permissions.IsAuthenticated):
    """Reading takes the right to view cases, every verb the right to decide them."""

    message = "Only moderators see and decide the queue."

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        return may_view(request.user) if request.method in permissions.SAFE_METHODS else may_decide(request.user)


class QueuePages(Cursor):
    ordering = ("-priority", "id")  # type: ignore[assignment]


class QueueView(ApiView):
    """Cases, the most valuable look first; open ones unless another state is asked for."""

    permission_classes = (Moderators,)
    pagination_class = QueuePages

    @extend_schema(parameters=[QueueQuery], responses=CaseSerializer(many=True))
    def get(self, request: Request) -> Response:
        query = read_query(request, QueueQuery)
        held = query.get("held")
        cases = selectors.queue(
            state=None if query["state"] == ANY else query["state"],
            reason=query.get("reason"),
            held_by=request.user.pk if held == "mine" else None,
            free_for=request.user.pk if held == "free" else None,
        )
        return self.page(cases.select_related("claimed_by"), CaseSerializer, views=selectors.items)


class CaseView(ApiView):
    """One case with all there is to see of it."""

    permission_classes = (Moderators,)

    @extend_schema(responses=CaseSerializer)
    def get(self, request: Request, case_id: int) -> Response:
        return _case(case_id)


class CaseDecisionsView(ApiView):
    """Everything that was ever decided on a case, newest first."""

    permission_classes = (Moderators,)
    pagination_class = Cursor

    @extend_schema(responses=CaseDecisionSerializer(many=True))
    def get(self, request: Request, case_id: int) -> Response:
        selectors.item(case_id)
        return self.page(Decision.objects.filter(case_id=case_id).select_related("actor"), CaseDecisionSerializer)


class NextView(ApiView):
    """Claims the most valuable free case; 404 where there is none."""

    permission_classes = (Moderators,)

    @extend_schema(request=NextBody, responses=CaseSerializer)
    def post(self, request: Request) -> Response:
        body = read_body(request, NextBody)
        case = services.claim_next(actor=request.user, reason=body.get("reason"))
        if case is None:
            raise NotFound("No case waits that nobody else looks at.", code="queue_empty")
        return _case(case.pk)


class ClaimView(ApiView):
    """Says “I am looking at this” for a short while, or renews that; nobody else may decide meanwhile."""

    permission_classes = (Moderators,)

    @extend_schema(request=Nothing, responses=CaseSerializer)
    def post(self, request: Request, case_id: int) -> Response:
        read_body(request, Nothing)
        return _case(services.claim(case_id=case_id, actor=request.user).pk)


class ReleaseView(ApiView):
    """Gives a claim back."""

    permission_classes = (Moderators,)

    @extend_schema(request=Nothing, responses=CaseSerializer)
    def post(self, request: Request, case_id: int) -> Response:
        read_body(request, Nothing)
        return _case(services.release(case_id=case_id, actor=request.user).pk)


class ApproveView(ApiView):
    """The post becomes active; suggestions named in the body are accepted along with it."""

    permission_classes = (Moderators,)

    @extend_schema(request=ApproveBody, responses=CaseOutcomeSerializer)
    def post(self, request: Request, case_id: int) -> Response:
        body = read_body(request, ApproveBody)
        decision = services.approve(
            case_id=case_id,
            actor=request.user,
            version=body.get("version"),
            note=body["note"],
            suggestion_ids=body.get("suggestions", ()),
        )
        return _outcome(decision)


class RejectView(ApiView):
    """The post becomes deleted on the board."""

    permission_classes = (Moderators,)

    @extend_schema(request=RejectBody, responses=CaseOutcomeSerializer)
    def post(self, request: Request, case_id: int) -> Response:
        body = read_body(request, RejectBody)
        decision = services.reject(case_id=case_id, actor=request.user, version=body.get("version"), note=body["note"])
        return _outcome(decision)


class DecideManyView(ApiView):
    """Approves or rejects many cases; one that is refused stops no other."""

    permission_classes = (Moderators,)

    @extend_schema(request=DecideManyBody, responses=CaseBulkOutcomeSerializer)
    def post(self, request: Request) -> Response:
        body = read_body(request, DecideManyBody)
        outcome = services.decide_many(
            verb=body["verb"],
            cases=[(case["id"], case.get("version")) for case in body["cases"]],
            actor=request.user,
            note=body["note"],
        )
        refused = [{"id": pk, "code": error.code, "message": error.message} for pk, error in outcome.refused]
        return Response(CaseBulkOutcomeSerializer({"decisions": outcome.done, "refused": refused}).data)


class UndoView(ApiView):
    """Takes the last decision on a case back: the post gets its real former status."""

    permission_classes = (Moderators,)

    @extend_schema(request=Nothing, responses=CaseOutcomeSerializer)
    def post(self, request: Request, decision_id: int) -> Response:
        read_body(request, Nothing)
        return _outcome(services.undo(decision_id=decision_id, actor=request.user))


def _case(case_id: int) -> Response:
    return Response(CaseSerializer(selectors.item(case_id)).data)


def _outcome(decision: Decision) -> Response:
    body: dict[str, Any] = {"decision": decision, "case": selectors.item(decision.case_id)}
    return Response(CaseOutcomeSerializer(body).data)
