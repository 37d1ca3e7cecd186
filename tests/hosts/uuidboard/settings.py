from tests.hosts.settings import *  # noqa: F403
from tests.hosts.settings import BOORU_ML, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.hosts.uuidboard"]
BOORU_ML = {**BOORU_ML, "POST_MODEL": "uuidboard.Drawing", "FIELDS": {"picture": "path", "tags": "words"}}
HOST_KIT = "tests.hosts.uuidboard.models.KIT"
