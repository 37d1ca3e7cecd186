from django.contrib.auth import views as accounts
from django.templatetags.static import static as staticfile
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from deploy.demo.board.views import browse, media, post, upload

urlpatterns = [
    path("", browse.post_list, name="home"),
    path("posts", browse.post_list, name="post-list"),
    path("posts/new", upload.upload, name="post-upload"),
    path("posts/<int:post_id>", post.detail, name="post-detail"),
    path("posts/<int:post_id>/insight", post.insight, name="post-insight"),
    path("posts/<int:post_id>/similar", post.similar, name="post-similar"),
    path("posts/<int:post_id>/teach", post.teach, name="post-teach"),
    path("posts/<int:post_id>/edit", post.edit, name="post-edit"),
    path("posts/<int:post_id>/suggestions/<int:suggestion_id>", post.decide, name="post-decide"),
    path("posts/<int:post_id>/decisions/<int:decision_id>/undo", post.undo, name="post-undo"),
    path("tags", browse.tag_list, name="tag-list"),
    path("about", browse.about, name="about"),
    path("login", accounts.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout", accounts.LogoutView.as_view(), name="logout"),
    re_path(
        r"^media/posts/[0-9a-f]{2}/[0-9a-f]{2}/(?P<sha256>[0-9a-f]{64})\.(?P<ext>[a-z0-9]{1,8})$",
        media.picture,
        name="picture",
    ),
    re_path(r"^media/previews/(?P<sha256>[0-9a-f]{64})\.webp$", media.preview, name="preview"),
    path("favicon.ico", RedirectView.as_view(url=staticfile("board/icon.svg"))),
    path("", include("deploy.demo.board.danbooru.urls")),
]
