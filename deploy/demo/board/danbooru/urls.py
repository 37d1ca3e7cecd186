from django.urls import path, re_path

from deploy.demo.board.danbooru import views

urlpatterns = [
    path("posts.json", views.posts),
    path("posts/random.json", views.random_post),
    path("posts/<int:post_id>.json", views.post),
    path("counts/posts.json", views.counts),
    path("tags.json", views.tags),
    path("tags/<int:tag_id>.json", views.tag),
    path("related_tag.json", views.related_tag, name="danbooru-related"),
    path("autocomplete.json", views.autocomplete, name="danbooru-autocomplete"),
    re_path(r"^(?P<path>(?!booru/)[\w/-]+\.json)$", views.unknown),
]
