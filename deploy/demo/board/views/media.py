"""Uploaded files on their way out: never a type that a browser would run."""

from __future__ import annotations

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.views.decorators.http import require_safe

from deploy.demo.board.models import Post
from deploy.demo.board.sniff import CONTENT_TYPES, UNKNOWN_TYPE


@require_safe
def picture(request: HttpRequest, sha256: str, ext: str) -> HttpResponseBase:
    """The file with the type its own first bytes gave; what is no picture is handed out as a download only."""
    post = Post.objects.visible_to(request.user).filter(sha256=sha256, file_ext=ext).first()
    if post is None:
        raise Http404("There is no such picture.")
    tag = f'"{sha256}"'
    response: HttpResponseBase
    if request.headers.get("If-None-Match") == tag:
        response = HttpResponseNotModified()
    elif request.method == "HEAD":
        response = HttpResponse(headers={"Content-Length": str(post.file_size)})
    else:
        try:
            response = FileResponse(post.picture.open("rb"))
        except FileNotFoundError:
            raise Http404("The picture's file is missing.") from None
    inline = ext in CONTENT_TYPES
    response["Content-Type"] = CONTENT_TYPES.get(ext, UNKNOWN_TYPE)
    response["Content-Disposition"] = f'{"inline" if inline else "attachment"}; filename="{sha256}.{ext}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, max-age=3600"
    response["ETag"] = tag
    return response
