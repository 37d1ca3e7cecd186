from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("booru/", include("moderation.urls")),
    path("", include("deploy.demo.board.urls")),
]
