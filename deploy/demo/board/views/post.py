"""A post's page, and what people do there. Every verb is a plain form; scripts only save the reload."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from booru_ml.errors import BooruError, NotFound, Unavailable
from deploy.demo.board import insight as insights
from deploy.demo.board import selectors, services, tagnames
from deploy.demo.board.forms import EditForm
from deploy.demo.board.models import Post
from deploy.demo.board.sniff import CONTENT_TYPES
from embeddings import services as embeddings
from embeddings.types import SupportRef
from tagging import services as tagging

SIMILAR = 12


def _visible(request: HttpRequest, post_id: int) -> Post:
    post = selectors.find_visible(post_id, viewer=request.user)
    if post is None:
        raise Http404("There is no such post.")
    return post


@require_safe
def detail(request: HttpRequest, post_id: int) -> HttpResponse:
    return _page(request, _visible(request, post_id))


def _page(request: HttpRequest, post: Post, *, form: EditForm | None = None, status: int = 200) -> HttpResponse:
    tags = " ".join(sorted(tag.name for tag in post.tags.all()))
    values = {"tags": tags, "tags_before": tags, "rating": post.rating, "source": post.source}
    search = " ".join(request.GET.get("q", "").replace("\0", "").split())
    context = {
        "post": post,
        "search": search,
        "groups": selectors.grouped(sorted(post.tags.all(), key=lambda tag: tag.name)),
        "insight": insights.of(post, viewer=request.user),
        "form": form or EditForm(initial=values),
        "edit_open": form is not None,
        "ratings": Post.Rating.choices,
        "is_picture": post.file_ext in CONTENT_TYPES,
        "may_edit": request.user.has_perm("board.change_post"),
        "may_teach": request.user.has_perm("booru_embeddings.enrol_subject"),
    }
    return render(request, "board/post_detail.html", context, status=status)


@require_safe
def insight(request: HttpRequest, post_id: int) -> HttpResponse:
    """The suggestions' part of the page alone, for polling while the analysis runs."""
    post = _visible(request, post_id)
    context = {"post": post, "insight": insights.of(post, viewer=request.user)}
    response = render(request, "board/_insight.html", context)
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def similar(request: HttpRequest, post_id: int) -> HttpResponse:
    """Posts that look alike, as a part that the page asks for after it has been shown."""
    post = _visible(request, post_id)
    try:
        near = embeddings.near(post_id=post.pk, limit=SIMILAR)
    except (NotFound, Unavailable):
        # Not analysed yet, or never, or a vector store that is away: nothing looks alike so far.
        near = ()
    found = {item.post_id: item.similarity for item in near}
    posts = {item.pk: item for item in selectors.living(found, viewer=request.user)}
    neighbours = [(posts[pk], max(0.0, likeness)) for pk, likeness in found.items() if pk in posts]
    return render(request, "board/_similar.html", {"neighbours": neighbours})


@login_required
@require_POST
def edit(request: HttpRequest, post_id: int) -> HttpResponse:
    form = EditForm(request.POST)
    if form.is_valid():
        try:
            services.edit(post_id=post_id, actor=cast(Any, request.user), **form.cleaned_data)
        except BooruError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, "Saved.")
            return redirect("post-detail", post_id)
    return _page(request, _visible(request, post_id), form=form, status=422)


@permission_required("booru_embeddings.enrol_subject", raise_exception=True)
@require_POST
def teach(request: HttpRequest, post_id: int) -> HttpResponse:
    """Enrols the post's picture as showing a character or as an artist's work."""
    post = _visible(request, post_id)
    try:
        name = tagnames.normalise(request.POST.get("name", ""))
        subject = embeddings.enrol(
            name=name, category=request.POST.get("category", ""), posts=[SupportRef(post.pk)], actor=request.user
        )
    except BooruError as error:
        messages.error(request, error.message)
    else:
        count = subject.supports.filter(positive=True).count()
        messages.success(request, f"{subject.name} is known by {count} picture{'s' * (count != 1)} now.")
    return redirect(post)


@login_required
@require_POST
def decide(request: HttpRequest, post_id: int, suggestion_id: int) -> HttpResponse:
    _visible(request, post_id)
    verbs = {"accept": tagging.accept, "reject": tagging.reject}
    verb = verbs.get(request.POST.get("verb", ""))
    if verb is None:
        messages.error(request, "Choose accept or reject.")
        return redirect("post-detail", post_id)
    try:
        verb(suggestion_id=suggestion_id, actor=request.user)
    except BooruError as error:
        messages.error(request, error.message)
    return redirect("post-detail", post_id)


@login_required
@require_POST
def undo(request: HttpRequest, post_id: int, decision_id: int) -> HttpResponse:
    _visible(request, post_id)
    try:
        tagging.undo(decision_id=decision_id, actor=request.user)
    except BooruError as error:
        messages.error(request, error.message)
    return redirect("post-detail", post_id)
