"""What the held-out accuracy says of tracks: photographs, ten frames of each, with and without groups.

    python -m benchmarks.tracks cifar10.npz

The first 60 training images of each class become ten frames each: moved by up to 1.5 pixels, zoomed by up to 8 %,
brightened by up to 20 %, with noise. The test set stays as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lanewise
from lanewise.data.images import Images, Pixels
from lanewise.notes import unheard

TRACKS, FRAMES, TESTED = 60, 10, 3000
MOVED, ZOOMED, BRIGHTENED, NOISE = 1.5, 0.08, 0.2, 4.0


def frame(image: Pixels, random: np.random.Generator) -> NDArray[np.uint8]:
    """One frame of what an image shows."""
    places = []
    for size in image.shape[:2]:
        zoom, moved = 1 + random.uniform(-ZOOMED, ZOOMED), random.uniform(-MOVED, MOVED)
        places.append(np.clip((np.arange(size) - size / 2) * zoom + size / 2 + moved, 0, size - 1))
    rows, columns = places
    above, before = np.floor(rows).astype(int), np.floor(columns).astype(int)
    below, behind = np.minimum(above + 1, len(rows) - 1), np.minimum(before + 1, len(columns) - 1)
    down, right = (rows - above)[:, None, None], (columns - before)[None, :, None]
    plain = image.astype(np.float64)
    upper = plain[above][:, before] * (1 - right) + plain[above][:, behind] * right
    lower = plain[below][:, before] * (1 - right) + plain[below][:, behind] * right
    seen = (upper * (1 - down) + lower * down) * random.uniform(1 - BRIGHTENED, 1 + BRIGHTENED)
    made: NDArray[np.uint8] = np.clip(seen + random.normal(0, NOISE, image.shape), 0, 255).astype(np.uint8)
    return made


def tracks(images: Images) -> Images:
    """Frames, named CLASS/TRACK_FRAME.png."""
    assert images.labels is not None
    random = np.random.default_rng(0)
    pixels, labels, names = [], [], []
    for label, name in enumerate(images.classes):
        for track, n in enumerate(np.flatnonzero(images.labels == label)[:TRACKS]):
            pixels += [frame(images.pixels[n], random) for _ in range(FRAMES)]
            labels += [label] * FRAMES
            names += [f"{name}/{track:05}_{number:05}.png" for number in range(FRAMES)]
    return Images(np.array(pixels), np.array(labels, np.int32), images.classes, names=tuple(names))


def main(path: str) -> None:
    """Print the held-out accuracy and that on the test set, each way."""
    sets = lanewise.load(path, notes=unheard)
    assert sets.test is not None
    train, test = tracks(sets.train), sets.test.take(np.arange(TESTED))
    for by in (None, "^[0-9]+", "similar"):
        said: list[str] = []
        model = lanewise.train(train, group_by=by, epochs=12, folds=0, threads=1, verbose=0, notes=said.append)
        held, new = (lanewise.evaluate(model, images).accuracy for images in (train, test))
        print(f"group_by={by!r}: held out {100 * held:.1f} %, test set {100 * new:.1f} %")
        print("\n".join(f"    {note}" for note in said if "near copy" in note or "groups" in note))


if __name__ == "__main__":
    main(str(Path(sys.argv[1])))
