from django.apps import AppConfig


class EmbeddingsConfig(AppConfig):
    name = "embeddings"
    label = "booru_embeddings"
    verbose_name = "Booru ML: embeddings"
    default_auto_field = "django.db.models.BigAutoField"
