"""``manage.py booru_bench``: measures the plugin on this board and this machine."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from booru_ml.conf import config
from booru_ml.nn.routes import ROUTES

GROWTH = (1_000, 10_000, 100_000, 1_000_000)


class Command(BaseCommand):
    help = "Measures the plugin on this board, this database and this machine. What it writes it removes again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True)
        upload = kinds.add_parser(
            "upload", help="what the plugin adds to an upload, with the broker alive, dead and frozen"
        )
        upload.add_argument("--rounds", type=int, default=100, help="uploads per arm (default 100)")
        upload.add_argument("--json", action="store_true", help="one JSON object")
        upload.add_argument("--limit-ms", type=float, help="fail if an upload costs more than this extra")
        pipeline = kinds.add_parser(
            "pipeline",
            help="pictures per second from upload to stored suggestions, beside the bare arithmetic and the naive way; "
            "on an empty database of its own",
        )
        pipeline.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each way (default 5)")
        pipeline.add_argument("--uploads", type=int, default=40, help="single uploads timed at low load (default 40)")
        pipeline.add_argument("--pictures", type=Path, metavar="DIR", help="your own instead of drawings")
        pipeline.add_argument("--without-naive", action="store_true", help="leave out the naive way, which needs torch")
        pipeline.add_argument("--json", action="store_true", help="one JSON object")
        growth = kinds.add_parser("growth", help="uploads, claims and stores as the job table grows; with query plans")
        growth.add_argument("--sizes", type=int, nargs="+", default=list(GROWTH), help="rows; 1000 … 1000000")
        growth.add_argument("--json", action="store_true", help="one JSON object")
        priority = kinds.add_parser("priority", help="how long a fresh upload waits beside thousands of old posts")
        priority.add_argument("--waiting", type=int, default=10_000, help="old posts in the queue (default 10000)")
        priority.add_argument("--uploads", type=int, default=40, help="fresh uploads, one by one (default 40)")
        priority.add_argument("--pictures", type=Path, metavar="DIR", help="your own instead of drawings")
        priority.add_argument("--json", action="store_true", help="one JSON object")
        forward = kinds.add_parser("forward", help="the networks alone: speed and memory of every route by batch size")
        forward.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 16, 32], help="of batches; 1 4 16 32")
        forward.add_argument("--seconds", type=float, default=10.0, help="time for each checkpoint (default 10)")
        forward.add_argument("--compiled", action="store_true", help="compiling routes too; minutes more for each")
        forward.add_argument(
            "--arch", metavar="NAME", help="instead: a timm architecture, random weights, beside its bare model"
        )
        forward.add_argument("--side", type=int, metavar="PIXELS", help="of its input, where not its own")
        forward.add_argument("--route", default="torch-bf16", help="of --arch (default torch-bf16)")
        forward.add_argument("--decoders", type=int, help="decode children for --arch (default: DECODERS)")
        forward.add_argument("--pictures", type=Path, metavar="DIR", help="for --arch, your own instead of drawings")
        forward.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, kind: str, **options: Any) -> None:
        getattr(self, f"_{kind}")(**options)

    def _upload(self, *, rounds: int, limit_ms: float | None, **options: Any) -> None:
        from booru_ml.benchmarks import upload

        if rounds < 2:
            raise CommandError("--rounds is 2 or more.")
        report = upload.measure(rounds, say=self.stderr.write)
        arms = {name: arm for name, arm in report.items() if isinstance(arm, dict)}
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            self.stdout.write(f"An upload's save and commit, medians of {report['uploads']}:")
            self.stdout.write(f"  without the plugin       {report['without_ms']:8.2f} ms")
            for name, arm in arms.items():
                self.stdout.write(
                    f"  with it, broker {name:<8} {arm['ms']:8.2f} ms   extra {arm['extra_ms']:+.2f} ms, "
                    f"processor {arm['extra_cpu_ms']:+.2f} ms   p95 {arm['p95_ms']:.2f} ms"
                )
        worst = max(arm["extra_ms"] for arm in arms.values())
        if limit_ms is not None and worst > limit_ms:
            raise CommandError(f"The plugin costs {worst} ms, more than {limit_ms} ms.")

    def _forward(self, *, sizes: list[int], seconds: float, compiled: bool, arch: str | None, **options: Any) -> None:
        from booru_ml.benchmarks import forward
        from booru_ml.checkpoint import Checkpoint
        from booru_ml.errors import BooruError

        if min(sizes) < 1 or seconds <= 0:
            raise CommandError("--sizes are 1 or more, --seconds more than 0.")
        known = config()
        setting = forward.Setting(
            device=known.DEVICE, threads=known.THREADS, sizes=sizes, seconds=seconds, compiled=compiled
        )
        try:
            if arch:
                self._beside_bare(arch, setting, **options)
                return
            rows = [
                row
                for folder in known.CHECKPOINTS
                for row in forward.routes(Checkpoint.load(folder), setting, self.stderr.write)
            ]
        except BooruError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps({"rows": rows}))
            return
        for row in rows:
            self.stdout.write(
                f"{row['checkpoint']:<12}{row['route']:<20} batch {row['batch']:>3}  {row['ms']:9.2f} ms "
                f"{row['img_s']:8.1f} img/s  {row['rss_mib']:,} MiB"
            )

    def _beside_bare(
        self,
        arch: str,
        setting: Any,
        *,
        side: int | None,
        route: str,
        decoders: int | None,
        pictures: Path | None,
        **options: Any,
    ) -> None:
        from booru_ml.benchmarks import forward
        from booru_ml.benchmarks import pictures as samples

        if not route.startswith("torch") or route not in ROUTES or ROUTES[route].missing:
            names = ", ".join(name for name in ROUTES if name.startswith("torch"))
            raise CommandError(f"--route of --arch is one of {names}, and needs torch (pip install 'booru-ml[gpu]').")
        with TemporaryDirectory(prefix="booru-bench-") as folder:
            paths = samples.found(pictures) if pictures else samples.drawn(Path(folder), mix={"jpg": 16})
            with forward.random_checkpoint(arch, side) as checkpoint:
                rows = [
                    forward.beside_bare(
                        checkpoint,
                        paths,
                        route=route,
                        setting=setting,
                        batch_size=size,
                        decoders=decoders or config().DECODERS,
                    )
                    for size in setting.sizes
                ]
        if options["json"]:
            self.stdout.write(json.dumps({"rows": rows}))
            return
        for row in rows:
            self.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()))

    def _pipeline(
        self, *, rounds: int, uploads: int, pictures: Path | None, without_naive: bool, **options: Any
    ) -> None:
        from booru_ml.benchmarks import pictures as samples
        from booru_ml.benchmarks import pipeline

        if rounds < 1 or uploads < 2:
            raise CommandError("--rounds is 1 or more, --uploads 2 or more.")
        with_naive = not without_naive and find_spec("torch") is not None
        if not with_naive and not without_naive:
            self.stderr.write("The naive way is left out: it needs torch (pip install 'booru-ml[train]').")
        with TemporaryDirectory(prefix="booru-bench-") as folder:
            paths = samples.found(pictures) if pictures else samples.drawn(Path(folder))
            report = pipeline.measure(
                paths, rounds=rounds, uploads=uploads, with_naive=with_naive, say=self.stderr.write
            )
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            for name, value in report.items():
                self.stdout.write(f"{name:<18}{'–' if value is None else value}")

    def _growth(self, *, sizes: list[int], **options: Any) -> None:
        from booru_ml.benchmarks import growth
        from booru_ml.benchmarks.samples import picture

        if min(sizes) < 1:
            raise CommandError("--sizes are 1 or more.")
        with TemporaryDirectory(prefix="booru-bench-") as folder:
            path = Path(folder) / "picture.jpg"
            path.write_bytes(picture())
            report = growth.measure([path], sizes=sizes, say=self.stderr.write)
        if options["json"]:
            self.stdout.write(json.dumps(report))
            return
        for row in report["sizes"]:
            self.stdout.write("  ".join(f"{name} {value:,}" for name, value in row.items()))
        for plan in report["plans"]:
            self.stdout.write(f"\n{plan}")

    def _priority(self, *, waiting: int, uploads: int, pictures: Path | None, **options: Any) -> None:
        from booru_ml.benchmarks import pictures as samples
        from booru_ml.benchmarks import priority

        if waiting < 1 or uploads < 2:
            raise CommandError("--waiting is 1 or more, --uploads 2 or more.")
        with TemporaryDirectory(prefix="booru-bench-") as folder:
            paths = samples.found(pictures) if pictures else samples.drawn(Path(folder))
            report = priority.measure(paths, waiting=waiting, uploads=uploads, say=self.stderr.write)
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            for name, value in report.items():
                self.stdout.write(f"{name:<22}{value}")
