"""What ``booru_bench`` can measure: the arguments of each kind, and how its report reads on a terminal."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.module_loading import import_string

from booru_ml.benchmarks.kind import Kind, OnPictures, Options, Report, Say, least
from booru_ml.benchmarks.limit import cores
from booru_ml.conf import config


class Upload(Kind):
    help = "what the plugin adds to an upload, with the broker alive, dead and frozen"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rounds", type=int, default=100, help="uploads per arm (default 100)")
        parser.add_argument("--limit-ms", type=float, help="fail if an upload costs more than this extra")

    def measure(self, say: Say, options: Options) -> Report:
        from booru_ml.benchmarks import upload

        least(2, rounds=options["rounds"])
        return upload.measure(options["rounds"], say=say)

    def lines(self, report: Report) -> Iterator[str]:
        yield f"An upload's save and commit, medians of {report['uploads']}:"
        yield f"  without the plugin       {report['without_ms']:8.2f} ms"
        for name, arm in _arms(report).items():
            yield (
                f"  with it, broker {name:<8} {arm['ms']:8.2f} ms   extra {arm['extra_ms']:+.2f} ms, "
                f"processor {arm['extra_cpu_ms']:+.2f} ms   p95 {arm['p95_ms']:.2f} ms"
            )

    def judge(self, report: Report, options: Options) -> None:
        limit_ms: float | None = options["limit_ms"]
        worst = max(arm["extra_ms"] for arm in _arms(report).values())
        if limit_ms is not None and worst > limit_ms:
            raise CommandError(f"The plugin costs {worst} ms, more than {limit_ms} ms.")


class Pipeline(OnPictures):
    help = "pictures per second from upload to stored suggestions, beside the bare arithmetic and the naive way"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each way (default 5)")
        parser.add_argument("--uploads", type=int, default=40, help="single uploads timed at low load (default 40)")
        parser.add_argument("--without-naive", action="store_true", help="leave out the naive way, which needs torch")

    def measure(self, say: Say, options: Options) -> Report:
        from booru_ml.benchmarks import pipeline

        rounds, uploads = options["rounds"], options["uploads"]
        least(1, rounds=rounds)
        least(2, uploads=uploads)
        with_naive = not options["without_naive"] and find_spec("torch") is not None
        if not with_naive and not options["without_naive"]:
            say("The naive way is left out: it needs torch (pip install 'booru-ml[train]').")
        with self.paths(options["pictures"]) as paths:
            return pipeline.measure(paths, rounds=rounds, uploads=uploads, with_naive=with_naive, say=say)


class Scaling(OnPictures):
    help = "pictures per second of one worker on one core, beside one on every core, each with its own database"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each (default 5)")

    def measure(self, say: Say, options: Options) -> Report:
        from booru_ml.benchmarks import scaling

        least(1, rounds=options["rounds"])
        with self.paths(options["pictures"]) as paths:
            return scaling.measure(paths, rounds=options["rounds"], say=say)


class Priority(OnPictures):
    help = "how long a fresh upload waits beside thousands of old posts"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--waiting", type=int, default=10_000, help="old posts in the queue (default 10000)")
        parser.add_argument("--uploads", type=int, default=40, help="fresh uploads, one by one (default 40)")

    def measure(self, say: Say, options: Options) -> Report:
        from booru_ml.benchmarks import priority

        waiting, uploads = options["waiting"], options["uploads"]
        least(2 * config().BATCH_SIZE * cores(), waiting=waiting)
        least(2, uploads=uploads)
        with self.paths(options["pictures"]) as paths:
            return priority.measure(paths, waiting=waiting, uploads=uploads, say=say)


class Memory(OnPictures):
    help = "what the workers weigh over thousands of pictures, and whether they grow"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--count", type=int, default=5000, help="pictures to analyse, at least (default 5000)")

    def measure(self, say: Say, options: Options) -> Report:
        from booru_ml.benchmarks import memory

        least(1, count=options["count"])
        with self.paths(options["pictures"]) as paths:
            return memory.measure(paths, pictures=options["count"], say=say)


class Shadow(OnPictures):
    help = "what a model on trial costs live uploads"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds with it and without (default 5)")
        parser.add_argument("--uploads", type=int, default=20, help="single uploads of each round (default 20)")
        parser.add_argument("--candidate", type=Path, metavar="DIR", help="its checkpoint; default: booru-lite's twin")

    def measure(self, say: Say, options: Options) -> Report:
        from booru_ml.benchmarks import shadow

        asked = {name: options[name] for name in ("rounds", "uploads", "candidate")}
        least(1, rounds=asked["rounds"])
        least(2, uploads=asked["uploads"])
        with self.paths(options["pictures"]) as paths:
            return shadow.measure(paths, say=say, **asked)


class Growth(Kind):
    help = "uploads, claims and stores as the job table grows, and how the database plans them"

    def add_arguments(self, parser: ArgumentParser) -> None:
        sizes = [1_000, 10_000, 100_000, 1_000_000]
        parser.add_argument("--sizes", type=int, nargs="+", default=sizes, help="rows (default 1000 … 1000000)")

    def measure(self, say: Say, options: Options) -> Report:
        from booru_ml.benchmarks import growth

        least(1, sizes=min(options["sizes"]))
        return growth.measure(options["sizes"], say=say)

    def lines(self, report: Report) -> Iterator[str]:
        yield f"{report['database']}, batches of {report['batch']}"
        for row in report["sizes"]:
            yield "  ".join(f"{name} {value:,}" for name, value in row.items())
        for plan in report["plans"]:
            yield f"\n{plan}"


class Forward(OnPictures):
    help = "the networks alone: speed and memory of every route by batch size"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 16, 32], help="of batches; 1 4 16 32")
        parser.add_argument("--seconds", type=float, default=10.0, help="time for each checkpoint (default 10)")
        parser.add_argument("--compiled", action="store_true", help="compiling routes too; a minute more for each")
        parser.add_argument(
            "--arch", metavar="NAME", help="instead: a timm architecture, random weights, beside its bare model"
        )
        parser.add_argument("--side", type=int, metavar="PIXELS", help="of its input, where not its own")
        parser.add_argument("--route", default="torch-bf16", help="of --arch (default torch-bf16)")
        parser.add_argument("--decoders", type=int, help="decode children for --arch (default: DECODERS)")

    def measure(self, say: Say, options: Options) -> Report:
        from booru_ml.benchmarks import forward
        from booru_ml.checkpoint import Checkpoint

        if min(options["sizes"]) < 1 or options["seconds"] <= 0:
            raise CommandError("--sizes are 1 or more, --seconds more than 0.")
        known = config()
        setting = forward.Setting(
            device=known.DEVICE,
            threads=known.THREADS,
            sizes=options["sizes"],
            seconds=options["seconds"],
            compiled=options["compiled"],
        )
        if options["arch"]:
            return {"rows": self._beside_bare(setting, options)}
        folders = [Checkpoint.load(folder) for folder in known.CHECKPOINTS]
        return {"rows": [row for folder in folders for row in forward.routes(folder, setting, say)]}

    def _beside_bare(self, setting: Any, options: Options) -> list[dict[str, Any]]:
        from booru_ml.benchmarks import forward
        from booru_ml.nn.routes import ROUTES

        route, pictures = options["route"], options["pictures"]
        if not route.startswith("torch") or route not in ROUTES or ROUTES[route].missing:
            names = ", ".join(name for name in ROUTES if name.startswith("torch"))
            raise CommandError(f"--route of --arch is one of {names}, and needs torch (pip install 'booru-ml[gpu]').")
        with (
            self.paths(pictures, mix={"jpg": 16}) as paths,
            forward.random_checkpoint(options["arch"], options["side"]) as checkpoint,
        ):
            return [
                forward.beside_bare(
                    checkpoint,
                    paths,
                    route=route,
                    setting=setting,
                    batch_size=size,
                    decoders=options["decoders"] or config().DECODERS,
                )
                for size in setting.sizes
            ]

    def lines(self, report: Report) -> Iterator[str]:
        for row in report["rows"]:
            yield "  ".join(f"{name} {value}" for name, value in row.items())


class Index(Kind):
    help = "the index of similar pictures beside hnswlib, usearch and NumPy, and how fresh it is"

    def add_arguments(self, parser: ArgumentParser) -> None:
        rivals = ["numpy", "hnswlib", "usearch"]
        parser.add_argument("--dimensions", type=int, nargs="+", default=[512], help="of vectors (default 512)")
        parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000], help="default 10000 30000")
        parser.add_argument("--without", nargs="+", choices=rivals, default=[], help="leave these out")
        parser.add_argument("--rate", type=float, default=100.0, help="vectors committed per second (default 100)")
        parser.add_argument("--seconds", type=float, default=10.0, help="of adding (default 10); 0 leaves that out")
        parser.add_argument("--before", type=int, default=2000, help="vectors there are before (default 2000)")

    def measure(self, say: Say, options: Options) -> Report:
        least(1000, sizes=min(options["sizes"]))
        least(8, dimensions=min(options["dimensions"]))
        if options["rate"] <= 0 or options["seconds"] < 0 or options["before"] < 1:
            raise CommandError("--rate is more than 0, --seconds 0 or more, --before 1 or more.")
        asked = {name: options[name] for name in ("dimensions", "sizes", "without")}
        report: Report = {"rows": import_string("embeddings.benchmarks.index.measure")(say=say, **asked)}
        if options["seconds"]:
            timed = {name: options[name] for name in ("rate", "seconds", "before")}
            report["freshness"] = import_string("embeddings.benchmarks.freshness.measure")(**timed)
        return report

    def lines(self, report: Report) -> Iterator[str]:
        for row in report["rows"]:
            yield "  ".join(f"{name} {value}" for name, value in row.items())
        if "freshness" in report:
            yield "freshness: " + "  ".join(f"{name} {value}" for name, value in report["freshness"].items())


KINDS: dict[str, Kind] = {
    "upload": Upload(),
    "pipeline": Pipeline(),
    "scaling": Scaling(),
    "priority": Priority(),
    "memory": Memory(),
    "shadow": Shadow(),
    "growth": Growth(),
    "forward": Forward(),
    "index": Index(),
}


def _arms(report: Report) -> dict[str, dict[str, float]]:
    return {name: arm for name, arm in report.items() if isinstance(arm, dict)}
