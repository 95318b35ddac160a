"""All images of all sets, read more leniently than for training: the check reports what is wrong."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from lanewise.caching import cache_folder
from lanewise.data.decode import Header, read_header
from lanewise.data.folders import Listing, Tree, entered, list_sets, list_tree, opened, part_named
from lanewise.data.grouping import joint
from lanewise.data.images import Images, ImageSets, Pixels, empty_pixels
from lanewise.data.listings import contents_of
from lanewise.data.load import check_files_will_do, load
from lanewise.data.reading import FilesProgress, Target, choose_size, decoded, groups_of
from lanewise.data.records import Records
from lanewise.data.source import is_files
from lanewise.data.tree import ImageFile
from lanewise.data_check.findings import Collection
from lanewise.errors import DataError
from lanewise.notes import unheard
from lanewise.preprocessing import Preprocessing
from lanewise.resizing import STRETCH

_STARTS = ((b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"), (b"BM", ".bmp"))


def gather(
    source: str | os.PathLike[str] | Images | ImageSets | ArrayLike,
    y: ArrayLike | None = None,
    progress: FilesProgress | None = None,
    like: Preprocessing | None = None,
    group_by: str | None = None,
) -> Collection:
    """Read the images to check.

    Parameters
    ----------
    source : path, "digits", array, Images or ImageSets
    y : (N,) array, optional
        Labels, where `source` is an array.
    progress : callable, optional
        Called with the number of files that are done, and of all.
    like : Preprocessing, optional
        Read files as a model with this preprocessing takes them.
    group_by : str, optional
        The array of an .npz file that holds the group of each image.

    Returns
    -------
    Collection

    Raises
    ------
    DataError
        When there is no readable image.
    """
    if isinstance(source, ImageSets):
        return _from_sets(source)
    if isinstance(source, Images):
        return from_parts({"train": source})
    if isinstance(source, str | os.PathLike):
        if y is not None:
            raise DataError(f"{os.fspath(source)} has labels already: omit `y`")
        if is_files(source):
            found = contents_of(source, group_by)
            if isinstance(found, Records):
                return _from_records(found, progress, like)
            return _from_folder(found, progress, like)
        return _from_sets(load(source, progress=progress, group_by=group_by, notes=unheard))
    if y is None:
        raise DataError("images given as an array need labels: check(x, y)")
    return _from_sets(load((source, y), notes=unheard))


def from_parts(parts: Mapping[str, Images], unreadable: tuple[tuple[str, str], ...] = ()) -> Collection:
    """Put images in memory together; `parts` go by the names "train", "validation" and "test", or others.

    Raises
    ------
    DataError
        When some have no labels.
    """
    parts = {name: part for name, part in parts.items() if len(part)}
    if any(part.labels is None for part in parts.values()):
        raise DataError("images without labels cannot be checked: give each its class")
    if not parts:
        raise DataError("there are no images to look at")
    first, count = next(iter(parts.values())), sum(map(len, parts.values()))
    pixels = first.pixels
    if len(parts) > 1:
        pixels = empty_pixels((count, *first.pixels.shape[1:]), first.pixels.dtype)
        np.concatenate([part.pixels for part in parts.values()], out=pixels)
    names = [part.names[n] if part.names else f"{name} {n}" for name, part in parts.items() for n in range(len(part))]
    return Collection(
        pixels=pixels,
        labels=np.concatenate([part.labels for part in parts.values() if part.labels is not None]),
        classes=first.classes,
        parts=np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts.values()]),
        part_names=tuple(parts),
        names=tuple(names),
        sizes=np.tile(np.array(first.size, np.int32), (count, 1)),
        grey=np.zeros(count, bool),
        alpha=np.zeros(count, bool),
        unreadable=unreadable,
        groups=joint(tuple(parts.values())),
    )


def _from_sets(sets: ImageSets) -> Collection:
    return from_parts(sets.parts, sets.skipped)


Place = tuple[str | None, str | None]
"""The set that an image is of, and its class, as far as it has them."""


def _from_folder(source: Tree, progress: FilesProgress | None, like: Preprocessing | None) -> Collection:
    root = entered(opened(source))[0]
    listing = list_tree(root, "")
    if not listing.files:
        raise DataError(f"there are no images in {root}")
    folders = [file.name.split("/")[:-1] for file in listing.files]
    in_parts = all(part_named(path[0]) for path in folders if path)
    places: list[Place] = []
    for path in folders:
        part = part_named(path[0]) if in_parts and path else None
        inside = path[1:] if part else path
        places.append((part, inside[0] if inside else None))
    return _read(listing, places, progress, like, _layout(root))


def _from_records(found: Records, progress: FilesProgress | None, like: Preprocessing | None) -> Collection:
    listing = found.listing(None, found.classes())
    return _read(listing, [(record.part, record.label) for record in found.records], progress, like, None)


def _read(
    listing: Listing,
    places: Sequence[Place],
    progress: FilesProgress | None,
    like: Preprocessing | None,
    layout: str | None,
) -> Collection:
    """All images of a listing with a place each, those that cannot be read left out."""
    root = listing.folder
    none = f"none of {len(listing.files):,} images in {root} can be read"
    known, bad = _headers(listing.files)
    if not known:
        raise DataError(f"{none}; {bad[0][0]!r}: {bad[0][1]}")
    size = choose_size([(header.rows, header.columns) for _, header in known])
    channels, bits, fit = 1 if all(header.grey for _, header in known) else 3, None, STRETCH
    if like is not None:
        check_files_will_do(like.channels)
        size, channels, bits, fit = (like.rows, like.columns), like.channels, like.bits, like.fit
    # all files, and from the cache, so that training after it decodes nothing again
    pixels, facts = decoded(listing, Target(size, channels, bits=bits, fit=fit), cache_folder("images"), progress)
    broken = {int(n): str(reason) for n, reason in facts["bad"]}
    headers = dict(known)
    of = [n for n in range(len(listing.files)) if n not in broken]
    good = [(file, headers[file]) for file in (listing.files[n] for n in of)]
    groups = groups_of(listing, broken)
    collection = _collected(pixels, good, [places[n] for n in of])
    unreadable = tuple(sorted((listing.files[n].name, reason) for n, reason in broken.items()))
    ignored = listing.skipped
    return replace(collection, unreadable=unreadable, ignored=ignored, layout=layout, groups=groups)


def _headers(files: Sequence[ImageFile]) -> tuple[list[tuple[ImageFile, Header]], list[tuple[str, str]]]:
    """The files that say what they are, with that; names and reasons of the others."""
    known, bad = [], []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # about metadata, which is no concern here
        for file in files:
            try:
                known.append((file, read_header(file.peek())))
            except DataError as reason:
                bad.append((file.name, str(reason)))
    return known, bad


def _collected(pixels: Pixels, known: Sequence[tuple[ImageFile, Header]], places: Sequence[Place]) -> Collection:
    parts = [part or "train" for part, _ in places]
    labels = [label for _, label in places]
    part_names = tuple(part for part in ("train", "validation", "test") if part in parts)
    classes = tuple(sorted({label for label in labels if label is not None}))
    read = [_digest(file) for file, _ in known]
    return Collection(
        pixels=pixels,
        labels=np.array([-1 if label is None else classes.index(label) for label in labels], np.int32),
        classes=classes,
        parts=np.array([part_names.index(part) for part in parts], np.int32),
        part_names=part_names,
        names=tuple(file.name for file, _ in known),
        sizes=np.array([(header.rows, header.columns) for _, header in known], np.int32),
        grey=np.array([header.grey for _, header in known]),
        alpha=np.array([header.alpha for _, header in known]),
        files=tuple(digest for digest, _ in read),
        kinds=tuple(kind for _, kind in read),
        sources=tuple(file for file, _ in known),
    )


def _layout(root: Tree) -> str | None:
    try:
        list_sets(root)
    except DataError as error:
        text = str(error)
        return text if text.startswith(str(root)) else text[:1].upper() + text[1:]  # a name stays as it is
    return None


def _digest(file: ImageFile) -> tuple[bytes, str]:
    """A digest of a file, and the suffix that its first bytes ask for."""
    source = file.source()
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as content:
        start = content.read(8)
        content.seek(0)
        digest = hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).digest()
    return digest, next((suffix for sign, suffix in _STARTS if start.startswith(sign)), "")
