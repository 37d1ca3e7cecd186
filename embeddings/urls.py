from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from embeddings import api, gallery_api, search_api

# Below one character or artist, the names without "booru-character-".
OF_ONE = (
    ("support/", api.SupportsView, "support"),
    ("support/<int:support_id>/", api.SupportView, "support-picture"),
    ("health/", gallery_api.HealthView, "health"),
    ("merge/", gallery_api.MergeView, "merge"),
    ("split/", gallery_api.SplitView, "split"),
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/posts/<str:post_id>/similar/", api.SimilarView.as_view(), name="booru-post-similar"),
    path("api/similar/", search_api.FindView.as_view(), name="booru-similar"),
    path("api/gallery/changes/", gallery_api.ChangesView.as_view(), name="booru-gallery-changes"),
    path("api/gallery/changes/<int:change_id>/undo/", gallery_api.UndoView.as_view(), name="booru-gallery-undo"),
]
for _list, _category in (("characters", "character"), ("artists", "artist")):
    _views = (
        ("", api.SubjectsView, f"booru-{_list}"),
        ("preview/", gallery_api.PreviewView, f"booru-{_category}-preview"),
        ("<int:subject_id>/", api.SubjectView, f"booru-{_category}"),
        *((f"<int:subject_id>/{end}", view, f"booru-{_category}-{name}") for end, view, name in OF_ONE),
    )
    urlpatterns += [
        path(f"api/{_list}/{end}", view.as_view(category=_category), name=name) for end, view, name in _views
    ]
