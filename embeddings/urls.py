from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from embeddings import api, gallery_api, search_api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/posts/<str:post_id>/similar/", api.SimilarView.as_view(), name="booru-post-similar"),
    path("api/similar/", search_api.FindView.as_view(), name="booru-similar"),
    path("api/gallery/changes/", gallery_api.ChangesView.as_view(), name="booru-gallery-changes"),
    path("api/gallery/changes/<int:change_id>/undo/", gallery_api.UndoView.as_view(), name="booru-gallery-undo"),
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
        path(
            f"api/{_list}/preview/",
            gallery_api.PreviewView.as_view(category=_category),
            name=f"booru-{_category}-preview",
        ),
        path(
            f"api/{_list}/<int:subject_id>/health/",
            gallery_api.HealthView.as_view(category=_category),
            name=f"booru-{_category}-health",
        ),
        path(
            f"api/{_list}/<int:subject_id>/merge/",
            gallery_api.MergeView.as_view(category=_category),
            name=f"booru-{_category}-merge",
        ),
        path(
            f"api/{_list}/<int:subject_id>/split/",
            gallery_api.SplitView.as_view(category=_category),
            name=f"booru-{_category}-split",
        ),
    ]
