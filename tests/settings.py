"""The reference board's settings on throw-away storage; ``TEST_DATABASE_URL`` chooses PostgreSQL instead of SQLite."""

import os
import tempfile
from pathlib import Path

_root = os.environ.get("BOORU_TEST_HOME") or tempfile.mkdtemp(prefix="booru-test-")
os.environ["BOORU_TEST_HOME"] = _root
# Each of several processes that share the tests has a folder of its own; what its tests start inherits the name.
_home = Path(_root) / os.environ.get("PYTEST_XDIST_WORKER", "")
_home.mkdir(parents=True, exist_ok=True)
os.environ["BOORU_HOME"] = str(_home)
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL") or f"sqlite:///{_home / 'board.sqlite3'}"

from deploy.demo.settings import *  # noqa: E402, F403
from deploy.demo.settings import BOORU_ML, DATABASES  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: real workers in other processes share it.
    DATABASES["default"]["TEST"] = {"NAME": str(_home / "test.sqlite3")}
DATABASES["default"]["CONN_MAX_AGE"] = 0

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A port nobody listens on: a test that needs a broker asks for the ``redis_url`` fixture.
BOORU_ML = {
    **BOORU_ML,
    "BROKER_URL": "redis://127.0.0.1:1/0",
    "SETTLE_SECONDS": 0.0,
    "CACHE_DIR": str(_home / "cache"),
}
