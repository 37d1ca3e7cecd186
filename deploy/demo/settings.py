"""Settings of the reference board; every value that a deployment changes comes from the environment.

``BOORU_HOME``     where database, pictures, logs and Redis live (default: ./var)
``DATABASE_URL``   default: SQLite under BOORU_HOME
``REDIS_URL``      default: redis://127.0.0.1:6379/0; ``make demo`` starts a Redis where none answers
``RUNTIME``        which route runs the networks (default: auto)
``SECRET_KEY``     default: made once and kept under BOORU_HOME
``ALLOWED_HOSTS``  names the board answers to, apart by commas
``HTTPS=1``        behind a proxy that speaks HTTPS: secure cookies, redirects, HSTS
``DEBUG=1``        Django's error pages; never in public
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import dj_database_url

from booru_ml.logs import json_logging

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("BOORU_HOME", ROOT / "var")).resolve()
HOME.mkdir(parents=True, exist_ok=True)


def secret_key(file: Path) -> str:
    """The key of this installation: made by whoever comes first, readable by its owner only."""
    if not file.exists():
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(64))
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text()


DEBUG = os.environ.get("DEBUG", "") == "1"
HTTPS = os.environ.get("HTTPS", "") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY") or secret_key(HOME / "secret-key")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1],testserver").split(",")
CSRF_TRUSTED_ORIGINS = [origin for origin in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if origin]

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
    "deploy.demo.board.middleware.content_security_policy",
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
    parsed: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    if parsed["ENGINE"].endswith("sqlite3"):
        parsed["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    return parsed


DATABASES = {"default": database(os.environ.get("DATABASE_URL") or f"sqlite:///{HOME / 'board.sqlite3'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "post-list"
LOGOUT_REDIRECT_URL = "post-list"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

# Static files come straight from the packages; nothing has to be collected first.
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
MEDIA_URL = "/media/"
MEDIA_ROOT = HOME / "media"
FILE_UPLOAD_PERMISSIONS = 0o644
# Larger files lie on disk while they arrive, so that uploads cost the web process no memory.
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
# Probes come from inside, without HTTPS.
SECURE_REDIRECT_EXEMPT = [r"^booru/(healthz|readyz|metrics)$"]

LOGGING = json_logging(os.environ.get("LOG_LEVEL", "INFO"))
LOGGING["loggers"]["celery"] = {"level": "WARNING"}  # every doorbell would be two lines

# The plugin describes its API with a generator of its own; the stock one's opinion on enum names is not asked for.
SPECTACULAR_SETTINGS = {"ENABLE_DJANGO_DEPLOY_CHECK": False}

BOORU_ML = {
    "POST_MODEL": "board.Post",
    "ADAPTER": "deploy.demo.board.adapter.BoardAdapter",
    "FIELDS": {
        "picture": "picture",
        "tags": "tags",
        "rating": "rating",
        "source": "source",
        "uploader": "uploader",
        "status": "status",
        "content_key": "sha256",
        "created": "created_at",
    },
    "BROKER_URL": os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0",
    "RUNTIME": os.environ.get("RUNTIME") or "auto",
}
