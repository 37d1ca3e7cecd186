"""``manage.py booru_worker`` with the flow tests' small engine."""

import sys

import django
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    django.setup()
    from booru_ml.pipeline import processes
    from tests.flows.worker_app import install

    install()
    processes.LAUNCHER = ("-m", "tests.flows.worker_command")
    execute_from_command_line(["manage.py", *sys.argv[1:]])
