"""Trials in the admin: a candidate beside the models in force, before it is promoted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from booru_ml.admin.read_only import ReadOnly
from booru_ml.models import Shadow
from tagging import trial

if TYPE_CHECKING:
    ShadowAdminBase = admin.ModelAdmin[Shadow]
else:
    ShadowAdminBase = admin.ModelAdmin

PAGE = "admin/booru_ml/shadow/page.html"


@admin.register(Shadow)
class ShadowAdmin(ReadOnly, ShadowAdminBase):
    list_display = ("candidate", "state", "share", "created_at", "ended_at", "fault")
    list_select_related = ("candidate",)
    ordering = ("-id",)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.row(request, object_id)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": f"Trial of {row.candidate}",
            "row": row,
            "report": trial.report(row),
        }
        return TemplateResponse(request, PAGE, context)
