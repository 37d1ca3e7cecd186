"""The reference settings without the reference board; each host adds its own app and ``BOORU_ML``."""

from tests.settings import *  # noqa: F403
from tests.settings import BOORU_ML as REFERENCE
from tests.settings import DATABASES, INSTALLED_APPS

if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # Beside the database of the tests that start these.
    DATABASES["default"]["TEST"] = {"NAME": "test_booru_hosts"}
INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "deploy.demo.board"]
BOORU_ML = {name: REFERENCE[name] for name in ("BROKER_URL", "SETTLE_SECONDS", "CACHE_DIR")}
ROOT_URLCONF = "moderation.urls"
