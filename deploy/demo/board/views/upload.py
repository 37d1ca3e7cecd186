"""The upload page: a plain form that takes several files; scripts send one file per request and ask for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from booru_ml.errors import BooruError
from deploy.demo.board import services
from deploy.demo.board.forms import UploadForm
from deploy.demo.board.models import Post


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file. ``name`` is the uploader's own and only ever shown back to them, escaped."""

    name: str
    post: Post | None = None
    error: BooruError | None = None

    def as_json(self) -> tuple[dict[str, Any], int]:
        if self.post is not None:
            return {"id": self.post.pk, "url": self.post.get_absolute_url(), "sha256": self.post.sha256}, 201
        error = cast(BooruError, self.error)
        return {"code": error.code, "message": error.message, "extra": error.extra}, error.status


def wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, "board/upload.html", {"form": UploadForm(), "ratings": Post.Rating.choices})
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        if wants_json(request):
            message = next(iter(form.errors.values()))[0]
            return JsonResponse(
                {"code": "invalid", "message": message, "extra": form.errors.get_json_data()}, status=400
            )
        return render(request, "board/upload.html", {"form": form, "ratings": Post.Rating.choices}, status=400)
    outcomes = [_upload(request, form, file) for file in form.cleaned_data["file"]]
    if wants_json(request):
        body, status = outcomes[0].as_json()
        return JsonResponse(body, status=status)
    if len(outcomes) == 1 and outcomes[0].post:
        return redirect(outcomes[0].post)
    context = {"form": form, "ratings": Post.Rating.choices, "outcomes": outcomes}
    return render(request, "board/upload.html", context, status=200 if all(item.post for item in outcomes) else 422)


def _upload(request: HttpRequest, form: UploadForm, file: UploadedFile[Any]) -> Outcome:
    name = file.name or "file"
    try:
        post = services.upload(
            uploader=cast(Any, request.user),
            file=file,
            tags=form.cleaned_data["tags"],
            rating=form.cleaned_data["rating"],
            source=form.cleaned_data["source"],
        )
    except BooruError as error:
        return Outcome(name, error=error)
    return Outcome(name, post=post)
