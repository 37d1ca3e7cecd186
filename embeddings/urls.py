from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from embeddings import api, search_api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/posts/<str:post_id>/similar/", api.SimilarView.as_view(), name="booru-post-similar"),
    path("api/similar/", search_api.FindView.as_view(), name="booru-similar"),
]
for _list, _category in (("characters", "character"), ("artists", "artist")):
    urlpatterns += [
        path(f"api/{_list}/", api.SubjectsView.as_view(category=_category), name=f"booru-{_list}"),
        path(f"api/{_list}/<int:subject_id>/", api.SubjectView.as_view(category=_category), name=f"booru-{_category}"),
        path(
            f"api/{_list}/<int:subject_id>/support/",
            api.SupportsView.as_view(category=_category),
            name=f"booru-{_category}-support",
        ),
        path(
            f"api/{_list}/<int:subject_id>/support/<int:support_id>/",
            api.SupportView.as_view(category=_category),
            name=f"booru-{_category}-support-picture",
        ),
    ]
