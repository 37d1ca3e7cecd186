"""The plugin's own Celery app: ``celery -A booru_ml.broker worker``. It never becomes the host's.

Its queue carries nothing but doorbells; settings of the host's Celery and its environment do not reach it.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from booru_ml.conf import config
from booru_ml.transport import forget_unanswered, patience

QUEUE = "booru_ml"


def _settings() -> dict[str, Any]:
    url = config().BROKER_URL
    return {
        "broker_url": url,
        "broker_read_url": url,
        "broker_write_url": url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": patience(url),
        "imports": ["booru_ml.tasks"],
        "task_default_queue": QUEUE,
        "task_ignore_result": True,
        "worker_hijack_root_logger": False,
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": False,
    }


# No fixups: Celery's own for Django would make this app the default one of a host that has none.
app = Celery("booru_ml", set_as_current=False, fixups=[])
app.add_defaults(_settings)


def _set_up_worker(**_: object) -> None:
    """Before a worker imports the tasks."""
    import django

    django.setup()
    forget_unanswered(config().BROKER_URL)


signals.import_modules.connect(_set_up_worker, sender=app)
