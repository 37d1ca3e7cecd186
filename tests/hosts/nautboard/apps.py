from django.apps import AppConfig


class HostConfig(AppConfig):
    name = "tests.hosts.nautboard"
    label = "nautboard"
    default_auto_field = "django.db.models.BigAutoField"
