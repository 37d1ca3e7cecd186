"""``manage.py booru_worker`` with an obedient engine."""

import sys

import django
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    django.setup()
    from booru_ml.pipeline import processes
    from tests.faults.engine import install

    install()
    processes.LAUNCHER = ("-m", "tests.faults.worker_command")
    execute_from_command_line(["manage.py", *sys.argv[1:]])
