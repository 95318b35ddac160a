"""Images that are there more than once: the same file, the same pixels, or nearly so.

Near copies are those whose correlation stays above `ALIKE` when cropped and mirrored versions are tried (see
`likeness.py`), and which are far more alike than the image's sixth neighbour is: where all images look alike, as
digits do, likeness alone says nothing. How far more depends on how much there is to compare. A correlation over n
values, as Fisher's z = artanh(correlation), has a standard error of 1 / sqrt(n - 3). So the z of a near copy must
exceed that of the sixth neighbour by a fixed number of standard errors, whatever the size of the images; n is how many
frequencies make up nearly all of their variation, which enlarging them does not raise.

Features of a pretrained network, where there are some, find copies whose pixels no longer lie over one another, being
rotated or cropped by more. Near copies are then also those whose features have a cosine of `SIMILAR`, and are closer
than the sixth neighbour by `NEARER`.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Pixels
from lanewise.data_check.findings import NOTE, SERIOUS, SETS, WARNING, Case, Collection, Finding
from lanewise.data_check.nearest import CANDIDATES, NEAREST, neighbours
from lanewise.data_check.similarity import SIDE, Floats, aligned, cells, same_colours, values_compared
from lanewise.wording import counted, listed

ALIKE = 0.95
"""Correlation of near copies, at least."""

CLOSER = 0.3
"""How far near copies may be from one another, as a share of the distance to the sixth neighbour, in large images."""

_COARSELY = 0.75  # correlation of 8x8 cells from which on they are
_MOST_PAIRS = 40_000
_BLOCK = 2048  # pairs that are looked at closely together
_ROWS = 512  # images whose features are compared with those of all
_ENOUGH = 170  # values to compare, from which on `CLOSER` holds: photographs of 24x24 or more have as many

SIMILAR = 0.8
"""Cosine of the features of near copies, at least."""

NEARER = 0.45
"""How far apart the features of near copies may be (1 - cosine), as a share of the distance to the sixth neighbour."""

EXACT = ("the same file", "the same pixels")
BY_FEATURES = "alike by features"


@dataclass(frozen=True, slots=True)
class Link:
    """Two images that are one, in what way, and how alike they are at best: the correlation, or cosine of features."""

    one: int
    other: int
    how: str
    correlation: float = 1.0

    @property
    def exact(self) -> bool:
        """Whether all bytes or all pixels are the same."""
        return self.how in EXACT


def closer(values: int) -> float:
    """How far near copies may be from one another, as a share of the distance to the sixth neighbour.

    Where correlations are near 1, the difference of two z is half the logarithm of the ratio of what they lack to 1.
    So the share is `CLOSER` where 170 values or more are compared, about 0.08 for images of 8x8, and 0 for 3 or fewer.
    """
    return math.exp(math.log(CLOSER) * math.sqrt((_ENOUGH - 3) / (min(values, _ENOUGH) - 3))) if values > 3 else 0.0


def links(
    collection: Collection,
    constant: NDArray[np.bool_],
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    features: Floats | None = None,
) -> tuple[Link, ...]:
    """Find pairs of copies and near copies.

    Parameters
    ----------
    collection : Collection
    constant : (N,) bool
        Images to leave out, because they are nearly of one colour.
    threads : int, optional
        All processors by default.
    progress : callable, optional
        Called with the number of images that are compared, and of all.
    features : (N, F) float32, optional
        Those of a pretrained network, to compare by as well.

    Returns
    -------
    tuple of Link
        Of many exact copies, each is linked to the first.
    """
    exact = [*_exact(collection, constant)]
    copies = {link.other for link in exact}
    left = np.array([n for n in range(len(collection)) if n not in copies and not constant[n]], np.int64)
    near = [*_near(collection, left, threads, progress)]
    known = {(link.one, link.other) for link in near}
    found = () if features is None else similar(features[left])
    more = [Link(int(left[one]), int(left[other]), BY_FEATURES, cosine) for one, other, cosine in found]
    return (*exact, *near, *(link for link in more if (link.one, link.other) not in known))


def similar(features: Floats) -> Iterator[tuple[int, int, float]]:
    """Find the pairs of near copies among images by their features (N, F): their positions, the lower first, and the
    cosine."""
    unit = features / np.maximum(np.sqrt((features * features).sum(axis=1, keepdims=True)), 1e-12)
    room = np.zeros(len(unit), np.float32)
    candidates: list[tuple[int, int, float]] = []
    for start in range(0, len(unit), _ROWS):
        cosine = np.round(unit[start : start + _ROWS] @ unit.T, 4)
        rows = np.arange(len(cosine))
        cosine[rows, start + rows] = -1  # itself
        sixth = np.partition(cosine, -min(NEAREST, len(unit)), axis=1)[:, -min(NEAREST, len(unit))]
        room[start : start + _ROWS] = NEARER * (1 - sixth)
        near = (cosine >= SIMILAR) & (1 - cosine < room[start : start + _ROWS, None])
        one, other = np.nonzero(near)
        found = zip((start + one).tolist(), other.tolist(), cosine[one, other].tolist(), strict=True)
        candidates += [pair for pair in found if pair[0] < pair[1]]
    return (pair for pair in candidates if 1 - pair[2] < room[pair[1]])


def groups(found: Iterable[Link]) -> list[tuple[tuple[int, ...], tuple[Link, ...]]]:
    """Images that are linked, over others if need be, each group with its links; in the order of the images."""
    parent: dict[int, int] = {}

    def root(n: int) -> int:
        while parent.setdefault(n, n) != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    found = tuple(found)
    for link in found:
        low, high = sorted((root(link.one), root(link.other)))
        parent[high] = low
    members, their = defaultdict(list), defaultdict(list)
    for n in sorted(parent):
        members[root(n)].append(n)
    for link in found:
        their[root(link.one)].append(link)
    return [(tuple(members[n]), tuple(their[n])) for n in sorted(members)]


def copies(collection: Collection, found: Iterable[Link]) -> list[Finding]:
    """Sort groups of copies by what harm they do: in two sets, with two labels (a group may be both), or neither."""
    cases: dict[str, list[Case]] = defaultdict(list)
    for members, their in sorted(groups(found), key=lambda group: -_likeness(group[1])):
        names = tuple(collection.names[n] for n in members)
        how = ", ".join(_ways(their))
        labels = {label for n in members if (label := collection.label(n)) is not None}
        parts = {collection.part(n) for n in members}
        kinds = []
        if len(parts) > 1:
            how += f"; in {' and '.join(part for part in collection.part_names if part in parts)}"
            kinds.append("across-splits")
        if len(labels) > 1:
            how += f"; labelled {' and '.join(sorted(map(repr, labels)))}"
            kinds.append("two-labels")
        for kind in kinds or ["copies" if all(link.exact for link in their) else "near-copies"]:
            cases[kind].append(Case(members, names, how))
    return [_finding(kind, tuple(cases[kind]), collection) for kind in _TOLD if kind in cases]


def leaked(cases: Iterable[Case], collection: Collection) -> dict[tuple[str, str], tuple[int, ...]]:
    """Which images of each set have a copy in a set before it, by (its set, the first set with a copy), in order.

    Each image counts once. All that is said of copies across sets counts so.
    """
    found: dict[tuple[int, int], set[int]] = defaultdict(set)
    for case in cases:
        first = min(int(collection.parts[n]) for n in case.images)
        for n in case.images:
            if collection.parts[n] > first:
                found[int(collection.parts[n]), first].add(n)
    names = collection.part_names
    return {(names[own], names[first]): tuple(sorted(found[own, first])) for own, first in sorted(found)}


def _ways(their: Sequence[Link]) -> Iterator[str]:
    """In which ways images of a group are copies, each with how alike the least alike are."""
    for how in sorted({link.how for link in their}):
        least = min(link.correlation for link in their if link.how == how)
        measure = "cosine" if how == BY_FEATURES else "correlation"
        yield how if how in EXACT else f"{how} ({measure} {least:.3f})"


def _likeness(their: Iterable[Link]) -> float:
    """Of a group: how alike the least alike of its links are."""
    return min(link.correlation for link in their)


_TOLD = {
    "across-splits": (
        SERIOUS,
        "in two sets",
        "Keep each in one set only: the accuracy on images that a network was trained on says nothing.",
    ),
    "two-labels": (SERIOUS, "there with different labels", "Decide which label is right, and keep one copy of each."),
    "copies": (WARNING, "there more than once", "Keep one of each, unless they are meant to count more."),
    "near-copies": (
        NOTE,
        "there more than once, except for a crop, a mirror, the brightness or compression",
        "Keep one of each, or keep all in one set: a random split would put near copies into both sets (leakage).",
    ),
}


KINDS = tuple(_TOLD)
"""Of findings about copies, the most serious first."""


def _finding(kind: str, cases: tuple[Case, ...], collection: Collection) -> Finding:
    severity, what, advice = _TOLD[kind]
    if kind != "across-splits":
        return Finding(kind, severity, f"{counted(len(cases), 'image', 'is/are')} {what}.", advice, cases)
    found = leaked(cases, collection)
    images = sum(map(len, found.values()))
    groups = "" if len(cases) == images else f", in {counted(len(cases), 'group')} of copies"
    message = f"{listed([_shared(len(which), *sets) for sets, which in found.items()])}, or nearly so{groups}."
    return Finding(kind, severity, message, advice, cases, images)


def _shared(count: int, own: str, first: str) -> str:
    sets = [f"the {SETS.get(name, f'set {name}')}" for name in (own, first)]
    return f"{counted(count, 'image')} of {sets[0]} {'is' if count == 1 else 'are'} also in {sets[1]}"


def _exact(collection: Collection, constant: NDArray[np.bool_]) -> Iterable[Link]:
    first_file: dict[bytes, int] = {}
    first_pixels: dict[bytes, int] = {}
    for n in np.flatnonzero(~constant).tolist():
        if collection.files and collection.files[n] in first_file:
            yield Link(first_file[collection.files[n]], n, "the same file")
            continue
        if collection.files:
            first_file[collection.files[n]] = n
        size = collection.sizes[n].tobytes()  # the same pixels before they were resized, not only after
        digest = hashlib.blake2b(collection.pixels[n].tobytes() + size, digest_size=16).digest()
        if digest in first_pixels:
            yield Link(first_pixels[digest], n, "the same pixels")
        else:
            first_pixels[digest] = n


def _near(
    collection: Collection, chosen: NDArray[np.int64], threads: int | None, progress: Callable[[int, int], None] | None
) -> Iterable[Link]:
    if len(chosen) < 2:
        return
    pixels = collection.pixels if len(chosen) == len(collection) else collection.pixels[chosen]
    found = neighbours(pixels, threads, progress)
    ambient = 1 - found.correlation[:, NEAREST - 1]
    distance = 1 - found.correlation[:, :CANDIDATES]
    promise = distance / np.maximum(ambient, 1e-6)[:, None]
    one, place = np.nonzero((distance < 1 - _COARSELY) & (promise < 1))
    order = np.argsort(promise[one, place], kind="stable")[:_MOST_PAIRS]
    one, place = one[order], place[order]
    other, mirrored = found.which[one, place], found.mirrored[one, place]
    _, first = np.unique(np.sort([one, other], axis=0), axis=1, return_index=True)  # each pair is often found twice
    one, other, mirrored = one[first], other[first], mirrored[first]
    correlation = np.round(_looked_at_closely(pixels, one, other, mirrored), 4)
    room = closer(values_compared(pixels)) * np.minimum(ambient[one], ambient[other])
    likely = np.flatnonzero((correlation >= ALIKE) & (1 - correlation < room))
    answers = pixels[other[likely]]
    answers[mirrored[likely]] = answers[mirrored[likely], :, ::-1]
    for k in likely[same_colours(pixels[one[likely]], answers)].tolist():
        how = "mirrored" if mirrored[k] else "nearly the same"
        low, high = sorted((int(chosen[one[k]]), int(chosen[other[k]])))
        yield Link(low, high, how, float(correlation[k]))


def _looked_at_closely(
    pixels: Pixels, one: NDArray[np.int64], other: NDArray[np.int64], mirrored: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Correlations of pairs, windows being moved: (pairs,)."""
    correlation = np.empty(len(one), np.float32)
    for start in range(0, len(one), _BLOCK):
        here = slice(start, start + _BLOCK)
        asked, answers = (cells(pixels[which[here]], SIDE) for which in (one, other))
        asked[mirrored[here]] = asked[mirrored[here], :, ::-1]
        correlation[here] = aligned(asked, answers)
    return correlation
