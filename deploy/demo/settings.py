"""Settings of the reference board; every value that a deployment changes comes from the environment.

``BOORU_HOME``     where database, pictures and Redis's socket live (default: ./var)
``DATABASE_URL``   default: SQLite under BOORU_HOME
``REDIS_URL``      default: redis://127.0.0.1:6379/0; ``make demo`` starts a Redis where none answers
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dj_database_url

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("BOORU_HOME", ROOT / "var"))
HOME.mkdir(parents=True, exist_ok=True)

DEBUG = os.environ.get("DEBUG", "") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-the-reference-board-on-this-computer-0123456789abcdef")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1],testserver").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "deploy.demo.board",
    "booru_ml",
    "embeddings",
    "tagging",
    "moderation",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "deploy.demo.urls"
WSGI_APPLICATION = "deploy.demo.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def database(url: str) -> dict[str, Any]:
    """Django's settings for ``url``; SQLite gets WAL and IMMEDIATE transactions, so writers queue, not fail."""
    parsed = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    if parsed["ENGINE"].endswith("sqlite3"):
        parsed["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    return parsed


DATABASES = {"default": database(os.environ.get("DATABASE_URL", f"sqlite:///{HOME / 'board.sqlite3'}"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "post-list"
LOGOUT_REDIRECT_URL = "post-list"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
WHITENOISE_USE_FINDERS = True
MEDIA_URL = "/media/"
MEDIA_ROOT = HOME / "media"

BOORU_ML = {
    "POST_MODEL": "board.Post",
    "FIELDS": {
        "picture": "picture",
        "tags": "tags",
        "rating": "rating",
        "source": "source",
        "uploader": "uploader",
        "status": "status",
        "content_key": "sha256",
    },
    "BROKER_URL": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"),
}
