"""Everything of ours under one address: a host writes ``path("booru/", include("moderation.urls"))``."""

from __future__ import annotations

from django.apps import apps
from django.urls import URLPattern, URLResolver, path, re_path

import booru_ml.urls
import embeddings.urls
import moderation.api_urls
import tagging.urls
from booru_ml.docs import DocsView, SchemaView
from booru_ml.http import NotFoundView

urlpatterns: list[URLPattern | URLResolver] = [
    *booru_ml.urls.urlpatterns,
    *embeddings.urls.urlpatterns,
    *tagging.urls.urlpatterns,
    *moderation.api_urls.urlpatterns,
    path("api/schema/", SchemaView.as_view(urlconf="moderation.urls"), name="booru-schema"),
]
# The page's template and scripts come from these two apps; without them the schema alone is served.
if apps.is_installed("drf_spectacular") and apps.is_installed("drf_spectacular_sidecar"):
    urlpatterns.append(path("api/docs/", DocsView.as_view(), name="booru-docs"))
urlpatterns.append(re_path(r"^api/", NotFoundView.as_view()))
