from django.apps import AppConfig


class TaggingConfig(AppConfig):
    name = "tagging"
    label = "booru_tagging"
    verbose_name = "Booru ML: tagging"
    default_auto_field = "django.db.models.BigAutoField"
