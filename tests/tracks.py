"""Images of which several show the same thing: frames of tracks, slightly moved and brightened."""

from __future__ import annotations

import numpy as np

from lanewise.data.images import Images


def tracks(count: int = 24, frames: int = 10, classes: int = 2, side: int = 12, seed: int = 0) -> Images:
    """Tracks of random textures, named CLASS/TRACK_FRAME.png: nothing tells the class of a track but the track."""
    random = np.random.default_rng(seed)
    pixels, names, labels = [], [], []
    for track in range(count):
        label = track % classes
        base = random.uniform(30, 220, (4, 4, 1)).repeat((side + 4) // 4, axis=0).repeat((side + 4) // 4, axis=1)
        base = (base + np.roll(base, 1, axis=0) + np.roll(base, 1, axis=1) + np.roll(base, (1, 1), axis=(0, 1))) / 4
        for frame in range(frames):
            r, c = random.integers(1, 3, 2)
            moved = base[r : r + side, c : c + side] * random.uniform(0.85, 1.15) + random.normal(0, 2, (side, side, 1))
            pixels.append(np.clip(moved, 0, 255).astype(np.uint8))
            names.append(f"{'ab'[label] if classes == 2 else f'c{label}'}/{track:05}_{frame:05}.png")
            labels.append(label)
    chosen = tuple("ab" if classes == 2 else (f"c{n}" for n in range(classes)))
    return Images(np.array(pixels), np.array(labels, np.int32), chosen, names=tuple(names))
