"""PostgreSQL dies, or its connections do: workers wait, and write once."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from tests.faults.pictures import drawing

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis, pytest.mark.postgres]
WITHIN = 30
AWAY = 3.0
MINE = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def test_killed_database(crew, trial, postgres):
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")  # or it would first work off what all the tests before have written
    crew.celery()
    crew.command()
    with trial(
        "PostgreSQL dies",
        f"kill -9 of the server and its connections, started again {AWAY:g} s later",
        within=WITHIN,
        failures_allowed=True,
    ) as run:
        postgres.kill()
        time.sleep(AWAY)
        postgres.start()
        connection.close()
        run.outage_over()


@pytest.mark.long
def test_killed_database_connection(crew, trial, postgres):
    crew.celery()
    with trial(
        "one of PostgreSQL's processes dies",
        "kill -9; the server then ends all connections and recovers",
        within=WITHIN,
        failures_allowed=True,
    ) as run:
        backend = [one for one in postgres.processes if "SELECT" in one.name() or "idle" in " ".join(one.cmdline())]
        (backend or postgres.processes[1:])[0].kill()
        time.sleep(0.5)
        connection.close()
        run.outage_over()


def test_connections_cut_in_flight(crew, trial, postgres):
    """Again and again, whatever the workers are doing: claiming, renewing, storing."""
    crew.celery()
    with trial(
        "connections break in flight",
        "every connection of the workers and uploads ended, each 0.2 s for 4 s",
        within=WITHIN,
        failures_allowed=True,
    ) as run:
        for _ in range(20):
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT pg_terminate_backend(pid) FROM ({MINE}) AS others")
            time.sleep(0.2)
        run.outage_over()


@pytest.mark.long
def test_long_absence_of_the_database_with_the_shipped_checkpoints(crew, trial, postgres):
    crew.use(engine="untouched")
    crew.celery()
    with trial(
        "PostgreSQL is away for two minutes, shipped checkpoints",
        "kill -9, started again 120 s later",
        within=WITHIN,
        make=drawing,
        failures_allowed=True,
    ) as run:
        postgres.kill()
        time.sleep(120)
        postgres.start()
        connection.close()
        run.outage_over()
