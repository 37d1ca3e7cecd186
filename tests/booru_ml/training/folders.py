"""Small folders of pictures as training takes them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FINISHES = ("finished", "sketch", "rough", "poor")


def drawings(folder: Path, *, characters: int = 20, pictures: int = 4, side: int = 48) -> Path:
    """Discs (a "face") on paper: colour tells the character, blur of the ground the finish; with a manifest."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "character", "artist", "finish", "group", "faces", "split"])
        for number in range(characters):
            name = f"someone{number:02}"
            (folder / name).mkdir()
            colour = tuple(int(value) for value in random.integers(0, 200, 3))
            for pose in range(pictures):
                finish = FINISHES[pose % 4]
                ground = 255 - 60 * (pose % 4) + random.integers(-2, 3, (side, side, 1))
                image = Image.fromarray(np.clip(ground, 0, 255).repeat(3, axis=2).astype(np.uint8))
                x, y, radius = (int(value) for value in random.integers((14, 14, 8), (34, 34, 13)))
                ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
                path = f"{name}/{pose}.png"
                image.save(folder / path)
                share = [(x - radius) / side, (y - radius) / side, 2 * radius / side, 2 * radius / side]
                faces = " ".join(f"{value:.4f}" for value in share)
                artist = f"hand{(number + pose) % 6}"
                table.writerow([path, name, artist, finish, f"{number}-{pose}", faces, "train"])
    return folder


def crops(folder: Path, *, characters: int = 12, pictures: int = 2) -> Path:
    """Class subfolders without a manifest; each picture is filled by a disc."""
    random = np.random.default_rng(1)
    for number in range(characters):
        place = folder / f"face{number:02}"
        place.mkdir(parents=True)
        for pose in range(pictures):
            image = Image.new("RGB", (32, 32), "white")
            ImageDraw.Draw(image).ellipse((2, 2, 30, 30), fill=tuple(int(v) for v in random.integers(0, 200, 3)))
            image.save(place / f"{pose}.png")
    return folder
