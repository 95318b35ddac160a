"""What is odd about single images, and about how many there are of each class."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lanewise.data.folders import SUFFIXES
from lanewise.data_check.findings import NOTE, SERIOUS, WARNING, Case, Collection, Finding
from lanewise.wording import counted, some

FEW = 20
"""Training images of a class below which there are too few."""

MOST_FEW = 12
"""Such classes that are named."""

IMBALANCE = 3.0
"""The largest class has so many times the images of the smallest."""

FLAT = 3.0
"""Standard deviation of the grey of an image, of 255, below which it is called almost constant."""

_ASPECT = 2.0  # times the usual ratio of rows to columns
_FAR = 6.0  # standard deviations, estimated by the median absolute deviation
_COLOURLESS = 1.0  # mean range of red, green and blue in a pixel, of 255
_BLOCK = 512
_ALIKE = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg"}

_TOLD = {
    "unreadable": (
        WARNING,
        "file cannot/cannot be read",
        "Replace or delete them; training skips them.",
    ),
    "ignored": (NOTE, "file is/are no image by name", f"Images end in {' '.join(SUFFIXES[:6])} and the like."),
    "outside": (WARNING, "image lies/lie in no class's folder", "Move each into the folder of its class."),
    "misnamed": (NOTE, "file is/are in another format than the name says", "Harmless here; other programs may fail."),
    "name": (WARNING, "file is/are named like another class", "Check whether they are in the wrong folder."),
    "constant": (
        WARNING,
        "image is/are almost uniform in colour",
        "Delete them, unless a class consists of empty images.",
    ),
    "shape": (
        NOTE,
        "image is/are of another aspect ratio than most, and will be distorted",
        "Crop them to the aspect ratio of the others.",
    ),
    "small": (
        NOTE,
        "image is/are less than half the size that images are resized to",
        "Use larger ones, or train with a smaller --size.",
    ),
    "alpha": (
        NOTE,
        "image has/have an alpha channel; the others have none",
        "Transparent parts become white: make sure that this does not give the class away.",
    ),
    "grey": (
        NOTE,
        "image is/are grey among images in colour",
        "If most are of one class, a network learns that shortcut; --grey turns all images grey.",
    ),
    "brightness": (NOTE, "image is/are far brighter or darker than most", "Check that they show what they should."),
}
"""By kind: severity, what is odd about how many, and what to do about it."""


def files(collection: Collection) -> Iterator[Finding]:
    """Files that cannot be read, that are called what they are not, or that lie where no class is."""
    if collection.layout:
        advice = "Mend this first: lanewise train would stop here."
        yield Finding("layout", SERIOUS, f"{collection.layout}.", advice)
    for kind, found in (("unreadable", collection.unreadable), ("ignored", collection.ignored)):
        yield from _told(kind, [Case((), (name,), reason) for name, reason in found])
    yield from _about(collection, "outside", np.flatnonzero(collection.labels < 0))
    yield from _misnamed(collection)


def _misnamed(collection: Collection) -> Iterator[Finding]:
    cases = []
    for n, (name, kind) in enumerate(zip(collection.names, collection.kinds, strict=False)):  # arrays have no kinds
        suffix = "." + name.rpartition(".")[2].lower()
        if kind and _ALIKE.get(suffix, suffix) != kind:
            cases.append(Case((n,), (name,), f"its name ends in {suffix}, its bytes are {kind}"))
    yield from _told("misnamed", cases)


def counts(collection: Collection) -> Iterator[Finding]:
    """Classes with few images or none, and classes of very different size."""
    by_part = collection.counts()
    learning = by_part.get("train", next(iter(by_part.values())))
    for part, of_class in by_part.items():
        if missing := [name for name, count in of_class.items() if not count]:
            which = "data set" if part == "all" else f"{part} set"
            message = f"The {which} holds no image of {some(map(repr, missing))}."
            severity, advice = (
                (SERIOUS, "A network cannot learn a class without images: add some, or remove the class.")
                if part == "train"
                else (WARNING, f"The {which} cannot measure the accuracy of these classes: add some images.")
            )
            yield Finding("missing-class", severity, message, advice)
    if few := sorted((count, name) for name, count in learning.items() if 0 < count < FEW):
        told = some((f"{name!r} ({count:,})" for count, name in few), MOST_FEW, "more classes")
        message = f"There are fewer than {FEW} training images of {told}."
        yield Finding("few", WARNING, message, "Add more images: a network learns little from so few.")
    present = {name: count for name, count in learning.items() if count}
    if len(present) > 1 and max(present.values()) > IMBALANCE * min(present.values()):
        large, small = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
        share = max(present.values()) / sum(present.values())
        message = (
            f"There are {present[large]:,} images of {large!r} but only {present[small]:,} of {small!r}: a model that "
            f"always predicts {large!r} has an accuracy of {100 * share:.0f} %."
        )
        yield Finding(
            "imbalance", WARNING, message, "Compare the recall of each class, or train with --class-weight balanced."
        )


def almost_constant(collection: Collection) -> NDArray[np.bool_]:
    """Which images hardly vary: (N,)."""
    deviation = np.empty(len(collection))
    for start in range(0, len(collection), _BLOCK):
        image = collection.pixels[start : start + _BLOCK].mean(axis=3, dtype=np.float64)
        deviation[start : start + _BLOCK] = image.std(axis=(1, 2))
    whole = 255.0 if collection.pixels.dtype == np.uint8 else float(np.ptp(collection.pixels))
    found: NDArray[np.bool_] = deviation < FLAT / 255 * whole
    return found


def looks(collection: Collection, constant: NDArray[np.bool_]) -> Iterator[Finding]:
    """Almost constant images, and those whose shape, colours or brightness are unlike the others'."""
    yield from _about(collection, "constant", np.flatnonzero(constant))
    yield from _shapes(collection)
    yield from _colours(collection)
    yield from _brightness(collection, constant)


def _shapes(collection: Collection) -> Iterator[Finding]:
    def size(n: int) -> str:
        return "{}x{} (rows x columns)".format(*collection.sizes[n])

    rows, columns = collection.sizes.T.astype(float)
    tall = np.log(rows / columns)
    odd = np.abs(tall - np.median(tall)) > np.log(_ASPECT)
    yield from _about(collection, "shape", np.flatnonzero(odd), size)
    to = collection.pixels.shape[1:3]
    yield from _about(collection, "small", np.flatnonzero((rows < to[0] / 2) & (columns < to[1] / 2)), size)


def _colours(collection: Collection) -> Iterator[Finding]:
    if not collection.alpha.all():
        yield from _about(collection, "alpha", np.flatnonzero(collection.alpha))
    if collection.pixels.shape[3] != 3 or collection.pixels.dtype != np.uint8:
        return
    colour = np.empty(len(collection))
    for start in range(0, len(collection), _BLOCK):
        pixels = collection.pixels[start : start + _BLOCK]
        colour[start : start + _BLOCK] = (pixels.max(axis=3) - pixels.min(axis=3)).mean(axis=(1, 2))
    odd = np.flatnonzero(colour < _COLOURLESS)
    if len(odd) < len(collection) / 2:
        yield from _about(collection, "grey", odd)


def _brightness(collection: Collection, constant: NDArray[np.bool_]) -> Iterator[Finding]:
    mean = np.array([image.mean(dtype=np.float64) for image in collection.pixels])
    middle = np.median(mean)
    spread = 1.4826 * np.median(np.abs(mean - middle))
    if spread == 0 or len(mean) < 30:
        return
    far = np.abs(mean - middle) / spread
    odd = np.flatnonzero((far > _FAR) & ~constant)
    odd = odd[np.argsort(-far[odd], kind="stable")]
    yield from _about(collection, "brightness", odd, lambda n: f"mean {mean[n]:.4g}, where {middle:.4g} is usual")


def names(collection: Collection) -> Iterator[Finding]:
    """Files whose name holds another class's name and not that of their own."""
    if not collection.files:
        return
    words = {label: re.compile(rf"(?<![a-z]){re.escape(label.lower())}(?![a-z])") for label in collection.classes}
    said = [label for label in collection.classes if len(label) >= 3 and not label.isdecimal()]
    cases = []
    for n, name in enumerate(collection.names):
        own, base = collection.label(n), name.rpartition("/")[2].lower()
        others = [label for label in said if label != own and words[label].search(base)]
        if own is not None and others and not words[own].search(base):
            cases.append(Case((n,), (name,), f"labelled {own!r}, but its name says {others[0]!r}"))
    yield from _told("name", cases)


def _about(
    collection: Collection, kind: str, which: NDArray[np.int64], detail: Callable[[int], str] | None = None
) -> Iterator[Finding]:
    """The finding about some images, if there are any; without a `detail` of each, their labels are told."""
    labelled = detail is None and (collection.labels[which] >= 0).all()

    def label(n: int) -> str:
        return f"labelled {collection.label(n)!r}" if collection.labels[n] >= 0 else ""

    cases = [Case((n,), (collection.names[n],), (detail or label)(n)) for n in which.tolist()]
    yield from _told(kind, cases, f" By label: {_by_class(collection, which)}." if labelled and len(which) > 1 else "")


def _told(kind: str, cases: Sequence[Case], more: str = "") -> Iterator[Finding]:
    """The finding of a kind, if there are any cases of it."""
    severity, what, advice = _TOLD[kind]
    noun, verb, rest = what.split(maxsplit=2)
    if cases:
        yield Finding(kind, severity, f"{counted(len(cases), noun, verb)} {rest}.{more}", advice, tuple(cases))


def _by_class(collection: Collection, which: NDArray[np.int64]) -> str:
    """How many of some images each class has, the most first."""
    counts = np.bincount(collection.labels[which], minlength=len(collection.classes))
    order = [n for n in np.argsort(-counts, kind="stable").tolist() if counts[n]]
    return some((f"{collection.classes[n]!r} {counts[n]:,}" for n in order), others="more classes")
