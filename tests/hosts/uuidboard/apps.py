from django.apps import AppConfig


class HostConfig(AppConfig):
    name = "tests.hosts.uuidboard"
    label = "uuidboard"
    default_auto_field = "django.db.models.BigAutoField"
