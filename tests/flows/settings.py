"""What a worker process of the flow tests runs under: the test's own database, broker and pictures, short periods."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import BOORU_ML, DATABASES

DATABASES["default"]["NAME"] = os.environ["FLOW_DATABASE"]
MEDIA_ROOT = os.environ["FLOW_MEDIA"]
BOORU_ML = {**BOORU_ML, "BROKER_URL": os.environ["FLOW_BROKER"], "RECONCILE_SECONDS": 1.0, "LEASE_SECONDS": 2.5}
