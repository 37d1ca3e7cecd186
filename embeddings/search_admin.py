"""Find by picture: upload one, see which posts look like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from booru_ml.admin.read_only import ReadOnly
from booru_ml.errors import BooruError
from embeddings import queries, selectors, services
from embeddings.models import PictureQuery, Vector

if TYPE_CHECKING:
    FindAdminBase = admin.ModelAdmin[PictureQuery]
else:
    FindAdminBase = admin.ModelAdmin

PAGE = "admin/booru_embeddings/picturequery/page.html"
SHOWN = 40


class FindForm(forms.Form):
    picture = forms.FileField(
        widget=forms.ClearableFileInput(attrs={"accept": "image/*"}), help_text="JPEG, PNG, GIF, WebP or AVIF"
    )
    kind = forms.ChoiceField(
        label="Compare", choices=[("picture", "the picture"), ("style", "its style"), ("face", "a face in it")]
    )
    face = forms.IntegerField(label="Which face", min_value=1, max_value=1000, initial=1, help_text="from the left")

    def clean_picture(self) -> bytes:
        file = self.cleaned_data["picture"]
        try:
            queries.check_size(file.size)
        except BooruError as error:
            raise forms.ValidationError(error.message) from error
        return bytes(file.read())


@admin.register(PictureQuery)
class FindAdmin(ReadOnly, FindAdminBase):
    """The rows themselves live for seconds and hold somebody's picture: they are nobody's to look at."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True  # whoever may enter the admin; the API asks for no more either

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None

    def get_urls(self) -> list[URLPattern]:
        view = never_cache(self.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(self.page)))
        # Workers have to see the query while the page waits for them.
        return [path("", transaction.non_atomic_requests(view), name="booru_embeddings_picturequery_changelist")]

    def page(self, request: HttpRequest) -> HttpResponse:
        form = FindForm(request.POST or None, request.FILES or None)
        context: dict[str, Any] = {"form": form, "opts": self.opts, "title": "Find by picture"}
        status = 200
        if form.is_valid():
            try:
                context |= _answer(form.cleaned_data, request.user)
            except BooruError as error:
                context["problem"], status = error.message, error.status
        context |= self.admin_site.each_context(request)
        return TemplateResponse(request, PAGE, context, status=status)


def _answer(wish: dict[str, Any], viewer: Any) -> dict[str, Any]:
    found = services.find_by_picture(
        wish["picture"],
        asker=str(viewer.pk),
        kind=wish["kind"],
        number=wish["face"] - 1 if wish["kind"] == Vector.Kind.FACE else 0,
        limit=SHOWN,
    )
    views = selectors.similar_views(found.neighbours, viewer=viewer, twins=found.twins)
    return {
        "found": [(view, max(0.0, 100 * view.similarity)) for view in views],
        "duplicates": sum(view.duplicate for view in views),
        "faces": len(found.boxes),
    }
