"""Probes and metrics. A web process is ready when it can take uploads; that needs no tagger, no broker, no worker."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from booru_ml import exposition, registry
from booru_ml.conf import config, post_model
from booru_ml.errors import BooruError
from booru_ml.pipeline import doorbell, facts
from booru_ml.pipeline.outbox import database

logger = logging.getLogger(__name__)

LABELS = ("booru_ml", "booru_embeddings", "booru_tagging", "booru_moderation")


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process is alive and answers."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when uploads can be taken, else 503.

    What only the analysis needs (checkpoints, broker, workers) is reported as degraded and fails nothing: uploads wait
    in their rows. ``?worker=1`` is for who watches the analysis: there all of it has to be well.
    """
    needed = {"database": _ok(_database), "migrations": _ok(_migrations)}
    further = {
        "checkpoints": _ok(_checkpoints),
        "broker": _ok(doorbell.check),
        "workers": _ok(_workers),
        "models": _ok(_models),
    }
    strict = request.GET.get("worker") == "1"
    ready = all(needed.values()) and (not strict or (further["checkpoints"] and further["workers"]))
    status = "ok" if all({**needed, **further}.values()) else "degraded" if ready else "unavailable"
    return JsonResponse({"status": status, "checks": {**needed, **further}}, status=200 if ready else 503)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics, for staff and for bearers of ``METRICS_TOKEN``."""
    if not _may_scrape(request):
        return HttpResponse("Log in as staff, or send BOORU_ML['METRICS_TOKEN'] as a bearer token.\n", status=403)
    body, content_type = exposition.page()
    return HttpResponse(body, content_type=content_type)


def _may_scrape(request: HttpRequest) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    known = config().METRICS_TOKEN
    if known and kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), known.encode()):
        return True
    user = getattr(request, "user", None)
    return bool(user is not None and user.is_active and user.is_staff)


def _ok(check: Callable[[], None]) -> bool:
    try:
        check()
        return True
    except (BooruError, DatabaseError, InterfaceError, OSError) as error:
        logger.warning("not ready: %s", error)
        return False


def _database() -> None:
    with connections[database()].cursor() as cursor:
        cursor.execute("SELECT 1")


_migrated = False


def _migrations() -> None:
    """Once applied they stay applied, so a process looks only until then."""
    global _migrated
    if _migrated:
        return
    if missing := unapplied():
        raise DatabaseError(f"migrations are not applied: of {', '.join(missing)}")
    _migrated = True


def unapplied() -> list[str]:
    """The apps, of ours and the board's, whose tables are not those of this release."""
    executor = MigrationExecutor(connections[database()])
    host_label = post_model().split(".")[0]
    labels = {label for label in (*LABELS, host_label) if label in {app.label for app in apps.get_app_configs()}}
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] in labels]
    return sorted({migration.app_label for migration, _ in executor.migration_plan(targets)} & labels)


def _checkpoints() -> None:
    registry.pipeline_version()


def _workers() -> None:
    if not any(not worker.fault for worker in facts.alive_workers()):
        raise BooruError("no worker is able to work")
    if (seconds := facts.oldest_ready_seconds()) > facts.LONGEST_WAIT:
        raise BooruError(f"a job has been waiting for {seconds:.0f} s")


def _models() -> None:
    lagging = [worker for worker in facts.alive_workers() if worker.behind]
    if lagging:
        raise BooruError(f"{len(lagging)} workers could not load the promoted models: {lagging[0].behind}")
