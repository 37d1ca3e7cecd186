"""The soak on a throw-away database, with the checkpoints and periods that ship; prints the ledger.

``python -m tests.postgres python -m tests.faults --pictures 5000``
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
os.environ["FAULTS"] = "long"


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--pictures", type=int, default=5000)
    asked.add_argument("--every", type=float, default=20.0, help="seconds between kills")
    asked.add_argument("--kills", type=int, default=15, help="upload more while there were fewer")
    asked.add_argument("--seed", type=int, default=1)
    said = asked.parse_args()
    django.setup()
    from django.conf import settings
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    from tests.faults.crew import Crew
    from tests.faults.soak import Soak
    from tests.faults.uploads import Uploads
    from tests.flows.board import uploader
    from tests.servers import EmbeddedRedis

    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with tempfile.TemporaryDirectory(prefix="booru-soak-") as home, EmbeddedRedis(Path(home)) as server:
            settings.MEDIA_ROOT = Path(home, "media")
            settings.BOORU_ML = {**settings.BOORU_ML, "BROKER_URL": server.url}
            crew = Crew(server.url, settings.MEDIA_ROOT, Path(home))
            crew.use(engine="untouched")
            crew.quiet = True
            try:
                ledger = Soak(crew, server, Uploads(uploader()), every=said.every, seed=said.seed).run(
                    said.pictures, kills=said.kills
                )
            finally:
                crew.close()
            print(f"\n{ledger.text()}")
            for wrong in (*ledger.account.lost, *ledger.account.doubled):
                print(wrong)
    finally:
        connection.close()
        teardown_databases(databases, verbosity=0)
    return 0 if ledger.balanced else 1


if __name__ == "__main__":
    sys.exit(main())
