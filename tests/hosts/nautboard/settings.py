from tests.hosts.settings import *  # noqa: F403
from tests.hosts.settings import BOORU_ML, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "taggit", "tests.hosts.nautboard"]
BOORU_ML = {
    **BOORU_ML,
    "POST_MODEL": "nautboard.Post",
    "ADAPTER": "tests.hosts.nautboard.models.NautBoard",
    "FIELDS": {
        "picture": "media",
        "thumbnail": "preview",
        "tags": "tags",
        "rating": "rating",
        "source": "source",
        "uploader": "uploader",
        "status": "status",
    },
    "TAG_FIELDS": {"name": "name", "category": "category__label"},
    "TAG_CATEGORIES": {
        "general": None,
        "artist": "Artist",
        "copyright": "Copyright",
        "character": "Character",
        "meta": "Meta",
    },
    "RATINGS": {"g": 1, "s": 1, "q": 2, "e": 3},
    "STATUSES": {"pending": 0, "active": 1, "flagged": 2, "deleted": 3},
}
HOST_KIT = "tests.hosts.nautboard.models.KIT"
