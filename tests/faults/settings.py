"""What the workers of the fault tests run under: the test's database and broker, and a ledger after the sinks.

``FAULTS=long`` keeps the periods that ship, so that recovery times are those of a real board.
"""

import json
import os

import booru_ml.conf
from tests.settings import *  # noqa: F403
from tests.settings import BOORU_ML, DATABASES, INSTALLED_APPS

DATABASES["default"] |= {"NAME": os.environ["FLOW_DATABASE"], "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
MEDIA_ROOT = os.environ["FLOW_MEDIA"]
BOORU_ML = {
    **BOORU_ML,
    "BROKER_URL": os.environ["FLOW_BROKER"],
    **({} if os.environ.get("FAULTS") == "long" else {"RECONCILE_SECONDS": 1.0, "LEASE_SECONDS": 2.5}),
    **json.loads(os.environ.get("FAULT_SETTING", "{}")),
}
INSTALLED_APPS = [*INSTALLED_APPS, "tests"]
booru_ml.conf.SINKS = (*booru_ml.conf.SINKS, "tests.faults.accounts.note")
