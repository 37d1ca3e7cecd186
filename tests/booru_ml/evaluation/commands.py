"""``booru_evaluate`` on copies of a small folder of drawings."""

from __future__ import annotations

import csv
import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command


def rewritten(data: Path, to: Path, **columns: Any) -> Path:
    """A copy of the folder whose manifest has these columns, each a function of the row's number and the row."""
    shutil.copytree(data, to)
    with (data / "manifest.csv").open(newline="") as file:
        rows = [
            row | {name: make(n, row) for name, make in columns.items()} for n, row in enumerate(csv.DictReader(file))
        ]
    with (to / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return to


def evaluate(task: str, *args: object) -> tuple[dict[str, Any], str, str]:
    """The JSON, what was printed, and what was warned of."""
    out, err = StringIO(), StringIO()
    written = Path(str(args[args.index("--data") + 1])).parent / "figures.json"
    few = () if task == "compare" else ("--resamples", 30)
    words = [str(word) for word in (*args, *few, "--json", written)]
    call_command("booru_evaluate", task, *words, stdout=out, stderr=err, no_color=True)
    return json.loads(written.read_text()), out.getvalue(), err.getvalue()
