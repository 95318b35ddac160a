"""Faults planted into a copy of a folder of images, each remembered by the names of the files it concerns."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

SWAPPED = 0.05
"""Share of the labels of `train` that are made wrong."""

PLANTED = 10
"""Of each other fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault: its kind, and the names below the folder of the files that a finding must name."""

    kind: str
    names: frozenset[str]


Change = Callable[[Image.Image, Path], None]


def _cropped(image: Image.Image, to: Path, share: int = 20) -> None:
    width, height = image.size
    box = (width // share, height // share, width - width // share, height - height // share)
    image.crop(box).save(to, quality=90)


CHANGES: dict[str, Change] = {
    "recompressed": lambda image, to: image.save(to, quality=30),
    "resized to 60 %": lambda image, to: image.resize((image.width * 3 // 5, image.height * 3 // 5)).save(to),
    "mirrored": lambda image, to: ImageOps.mirror(image).save(to, quality=90),
    "cropped by 10 %": _cropped,
    "cropped by 20 %": lambda image, to: _cropped(image, to, 10),
    "rotated by 5 degrees": lambda image, to: image.rotate(5, Image.Resampling.BICUBIC).save(to, quality=90),
    "brightened by 30 %": lambda image, to: ImageEnhance.Brightness(image).enhance(1.3).save(to, quality=90),
}


def plant(root: Path, seed: int = 0) -> list[Fault]:
    """Plant faults into `root`, which holds train/CLASS/ and val/CLASS/ (or test/CLASS/) of JPEG or PNG files."""
    random = np.random.default_rng(seed)
    train = sorted(path for path in (root / "train").rglob("*") if path.is_file())
    other = next(root / name for name in ("val", "test") if (root / name).is_dir())
    order = [train[n] for n in random.permutation(len(train))]
    faults: list[Fault] = []

    def below(path: Path) -> str:
        return path.relative_to(root).as_posix()

    for number in range(PLANTED):
        path = order.pop()
        for place, kind in ((path.parent, "copied"), (other / path.parent.name, "copied across sets")):
            if kind == "copied across sets":
                path = order.pop()
                place = other / path.parent.name
            copy = place / f"z{number}_{kind[-4:]}{path.suffix}"
            shutil.copy(path, copy)
            faults.append(Fault(kind, frozenset((below(path), below(copy)))))
        for n, (kind, change) in enumerate(CHANGES.items()):
            path = order.pop()
            place = path.parent if number % 2 else other / path.parent.name
            copy = place / f"y{number}_{n}{path.suffix}"
            with Image.open(path) as image:
                change(image.convert("RGB"), copy)
            faults.append(Fault(kind, frozenset((below(path), below(copy)))))
        faults += _spoiled(order, below, number)
    classes = sorted(path.name for path in (root / "train").iterdir())
    for number in range(round(SWAPPED * len(train))):
        path = order.pop()
        wrong = [name for name in classes if name != path.parent.name]
        moved = root / "train" / wrong[random.integers(len(wrong))] / f"x{number}{path.suffix}"
        os.rename(path, moved)
        faults.append(Fault("label swapped", frozenset((below(moved),))))
    return faults


def _spoiled(order: list[Path], below: Callable[[Path], str], number: int) -> list[Fault]:
    """A file cut short, an empty one, one of no known name, a constant image and a grey one."""
    short, empty, renamed, flat, grey = (order.pop() for _ in range(5))
    short.write_bytes(short.read_bytes()[: short.stat().st_size // 2])
    empty.write_bytes(b"")
    text = renamed.with_name(f"w{number}.txt")
    os.rename(renamed, text)
    with Image.open(flat) as image:
        Image.new("RGB", image.size, (20 * number, 90, 200 - 20 * number)).save(flat)
    with Image.open(grey) as image:
        image.convert("L").save(grey)
    kinds = {"cut short": short, "empty": empty, "renamed to .txt": text, "constant": flat, "made grey": grey}
    return [Fault(kind, frozenset((below(path),))) for kind, path in kinds.items()]
