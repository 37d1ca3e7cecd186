"""Measurements of this app behind ``manage.py booru_bench``."""
