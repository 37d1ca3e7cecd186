from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from tagging import api, sweep_api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/posts/<str:post_id>/suggestions/", api.PostSuggestionsView.as_view(), name="booru-post-suggestions"),
    path("api/posts/<str:post_id>/decisions/", api.PostDecisionsView.as_view(), name="booru-post-decisions"),
    path("api/suggestions/<int:suggestion_id>/accept/", api.AcceptView.as_view(), name="booru-suggestion-accept"),
    path("api/suggestions/<int:suggestion_id>/reject/", api.RejectView.as_view(), name="booru-suggestion-reject"),
    path("api/tag-decisions/<int:decision_id>/undo/", api.UndoView.as_view(), name="booru-tag-decision-undo"),
    path("api/sweeps/", sweep_api.SweepsView.as_view(), name="booru-sweeps"),
    path("api/sweeps/<int:sweep_id>/", sweep_api.SweepView.as_view(), name="booru-sweep"),
    path("api/sweeps/<int:sweep_id>/pause/", sweep_api.PauseView.as_view(), name="booru-sweep-pause"),
    path("api/sweeps/<int:sweep_id>/resume/", sweep_api.ResumeView.as_view(), name="booru-sweep-resume"),
    path("api/sweeps/<int:sweep_id>/cancel/", sweep_api.CancelView.as_view(), name="booru-sweep-cancel"),
    path("api/sweeps/<int:sweep_id>/undo/", sweep_api.UndoView.as_view(), name="booru-sweep-undo"),
]
for _list, _category in (("characters", "character"), ("artists", "artist")):
    urlpatterns.append(
        path(
            f"api/{_list}/<int:subject_id>/sweep/",
            sweep_api.SubjectSweepView.as_view(category=_category),
            name=f"booru-{_category}-sweep",
        )
    )
