"""A board that does to a plugin what Boorunaut does."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.db import models
from taggit.managers import TaggableManager
from taggit.models import GenericTaggedItemBase, TagBase

from booru_ml.host.model_board import ModelBoard
from tests.hosts.kit import Kit


class Category(models.Model):
    label = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.label


class PostTag(TagBase):
    category = models.ForeignKey(Category, null=True, on_delete=models.SET_NULL)


class TaggedPost(GenericTaggedItemBase):
    tag = models.ForeignKey(PostTag, on_delete=models.CASCADE, related_name="items")


class Post(models.Model):
    media = models.FileField(upload_to="data/media/", blank=True)
    preview = models.FileField(upload_to="data/preview/", blank=True)
    uploader = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    source = models.TextField(blank=True)
    tags = TaggableManager(through=TaggedPost, blank=True)
    tags_mirror = models.CharField(max_length=1000, blank=True)
    rating = models.IntegerField(default=0)
    status = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"#{self.pk}"

    def get_absolute_url(self) -> str:
        return f"/post/{self.pk}/"

    def check_and_update_mirror(self) -> None:
        self.tags_mirror = " ".join(sorted(self.tags.names()))
        self.save()


class PostForm(forms.ModelForm):
    class Meta:
        model = Post
        fields = ("media", "source", "tags")


class NautBoard(ModelBoard):
    def tags_changed(self, post: Post) -> None:
        post.check_and_update_mirror()


def upload(data: bytes, tags: str = "", *, meanwhile=lambda: None) -> Post:
    """The upload view, without a transaction; ``meanwhile`` runs where a quick worker may."""
    form = PostForm({"source": "", "tags": tags}, {"media": ContentFile(data, name="picture.png")})
    assert form.is_valid(), form.errors
    for label in ("Artist", "Copyright", "Character", "Meta"):
        Category.objects.get_or_create(label=label)
    post = form.save(commit=False)
    post.uploader, _ = get_user_model().objects.get_or_create(username="uploader")
    post.save()
    meanwhile()
    form.save_m2m()
    post.check_and_update_mirror()
    post.save()
    return post


KIT = Kit(upload, has_time=False)
