"""The plugin's Celery app as it is, with an obedient engine."""

from celery import signals

from booru_ml.broker import app  # noqa: F401 - what ``celery -A`` looks for


@signals.worker_init.connect
def _install(**_: object) -> None:
    from tests.faults.engine import install

    install()
