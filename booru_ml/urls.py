"""Included by ``moderation.urls`` with everything else; a host that wants the pipeline alone includes this."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from booru_ml import api, health

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="booru-healthz"),
    path("readyz", health.readyz, name="booru-readyz"),
    path("metrics", health.metrics, name="booru-metrics"),
    path("api/jobs/", api.JobsView.as_view(), name="booru-jobs"),
    path("api/jobs/<int:job_id>/rerun/", api.RerunView.as_view(), name="booru-job-rerun"),
]
