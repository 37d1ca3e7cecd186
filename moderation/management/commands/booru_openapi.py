"""Prints the API's OpenAPI document as YAML."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from drf_spectacular.renderers import OpenApiYamlRenderer

from booru_ml.management.base import BooruCommand
from booru_ml.openapi import Generator
from moderation.urls import urlpatterns


class Command(BooruCommand):
    help = "Prints the OpenAPI document of the whole API as YAML."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--server", default="/", help="the address that moderation.urls is mounted at")

    def handle(self, *args: Any, server: str, **options: Any) -> None:
        document = Generator(patterns=urlpatterns).document(server=server)
        self.stdout.write(OpenApiYamlRenderer().render(document).decode())
