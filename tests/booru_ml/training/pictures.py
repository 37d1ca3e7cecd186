"""Tiny folders with something to learn: colour tells the character, stripes the artist, blur the grade."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

GRADES = ("bad", "fair", "good")


def folder(path: Path, *, characters: int = 3, pictures: int = 20, side: int = 40, split: bool = False) -> Path:
    """With a manifest of every column that training reads; splits by place where they are asked for."""
    random = np.random.default_rng(5)
    path.mkdir(parents=True)
    columns = ["path", "character", "artist", "quality", "rating", "tags", "group", *(["split"] if split else [])]
    with (path / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for number in range(characters * pictures):
            character, artist, grade = number % characters, number // characters % 2, number // 2 % 3
            pixels = random.integers(0, 60, (side, side, 3))
            pixels[..., character % 3] += 150
            bands = np.arange(side) // 5 % 2 == 0
            pixels[bands if artist else slice(None), slice(None) if artist else bands] //= 4
            image = Image.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(2 - grade))
            image.save(path / f"{number:03}.png")
            tags = f"hue{character} {'wide' if artist else 'high'} character:who{character}"
            row = [f"{number:03}.png", f"who{character}", f"hand{artist}", GRADES[grade], "gsqe"[number % 4], tags]
            part = ("train", "train", "train", "val", "test")[number // 6 % 5]
            table.writerow([*row, f"group{number}", *([part] if split else [])])
    return path


def face() -> torch.Tensor:
    """Two plain colours, three pixels of black between them: (3, 32, 32), uint8."""
    pixels = torch.empty(3, 32, 32, dtype=torch.uint8)
    pixels[:, :, :16] = torch.tensor([220, 120, 60], dtype=torch.uint8)[:, None, None]
    pixels[:, :, 16:] = torch.tensor([90, 160, 230], dtype=torch.uint8)[:, None, None]
    pixels[:, :, 15:18] = 0
    return pixels
