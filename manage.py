#!/usr/bin/env python3
"""Runs a management command on the reference board (or on the settings DJANGO_SETTINGS_MODULE names)."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.demo.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
