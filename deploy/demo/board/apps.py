from django.apps import AppConfig


class BoardConfig(AppConfig):
    name = "deploy.demo.board"
    label = "board"
    verbose_name = "Reference board"
    default_auto_field = "django.db.models.BigAutoField"
