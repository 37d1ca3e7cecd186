"""``booru_reindex``: builds the indexes of similar pictures from the database and keeps them on disk."""

from __future__ import annotations

import os
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser

from booru_ml.conf import config
from booru_ml.errors import Unavailable
from booru_ml.management.base import BooruCommand
from booru_ml.progress import progress
from embeddings import upkeep
from embeddings.index import snapshots
from embeddings.index.graph import GraphIndex
from embeddings.marks import Mark
from embeddings.models import Vector
from embeddings.shared import SharedSpace
from embeddings.similar import Space

STEP = 512
"""Vectors that all threads take in together; nobody asks this index anything meanwhile."""


class Command(BooruCommand):
    help = (
        "Builds the indexes of similar pictures from the database and writes them to disk (CACHE_DIR), where workers "
        "and web processes find them when they start. They build what they miss themselves; this does it beforehand."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kind", choices=Vector.Kind.values, help="only vectors of this kind")
        parser.add_argument("--model", metavar="VERSION", help="only vectors of this checkpoint version")
        parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for building (default: one per core)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["threads"] < 1:
            raise CommandError("--threads is 1 or more.")
        wanted = {"kind": options["kind"], "model_version": options["model"]}
        rows = Vector.objects.filter(**{name: value for name, value in wanted.items() if value})
        spaces = list(rows.order_by("model_version", "kind").values_list("model_version", "kind").distinct())
        if not spaces:
            raise CommandError("There are no such vectors. Analyse some posts first, or look at --kind and --model.")
        for model_version, kind in spaces:
            if config().VECTOR_STORE:
                self._share(SharedSpace(model_version, kind))
            else:
                self._build(Space(model_version, kind), options["threads"])

    def _share(self, space: SharedSpace) -> None:
        """All processes have one index: it is made anew for all of them."""
        started, count = time.monotonic(), space.rows.count()
        try:
            with progress(f"copying {space.kind}s", total=count) as advance:
                space.rebuild(advance)
        except Unavailable as error:
            raise CommandError(error.message) from error
        seconds = time.monotonic() - started
        self.stdout.write(f"{space.model_version} {space.kind}: {count} vectors, Milvus, {seconds:.1f} s")

    def _build(self, space: Space, threads: int) -> None:
        started = time.monotonic()
        now = Mark.now(space.rows.db)
        with progress(f"reading {space.kind}s", total=space.rows.count()) as advance:
            space.read_all(now, advance)
        space.mark = now
        index, written = space.index, None
        if isinstance(index, GraphIndex):
            with snapshots.writer(upkeep.path_of(space)) as ours:
                if not ours:
                    raise CommandError("Another process builds this index just now. It is on disk when that has ended.")
                with progress(f"building {space.kind}s", total=index.waiting) as advance:
                    upkeep.work(space, index, upkeep.Pace(STEP, threads, advance))
                written = upkeep.save(space, index)
            if written is None:
                raise CommandError(f"{upkeep.path_of(space)} cannot be written; name another folder in CACHE_DIR.")
        self._say(space, written, time.monotonic() - started)

    def _say(self, space: Space, written: int | None, seconds: float) -> None:
        index = space.index
        count, kind = (len(index), type(index).__name__.removesuffix("Index").lower()) if index else (0, "none")
        recall = f"{index.recall:.3f} at effort {index.effort}" if isinstance(index, GraphIndex) else "1 (exact)"
        disk = f"{written / 2**20:.1f} MiB on disk" if written else "no file needed"
        self.stdout.write(
            f"{space.model_version} {space.kind}: {count} vectors, {kind}, recall@10 {recall}, {disk}, {seconds:.1f} s"
        )
