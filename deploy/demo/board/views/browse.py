"""Looking around: the grid, the list of tags, the about page."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from booru_ml.errors import BooruError
from deploy.demo.board import selectors
from deploy.demo.board.models import Post, Tag

PER_PAGE = 48
TAGS_PER_PAGE = 100


@require_safe
def post_list(request: HttpRequest) -> HttpResponse:
    text = " ".join(request.GET.get("tags", "").replace("\0", "").split())
    problem, per_page = "", PER_PAGE
    try:
        posts, query = selectors.search(text, viewer=request.user)
        per_page = max(1, min(query.limit or PER_PAGE, 200))
    except BooruError as error:
        posts, problem = Post.objects.none(), error.message
    page = Paginator(posts.prefetch_related("tags"), per_page).get_page(request.GET.get("page"))
    context = {
        "search": text,
        "problem": problem,
        "page": page,
        "pages": page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1),
        "groups": selectors.sidebar([post.pk for post in page]),
    }
    return render(request, "board/post_list.html", context, status=422 if problem else 200)


@require_safe
def tag_list(request: HttpRequest) -> HttpResponse:
    name = request.GET.get("name", "").replace("\0", "").strip().lower().replace(" ", "_")
    tags = Tag.objects.filter(post_count__gt=0).order_by("-post_count", "name")
    if name:
        tags = tags.filter(name__like=selectors.pattern(name if "*" in name else f"*{name}*"))
    category = request.GET.get("category", "")
    if category in {str(value) for value in Tag.Category.values}:
        tags = tags.filter(category=int(category))
    page = Paginator(tags, TAGS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "pages": page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1),
        "name": name,
        "category": category,
        "categories": Tag.Category.choices,
    }
    return render(request, "board/tag_list.html", context)


@require_safe
def about(request: HttpRequest) -> HttpResponse:
    return render(request, "board/about.html")
