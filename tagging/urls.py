from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from tagging import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/posts/<str:post_id>/suggestions/", api.PostSuggestionsView.as_view(), name="booru-post-suggestions"),
    path("api/posts/<str:post_id>/decisions/", api.PostDecisionsView.as_view(), name="booru-post-decisions"),
    path("api/suggestions/<int:suggestion_id>/accept/", api.AcceptView.as_view(), name="booru-suggestion-accept"),
    path("api/suggestions/<int:suggestion_id>/reject/", api.RejectView.as_view(), name="booru-suggestion-reject"),
    path("api/tag-decisions/<int:decision_id>/undo/", api.UndoView.as_view(), name="booru-tag-decision-undo"),
]
