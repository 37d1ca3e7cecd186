"""What people type. The services judge the content; forms only collect it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from deploy.demo.board.models import Post
from deploy.demo.board.services import MAX_SOURCE

MAX_FILES = 50


class ManyFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several files in one field; empty ones pass, so that each is answered for by its own sentence."""

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        files = [file for file in (data if isinstance(data, list | tuple) else [data]) if file]
        if not files:
            raise forms.ValidationError("Choose at least one picture.", code="required")
        if len(files) > MAX_FILES:
            raise forms.ValidationError(f"At most {MAX_FILES} pictures at a time.", code="too_many_files")
        return files


class EditForm(forms.Form):
    tags = forms.CharField(required=False, max_length=20_000, widget=forms.Textarea)
    tags_before = forms.CharField(required=False, max_length=20_000, widget=forms.HiddenInput)
    rating = forms.ChoiceField(choices=Post.Rating.choices)
    source = forms.CharField(required=False, max_length=MAX_SOURCE)


class UploadForm(forms.Form):
    file = FilesField(widget=ManyFiles)
    tags = forms.CharField(required=False, max_length=20_000, widget=forms.Textarea)
    rating = forms.ChoiceField(
        choices=Post.Rating.choices, error_messages={"required": "Choose a rating; moderators can correct it later."}
    )
    source = forms.CharField(required=False, max_length=MAX_SOURCE)
