from django.apps import AppConfig


class BooruMLConfig(AppConfig):
    name = "booru_ml"
    label = "booru_ml"
    verbose_name = "Booru ML: pipeline"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from booru_ml import checks  # noqa: F401
        from booru_ml.pipeline import hooks

        hooks.connect()
