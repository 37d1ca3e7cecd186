"""The queue's own addresses; ``moderation.urls`` gathers them with those of the other apps."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
