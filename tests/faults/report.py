"""Measured faults as a Markdown table: ``python -m tests.faults.report FILE`` puts it between the file's marks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

BEGIN, END = "<!-- faults: written by make faults -->", "<!-- end of faults -->"
HEAD = "| fault | injected | database | in flight | lost | doubled | recovery s (allowed) | slowest upload s |"


@dataclass(frozen=True)
class Record:
    fault: str
    injected: str
    database: str
    uploads: int
    in_flight: int
    lost: int
    doubled: int
    within: float
    recovery: float
    slowest_upload: float


kept: list[Record] = []


def keep(record: Record) -> None:
    """For the summary of this run, and for ``FAULTS_REPORT`` where that names a file."""
    kept.append(record)
    if path := os.environ.get("FAULTS_REPORT"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")


def table(records: Sequence[Record]) -> str:
    names = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
    lines = [HEAD, "|---|---|---|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {row.fault} | {row.injected} | {names.get(row.database, row.database)} | {row.in_flight} | {row.lost} | "
        f"{row.doubled} | {row.recovery:.1f} (≤ {row.within:g}) | {row.slowest_upload:.2f} |"
        for row in records
    ]
    return "\n".join(lines)


def main(page: Path) -> None:
    lines = Path(os.environ["FAULTS_REPORT"]).read_text(encoding="utf-8").splitlines()
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    records = [Record(**json.loads(line)) for line in lines]
    latest = {(row.fault, row.injected, row.database): row for row in records}
    measured = table(list(latest.values()))
    page.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}", encoding="utf-8")
    print(f"{len(latest)} faults written to {page}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
