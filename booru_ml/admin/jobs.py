"""Jobs, backfills and workers as lists: for looking something up, and for running ticked jobs again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from booru_ml.admin.forms import number
from booru_ml.admin.read_only import ReadOnly
from booru_ml.conf import post_model
from booru_ml.errors import InvalidInput, NotFound
from booru_ml.http import post_key
from booru_ml.models import AnalysisJob, Backfill, Worker
from booru_ml.pipeline import outbox

if TYPE_CHECKING:
    JobAdminBase = admin.ModelAdmin[AnalysisJob]
    BackfillAdminBase = admin.ModelAdmin[Backfill]
    WorkerAdminBase = admin.ModelAdmin[Worker]
else:
    JobAdminBase = BackfillAdminBase = WorkerAdminBase = admin.ModelAdmin


class CodeFilter(admin.SimpleListFilter):
    """Codes of failures; looked up in their own small index, not in every row."""

    title = "code"
    parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        jobs = AnalysisJob.objects.order_by()
        codes = {*jobs.failed().values_list("code", flat=True).distinct()}
        codes |= {*jobs.retried().values_list("code", flat=True).distinct()}
        return [(code, code) for code in sorted(codes - {""})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AnalysisJob]) -> QuerySet[AnalysisJob]:
        return queryset.filter(code=self.value()) if self.value() else queryset


def post_link(post_id: Any) -> SafeString | str:
    """The board's own admin page of a post, where there is one."""
    try:
        meta = apps.get_model(post_model())._meta
        address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[post_id])
    except NoReverseMatch:
        return str(post_id)
    return format_html('<a href="{}">{}</a>', address, post_id)


@admin.register(AnalysisJob)
class JobAdmin(ReadOnly, JobAdminBase):
    list_display = ("id", "post_link", "state", "priority", "attempts", "reason", "created_at", "finished_at")
    list_filter = ("state", "priority", CodeFilter)
    search_fields = ("id",)
    search_help_text = "Job or post number, hash of the file, or code of a reason"
    ordering = ("-id",)
    actions = ("run_again",)
    list_per_page = 50

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AnalysisJob], search_term: str
    ) -> tuple[QuerySet[AnalysisJob], bool]:
        """A number goes by the keys' indexes alone: beside a text without one the database would read every row."""
        term = search_term.strip()
        try:
            found = Q(pk=number(term))
        except InvalidInput:
            found = Q(sha256=term.lower()) | Q(content_key=term) | Q(code=term)
        with suppress(NotFound):
            found |= Q(post=post_key(term))
        return queryset.filter(found) if term else queryset, False

    @admin.display(description="post")
    def post_link(self, job: AnalysisJob) -> SafeString | str:
        return post_link(job.post_id)

    @admin.display(description="reason", ordering="code")
    def reason(self, job: AnalysisJob) -> SafeString | str:
        if not job.code:
            return "–"
        text = job.message if len(job.message) <= 140 else job.message[:139] + "…"
        return format_html("<strong>{}</strong> {}", job.code, text)

    def has_rerun_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("booru_ml.change_analysisjob")

    @admin.action(description="Run again", permissions=["rerun"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[AnalysisJob]) -> None:
        asked = list(queryset.values_list("pk", flat=True))
        count = outbox.rerun(job_ids=asked)
        text = ngettext("%d job runs again.", "%d jobs run again.", count) % count
        if left := len(asked) - count:
            text += f" {left} were waiting or running already."
        self.message_user(request, text, messages.SUCCESS if count else messages.WARNING)


@admin.register(Backfill)
class BackfillAdmin(ReadOnly, BackfillAdminBase):
    list_display = ("id", "state", "wish", "passed", "queued", "left_refused", "pipeline_version", "created_at")
    list_filter = ("state",)
    ordering = ("-id",)


@admin.register(Worker)
class WorkerAdmin(ReadOnly, WorkerAdminBase):
    list_display = ("name", "pictures", "batches", "pipeline_version", "fault", "behind", "last_seen_at")
    ordering = ("name",)
