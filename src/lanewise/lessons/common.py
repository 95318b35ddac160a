"""What all lessons share: which images they are about, and how drawings are made and kept."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # drawings are written to files: no window is needed
import matplotlib.pyplot as plt

import lanewise
from lanewise.data.images import Images, ImageSets
from lanewise.data.split import stratified_split
from lanewise.errors import DataError
from lanewise.experiments.intervals import difference_interval, share_interval

MOST = 4000, 2000
"""Training and test images at most: a lesson should take a minute, however many there are."""

BLUE, ORANGE, GREY = "#1f5fa8", "#c8501e", "#9aa4ae"
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "font.size": 11, "legend.frameon": False}


def read() -> ImageSets:
    """The images named on the command line, or the digits: the training set `.train` and the test set `.test`."""
    sets = lanewise.load(sys.argv[1] if len(sys.argv) > 1 else "digits")
    learn, evaluate = sets.train, sets.test or sets.validation
    if min(learn.size) < 8:
        raise DataError(f"these images have {learn.size[0]}x{learn.size[1]} pixels; the lessons need 8x8 at least")
    if evaluate is None:  # keep a fifth: the images to evaluate on must not be trained on
        kept, held_out = stratified_split(learn.labels, 0.2, seed=0)
        learn, evaluate = learn.take(kept), learn.take(held_out)
    learn, evaluate = (some(images, most) for images, most in zip((learn, evaluate), MOST, strict=True))
    rows, columns, channels = learn.pixels.shape[1:]
    print(f"{len(learn):,} training images, {len(evaluate):,} test images, {len(learn.classes)} classes.")
    print(f"Each is {rows} x {columns} pixels x {channels} = {rows * columns * channels:,} numbers.")
    return ImageSets(train=learn, test=evaluate)


def some(images: Images, most: int) -> Images:
    """At most so many of the images, of each class in proportion."""
    if len(images) <= most:
        return images
    return images.take(stratified_split(images.labels, most / len(images), seed=0)[1])


def last_layers(images: Images) -> str:
    """How a network for these classes ends: one yes-or-no output for two, else an output for each."""
    count = len(images.classes)
    return "dense 1, sigmoid" if count == 2 else f"dense {count}, softmax"


def one_of_each(images: Images, most: int) -> list[int]:
    """The first image of each class, `most` in all at most."""
    firsts = [int(np.flatnonzero(images.labels == n)[0]) for n in np.unique(images.labels)]
    return firsts[:most]


def example(images: Images) -> np.ndarray:
    """The image that things are shown on: the first of the last class."""
    return images.pixels[one_of_each(images, len(images.classes))[-1]]


def grey(image: np.ndarray) -> np.ndarray:
    """An image (rows, columns, channels) as one number a pixel: the mean of its channels."""
    return image.astype(float).mean(axis=2)


def show_image(axes, image: np.ndarray, title: str = "") -> None:
    """Draw an image as it is.

    Parameters
    ----------
    axes : Axes
    image : (rows, columns, 1 or 3) array
    title : str
    """
    if image.shape[2] == 3:
        axes.imshow(image if image.dtype == np.uint8 else image / max(1, image.max()))
    else:
        axes.imshow(grey(image), cmap="gray")
    bare(axes, title)


def show_map(axes, values: np.ndarray, title: str = "", most: float | None = None) -> None:
    """Draw values: red above 0, white at 0, blue below.

    Parameters
    ----------
    axes : Axes
    values : (rows, columns) array
    title : str
    most : float, optional
        The value with the full colour; by default the largest magnitude.
    """
    most = most or np.abs(values).max() or 1
    axes.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most)
    bare(axes, title)


def frame(axes, top: int, left: int, rows: int, columns: int) -> None:
    """Mark a part of an image or map.

    Parameters
    ----------
    axes : Axes
    top, left, rows, columns : int
    """
    corner = (left - 0.5, top - 0.5)
    axes.add_patch(plt.Rectangle(corner, columns, rows, fill=False, edgecolor=ORANGE, linewidth=3, clip_on=False))


def bare(axes, title: str = "") -> None:
    """No ticks, a thin frame, a title of at most 30 characters a line."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=GREY, linewidth=0.8)
    axes.set_title("\n".join(line if len(line) <= 30 else line[:29] + "…" for line in title.split("\n")), fontsize=10)


def save(figure, name: str) -> None:
    """Write a drawing to lessons/NAME.png in the current folder."""
    folder = Path("lessons")
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight", pad_inches=0.12)
    plt.close(figure)
    print(f"-> lessons/{name}.png")


def options(images: Images) -> dict:
    """How the lessons train: for so long, by such steps, on all the images just as they are."""
    return {"epochs": epochs_for(images), "learning_rate": 0.02, "augment": "none", "validation_fraction": 0}


def trained(sets: ImageSets, network: str, times: int = 3, **others) -> list[lanewise.Model]:
    """Train a network several times, each time from other initial weights.

    Parameters
    ----------
    sets : ImageSets
    network : str
    times : int
    **others
        Options of `lanewise.train`.
    """
    chosen = options(sets.train) | others
    return [lanewise.train(sets, network=network, seed=seed, **chosen) for seed in range(times)]


def learned(sets: ImageSets, network: str, times: int = 3, **others) -> np.ndarray:
    """Tell which test images the networks of `trained` classify correctly.

    Parameters
    ----------
    sets, network, times, **others
        As for `trained`.

    Returns
    -------
    (times, N) bool array
    """
    return np.array([recognised(model, sets.test) for model in trained(sets, network, times, **others)])


def epochs_for(images: Images) -> int:
    """How often to go through the images: twelve times, and more often where they are few."""
    return max(12, min(40, 16_000 // len(images)))


def recognised(model: lanewise.Model, images: Images) -> np.ndarray:
    """Which of the images get their own class as the most probable one: (N,) of True and False."""
    return model.predict_proba(images.pixels).argmax(axis=1) == images.labels


def accuracy(right: np.ndarray) -> str:
    """The share that was recognised, in percent, and between which bounds it lies with a confidence of 95 %."""
    low, high = share_interval(right)
    return f"{100 * right.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"


def verdict(name: str, right: np.ndarray, other_name: str, other: np.ndarray, claims: int = 1) -> str:
    """Say which of two classified more images correctly, claiming no more than the intervals allow.

    Of twenty claims that each hold with 95 % confidence, one is likely to be wrong. The intervals of several claims are
    therefore wider (Bonferroni's correction), so that all of them together hold with 95 % confidence.

    Parameters
    ----------
    name, other_name : str
    right, other : (times, N) bool arrays
        Whether each image was classified correctly.
    claims : int
        How many claims are made together.
    """
    low, high = (100 * bound for bound in difference_interval(right, other, confidence=1 - 0.05 / claims))
    if low > 0:
        return f"{name} is better than {other_name} by {low:.1f} to {high:.1f} points"
    if high < 0:
        return f"{name} is worse than {other_name} by {-high:.1f} to {-low:.1f} points"
    return f"{name} may be better or worse than {other_name} ({low:+.1f} to {high:+.1f} points)"
