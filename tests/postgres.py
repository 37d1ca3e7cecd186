"""Runs a command with a real PostgreSQL at ``TEST_DATABASE_URL``: ``python -m tests.postgres pytest tests/flows``.

The machine's server is used where ``TEST_POSTGRES_URL`` names one, else an embedded one that ends with the command.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers import EmbeddedPostgres


def main(command: list[str]) -> int:
    if url := os.environ.get("TEST_POSTGRES_URL"):
        return subprocess.call(command, env={**os.environ, "TEST_DATABASE_URL": url})
    with (
        tempfile.TemporaryDirectory(prefix="booru-pg-", ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder)) as server,
    ):
        return subprocess.call(command, env={**os.environ, "TEST_DATABASE_URL": server.url})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
