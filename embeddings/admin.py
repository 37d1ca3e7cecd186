"""Characters and artists in the admin; every change goes through ``services``.

A host may offer enrolment from its own list of posts::

    from embeddings.admin import enrol_selected

    class PostAdmin(admin.ModelAdmin):
        actions = [enrol_selected]
"""

from __future__ import annotations

from functools import reduce
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from booru_ml.errors import BooruError
from embeddings import selectors, services
from embeddings.models import Subject
from embeddings.search_admin import FindAdmin  # noqa: F401 - registers itself
from embeddings.services.references import MOST_POSTS
from embeddings.subject_admin import SubjectPages
from embeddings.types import SupportRef


@admin.action(description="Enrol as a character or artist…")
def enrol_selected(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    """An action for the host's own post admin: opens the form with the selected posts filled in."""
    if not request.user.has_perm(selectors.ENROL):
        model_admin.message_user(request, "You may not enrol characters and artists.", messages.ERROR)
        return None
    posts = " ".join(str(key) for key in queryset.values_list("pk", flat=True)[:MOST_POSTS])
    return HttpResponseRedirect(f"{reverse('admin:booru_embeddings_subject_add')}?{urlencode({'show': posts})}")


class SubjectForm(forms.ModelForm):  # type: ignore[type-arg]
    show = forms.CharField(
        label="Add pictures that show it",
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField", "placeholder": "12 13 14:0"}),
        help_text="Ids of posts. 14:0 means the first face (from the left) of post 14, where others are in it.",
    )
    show_not = forms.CharField(
        label="Add pictures that do not",
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Ids of posts that are mistaken for it.",
    )

    class Meta:
        model = Subject
        fields = ["name", "category", "enabled"]

    def clean_name(self) -> str:
        try:
            return services.clean_name(self.cleaned_data["name"])
        except BooruError as error:
            raise forms.ValidationError(error.message) from error

    def clean_show(self) -> tuple[SupportRef, ...]:
        found = _refs(self.cleaned_data["show"])
        if not found and not self.instance.pk:
            raise forms.ValidationError("Name at least one post that shows it.")
        return found

    def clean_show_not(self) -> tuple[SupportRef, ...]:
        return _refs(self.cleaned_data["show_not"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        category = cleaned.get("category") or self.instance.category
        bearer = services.named(cleaned["name"], category) if cleaned.get("name") else None
        if bearer is not None and bearer.pk != self.instance.pk:
            self.add_error("name", f"Another {category} is called that already; add the pictures there.")
        for name in ("show", "show_not"):
            try:
                services.speaking(cleaned.get(name) or [], category=category)
            except BooruError as error:
                self.add_error(name, error.message)
        return cleaned


@admin.register(Subject)
class SubjectAdmin(SubjectPages, admin.ModelAdmin):  # type: ignore[type-arg]
    form = SubjectForm
    list_display = ["name", "category", "enabled", "pictures", "not_pictures", "health", "created_by", "created_at"]
    list_filter = ["category", "enabled"]
    search_fields = ["name"]
    actions = ["enable", "disable"]
    fieldsets = [
        (None, {"fields": ["name", "category", "enabled"]}),
        (
            "Pictures",
            {
                "fields": ["show", "show_not"],
                "description": "A handful of different pictures (faces, costumes, angles) works best. "
                "The next upload is compared with them.",
            },
        ),
    ]

    def get_urls(self) -> list[URLPattern]:
        return [*self.page_urls(), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subject]:
        return selectors.subjects().order_by(*self.get_ordering(request) or ["category", "name"])

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Subject], search_term: str
    ) -> tuple[QuerySet[Subject], bool]:
        return reduce(selectors.bearing, search_term.split(), queryset), False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["category"] if obj else []

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """What only the write finds out (somebody else was faster) is told on the page as well."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except BooruError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Subject, form: Any, change: bool) -> None:
        wanted = form.cleaned_data
        if change:
            services.change(subject_id=obj.pk, name=wanted["name"], enabled=wanted["enabled"], actor=request.user)
            if wanted["show"]:
                services.add_support(subject_id=obj.pk, posts=wanted["show"], actor=request.user)
        else:
            made = services.enrol(
                name=obj.name,
                category=obj.category,
                posts=wanted["show"],
                actor=request.user,
                enabled=wanted["enabled"],
            )
            obj.pk = made.pk
            obj.refresh_from_db()
        if wanted["show_not"]:
            services.add_support(subject_id=obj.pk, posts=wanted["show_not"], positive=False, actor=request.user)

    def delete_model(self, request: HttpRequest, obj: Subject) -> None:
        services.withdraw(subject_id=obj.pk, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Subject]) -> None:
        for key in list(queryset.values_list("pk", flat=True)):
            services.withdraw(subject_id=key, actor=request.user)

    @admin.action(description="Compare new pictures with them", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Subject]) -> None:
        self._set(request, queryset, enabled=True)

    @admin.action(description="Do not compare new pictures with them", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Subject]) -> None:
        self._set(request, queryset, enabled=False)

    def _set(self, request: HttpRequest, queryset: QuerySet[Subject], *, enabled: bool) -> None:
        keys = list(queryset.values_list("pk", flat=True))
        for key in keys:
            services.set_enabled(subject_id=key, enabled=enabled, actor=request.user)
        self.message_user(request, f"{len(keys)} {'enabled' if enabled else 'disabled'}.", messages.SUCCESS)

    @admin.display(description="pictures and health")
    def health(self, row: Subject) -> SafeString:
        return format_html('<a href="{}">look</a>', reverse("admin:booru_embeddings_subject_pictures", args=[row.pk]))

    @admin.display(description="pictures", ordering="shows")
    def pictures(self, row: Any) -> int:
        return int(row.shows)

    @admin.display(description="not it", ordering="shows_not")
    def not_pictures(self, row: Any) -> int:
        return int(row.shows_not)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _may_look(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_look(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _may_enrol(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_enrol(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_enrol(request)


def _may_enrol(request: HttpRequest) -> bool:
    return bool(request.user.has_perm(selectors.ENROL))


def _may_look(request: HttpRequest) -> bool:
    return _may_enrol(request) or bool(request.user.has_perm("booru_embeddings.view_subject"))


def _refs(text: str) -> tuple[SupportRef, ...]:
    try:
        return services.parse_references(text)
    except BooruError as error:
        raise forms.ValidationError(error.message) from error
