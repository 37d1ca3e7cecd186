"""The pipeline in the stock Django admin: the queue at a glance, and its rows as lists."""

from booru_ml.admin import jobs, models, queue

__all__ = ["jobs", "models", "queue"]
