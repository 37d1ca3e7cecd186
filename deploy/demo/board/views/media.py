"""Uploaded files on their way out: never a type that a browser would run."""

from __future__ import annotations

from pathlib import Path

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.shortcuts import redirect
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from deploy.demo.board import previews
from deploy.demo.board.models import Post
from deploy.demo.board.sniff import CONTENT_TYPES, UNKNOWN_TYPE


@require_safe
def picture(request: HttpRequest, sha256: str, ext: str) -> HttpResponseBase:
    """The file with the type its own first bytes gave; what is no picture is handed out as a download only."""
    post = _visible(request, sha256, ext)
    return _serve(request, Path(post.picture.path), f"{sha256}.{ext}", CONTENT_TYPES.get(ext, UNKNOWN_TYPE))


@require_safe
def preview(request: HttpRequest, sha256: str) -> HttpResponseBase:
    """A small WebP for grids; a stand-in for files that cannot be read."""
    made = previews.preview(_visible(request, sha256))
    if made is None:
        return redirect(static("board/nopreview.svg"))
    return _serve(request, made, f"{sha256}-preview.webp", "image/webp")


def _visible(request: HttpRequest, sha256: str, ext: str | None = None) -> Post:
    post = Post.objects.visible_to(request.user).filter(sha256=sha256).first()
    if post is None or (ext is not None and post.file_ext != ext):
        raise Http404("There is no such picture.")
    return post


def _serve(request: HttpRequest, path: Path, name: str, kind: str) -> HttpResponseBase:
    tag = f'"{name}"'
    response: HttpResponseBase
    try:
        if request.headers.get("If-None-Match") == tag:
            response = HttpResponseNotModified()
        elif request.method == "HEAD":
            response = HttpResponse(headers={"Content-Length": str(path.stat().st_size)})
        else:
            response = FileResponse(path.open("rb"))
    except FileNotFoundError:
        raise Http404("The picture's file is missing.") from None
    response["Content-Type"] = kind
    response["Content-Disposition"] = f'{"attachment" if kind == UNKNOWN_TYPE else "inline"}; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, max-age=3600"
    response["ETag"] = tag
    return response
