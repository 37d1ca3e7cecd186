"""Draws picture sets: class folders with a ``manifest.csv``, for demo, tests, training and benchmarks."""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from booru_ml.progress import track
from deploy.demo.artist import Finish, draw

QUALITY = {Finish.SKETCH: 2, Finish.ROUGH: 1, Finish.POOR: 0}


class Command(BaseCommand):
    help = (
        "Draws pictures of invented characters into class folders and writes manifest.csv with "
        "path, character, artist, finish, quality (0 poor – 2 good, sketches only), group and face boxes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--out", type=Path, required=True, help="folder to fill; must be empty or absent")
        parser.add_argument("--characters", type=int, default=8, help="how many characters (default: 8)")
        parser.add_argument("--first", type=int, default=0, help="number of the first; others are others (default: 0)")
        parser.add_argument("--pictures", type=int, default=12, help="pictures of each (default: 12)")
        parser.add_argument("--finish", nargs="+", choices=[item.value for item in Finish], default=["finished"])
        parser.add_argument("--costumes", type=int, default=1, help="costumes of each, 1–4 (default: 1)")
        parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), default=(768, 1024))
        parser.add_argument("--format", choices=["png", "jpg", "webp"], default="webp")
        parser.add_argument("--seed", type=int, default=0, help="other pictures of the same characters")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"]
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise CommandError(f"{out} is not an empty folder; choose another, so that nothing is overwritten.")
        for name in ("characters", "pictures", "costumes"):
            if options[name] < 1:
                raise CommandError(f"--{name} must be 1 or more.")
        if options["first"] < 0:
            raise CommandError("--first must be 0 or more.")
        if min(options["size"]) < 16 or max(options["size"]) > 8192:
            raise CommandError("--size takes sides of 16 to 8192 pixels.")
        out.mkdir(parents=True, exist_ok=True)
        with (out / "manifest.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "character", "artist", "finish", "quality", "group", "faces"])
            total = options["characters"] * options["pictures"]
            for number in track(range(total), "drawing"):
                table.writerow(self._one(out, number, options))
        self.stdout.write(f"{total} pictures in {out}")

    def _one(self, out: Path, number: int, options: dict[str, Any]) -> list[object]:
        who, pose = divmod(number, options["pictures"])
        who += options["first"]
        finish = Finish(options["finish"][pose % len(options["finish"])])
        drawing = draw(
            character=who,
            pose=pose,
            artist=who * 5 + pose,
            finish=finish,
            costume=pose % options["costumes"],
            size=tuple(options["size"]),
            seed=options["seed"],
        )
        path = Path(drawing.character) / f"{pose:04}.{options['format']}"
        (out / path.parent).mkdir(exist_ok=True)
        drawing.image.save(out / path, quality=90)
        faces = ";".join(" ".join(f"{side:.4f}" for side in (b.x, b.y, b.width, b.height)) for b in drawing.faces)
        quality = QUALITY.get(finish, "")
        return [path, drawing.character, drawing.artist, finish.value, quality, f"{who}-{pose}", faces]
