"""What is odd about single images, and about how many there are of each class."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lanewise.data.folders import SUFFIXES
from lanewise.data_check.findings import NOTE, SERIOUS, WARNING, Case, Collection, Finding, counted

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


def files(collection: Collection) -> Iterator[Finding]:
    """Files that cannot be read, that are called what they are not, or that lie where no class is."""
    if collection.layout:
        advice = "Mend this first: lanewise train would stop here."
        yield Finding("layout", SERIOUS, f"{collection.layout}.", advice)
    if collection.unreadable:
        cases = tuple(Case((), (name,), reason) for name, reason in collection.unreadable)
        message = f"{counted(len(cases), 'file')} cannot be read."
        yield Finding("unreadable", WARNING, message, "Fetch them anew or delete them: training skips them.", cases)
    if collection.ignored:
        cases = tuple(Case((), (name,), reason) for name, reason in collection.ignored)
        message = f"{counted(len(cases), 'file', 'is/are')} no image by name."
        yield Finding("ignored", NOTE, message, f"Images end in {' '.join(SUFFIXES[:6])} and the like.", cases)
    outside = np.flatnonzero(collection.labels < 0)
    if len(outside):
        message = f"{counted(len(outside), 'image', 'lies/lie')} in no class's folder."
        yield _about(collection, "outside", WARNING, message, "Move each into the folder of its class.", outside)
    if collection.kinds:
        yield from _misnamed(collection)


def _misnamed(collection: Collection) -> Iterator[Finding]:
    cases = []
    for n, (name, kind) in enumerate(zip(collection.names, collection.kinds, strict=True)):
        suffix = "." + name.rpartition(".")[2].lower()
        if kind and _ALIKE.get(suffix, suffix) != kind:
            cases.append(Case((n,), (name,), f"its name ends in {suffix}, its bytes are {kind}"))
    if cases:
        message = f"{counted(len(cases), 'file', 'is/are')} in another format than the name says."
        yield Finding("misnamed", NOTE, message, "Harmless here; other programs may fail.", tuple(cases))


def counts(collection: Collection) -> Iterator[Finding]:
    """Classes with few images or none, and classes of very different size."""
    by_part = collection.counts()
    learning = by_part.get("train", next(iter(by_part.values())))
    for part, of_class in by_part.items():
        if missing := [name for name, count in of_class.items() if not count]:
            which = "data set" if part == "all" else f"{part} set"
            message = f"The {which} holds no image of {_named(missing)}."
            severity, advice = (
                (SERIOUS, "A network cannot learn a class without images: add some, or remove the class.")
                if part == "train"
                else (WARNING, f"The {which} cannot measure the accuracy of these classes: add some images.")
            )
            yield Finding("missing-class", severity, message, advice)
    if few := sorted((count, name) for name, count in learning.items() if 0 < count < FEW):
        told = ", ".join(f"{name!r} ({count:,})" for count, name in few[:MOST_FEW])
        more = f" and {len(few) - MOST_FEW} more classes" if len(few) > MOST_FEW else ""
        message = f"There are fewer than {FEW} training images of {told}{more}."
        yield Finding("few", WARNING, message, "Add more images: so few teach a network little.")
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
    if constant.any():
        message = f"{counted(int(constant.sum()), 'image', 'is/are')} almost uniform in colour."
        advice = "Delete them, unless a class consists of empty images."
        yield _about(collection, "constant", WARNING, message, advice, np.flatnonzero(constant))
    yield from _shapes(collection)
    yield from _colours(collection)
    yield from _brightness(collection, constant)


def _shapes(collection: Collection) -> Iterator[Finding]:
    rows, columns = collection.sizes.T.astype(float)
    tall = np.log(rows / columns)
    odd = np.flatnonzero(np.abs(tall - np.median(tall)) > np.log(_ASPECT))
    if len(odd):
        details = [f"{collection.sizes[n][0]}x{collection.sizes[n][1]} (rows x columns)" for n in odd]
        message = f"{counted(len(odd), 'image', 'is/are')} of another aspect ratio than most, and will be distorted."
        yield _about(collection, "shape", NOTE, message, "Crop them to the aspect ratio of the others.", odd, details)
    to = collection.pixels.shape[1:3]
    small = np.flatnonzero((rows < to[0] / 2) & (columns < to[1] / 2))
    if len(small):
        details = [f"{collection.sizes[n][0]}x{collection.sizes[n][1]} (rows x columns)" for n in small]
        message = f"{counted(len(small), 'image', 'is/are')} less than half the size that images are resized to."
        yield _about(
            collection, "small", NOTE, message, "Use larger ones, or train with a smaller --size.", small, details
        )


def _colours(collection: Collection) -> Iterator[Finding]:
    if collection.alpha.any() and not collection.alpha.all():
        odd = np.flatnonzero(collection.alpha)
        message = f"{counted(len(odd), 'image', 'has/have')} an alpha channel; the others have none."
        advice = "Transparent parts become white: make sure that this does not give the class away."
        yield _about(collection, "alpha", NOTE, message, advice, odd)
    if collection.pixels.shape[3] != 3 or collection.pixels.dtype != np.uint8:
        return
    colour = np.empty(len(collection))
    for start in range(0, len(collection), _BLOCK):
        pixels = collection.pixels[start : start + _BLOCK]
        colour[start : start + _BLOCK] = (pixels.max(axis=3) - pixels.min(axis=3)).mean(axis=(1, 2))
    odd = np.flatnonzero(colour < _COLOURLESS)
    if 0 < len(odd) < len(collection) / 2:
        message = f"{counted(len(odd), 'image', 'is/are')} grey among images in colour."
        advice = "If most are of one class, a network learns that shortcut; --grey turns all images grey."
        yield _about(collection, "grey", NOTE, message, advice, odd)


def _brightness(collection: Collection, constant: NDArray[np.bool_]) -> Iterator[Finding]:
    mean = np.array([image.mean(dtype=np.float64) for image in collection.pixels])
    middle = np.median(mean)
    spread = 1.4826 * np.median(np.abs(mean - middle))
    if spread == 0 or len(mean) < 30:
        return
    far = np.abs(mean - middle) / spread
    odd = np.flatnonzero((far > _FAR) & ~constant)
    if len(odd):
        odd = odd[np.argsort(-far[odd], kind="stable")]
        details = [f"mean {mean[n]:.4g}, where {middle:.4g} is usual" for n in odd]
        message = f"{counted(len(odd), 'image', 'is/are')} far brighter or darker than most."
        yield _about(collection, "brightness", NOTE, message, "Check that they show what they should.", odd, details)


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
    if cases:
        message = f"{counted(len(cases), 'file', 'is/are')} named like another class."
        yield Finding("name", WARNING, message, "Check whether they are in the wrong folder.", tuple(cases))


def _about(
    collection: Collection,
    kind: str,
    severity: str,
    message: str,
    advice: str,
    which: NDArray[np.int64],
    details: list[str] | None = None,
) -> Finding:
    if len(which) > 1 and details is None and (collection.labels[which] >= 0).all():
        message += f" By label: {_by_class(collection, which)}."
    said = details or [f"labelled {collection.label(n)!r}" if collection.labels[n] >= 0 else "" for n in which]
    cases = tuple(Case((int(n),), (collection.names[n],), text) for n, text in zip(which, said, strict=True))
    return Finding(kind, severity, message, advice, cases)


def _by_class(collection: Collection, which: NDArray[np.int64]) -> str:
    """How many of some images each class has, the most first."""
    counts = np.bincount(collection.labels[which], minlength=len(collection.classes))
    order = [n for n in np.argsort(-counts, kind="stable").tolist() if counts[n]]
    told = ", ".join(f"{collection.classes[n]!r} {counts[n]:,}" for n in order[:6])
    return told + (f" and {len(order) - 6} more classes" if len(order) > 6 else "")


def _named(labels: list[str]) -> str:
    return ", ".join(map(repr, labels[:6])) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
