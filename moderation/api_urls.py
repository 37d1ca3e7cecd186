"""The queue's own addresses; ``moderation.urls`` gathers them with those of the other apps."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from moderation import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/queue/", api.QueueView.as_view(), name="booru-queue"),
    path("api/queue/next/", api.NextView.as_view(), name="booru-queue-next"),
    path("api/queue/decide/", api.DecideManyView.as_view(), name="booru-queue-decide"),
    path("api/queue/<int:case_id>/", api.CaseView.as_view(), name="booru-case"),
    path("api/queue/<int:case_id>/claim/", api.ClaimView.as_view(), name="booru-case-claim"),
    path("api/queue/<int:case_id>/release/", api.ReleaseView.as_view(), name="booru-case-release"),
    path("api/queue/<int:case_id>/approve/", api.ApproveView.as_view(), name="booru-case-approve"),
    path("api/queue/<int:case_id>/reject/", api.RejectView.as_view(), name="booru-case-reject"),
    path("api/queue/<int:case_id>/decisions/", api.CaseDecisionsView.as_view(), name="booru-case-decisions"),
    path("api/decisions/<int:decision_id>/undo/", api.UndoView.as_view(), name="booru-decision-undo"),
]
