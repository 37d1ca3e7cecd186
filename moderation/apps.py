from django.apps import AppConfig


class ModerationConfig(AppConfig):
    name = "moderation"
    label = "booru_moderation"
    verbose_name = "Booru ML: moderation"
    default_auto_field = "django.db.models.BigAutoField"
