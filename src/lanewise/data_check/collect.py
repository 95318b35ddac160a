"""All images of all sets, read more leniently than for training: the check reports what is wrong."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from lanewise.data.decode import MAX_PIXELS, Header, read_header
from lanewise.data.folders import ImageFile, entered, list_sets, list_tree, part_named, printable
from lanewise.data.images import Images, ImageSets, empty_pixels
from lanewise.data.load import load
from lanewise.data.reading import FilesProgress, choose_size, decode_into
from lanewise.data_check.findings import Collection
from lanewise.errors import DataError
from lanewise.notes import unheard
from lanewise.preprocessing import Preprocessing

_STARTS = ((b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"), (b"BM", ".bmp"))
_BLOCK = 2**20  # bytes of a file that are looked at together


def gather(
    source: str | os.PathLike[str] | Images | ImageSets | ArrayLike,
    y: ArrayLike | None = None,
    progress: FilesProgress | None = None,
    like: Preprocessing | None = None,
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
        if os.path.isdir(source):
            return _from_folder(entered(Path(source))[0], progress, like)
        return _from_sets(load(source, progress=progress, notes=unheard))
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
    )


def _from_sets(sets: ImageSets) -> Collection:
    given = {"train": sets.train, "validation": sets.validation, "test": sets.test}
    return from_parts({name: part for name, part in given.items() if part is not None}, sets.skipped)


def _from_folder(root: Path, progress: FilesProgress | None, like: Preprocessing | None) -> Collection:
    listing = list_tree(root)
    start = len(printable(str(root)).rstrip("/")) + 1
    ignored = tuple((name[start:], reason) for name, reason in listing.skipped)
    if not listing.files:
        raise DataError(f"there are no images in {root}")
    headers, bad = _headers(listing.files)
    good = [file for file, header in zip(listing.files, headers, strict=True) if header is not None]
    known = [header for header in headers if header is not None]
    if not good:
        raise DataError(f"none of {len(listing.files):,} images in {root} can be read; {bad[0][0]!r}: {bad[0][1]}")
    size: Sequence[int] = choose_size([(header.rows, header.columns) for header in known])
    channels = 1 if all(header.grey for header in known) else 3
    bits = None
    if like is not None:
        *size, channels = like.shape
        bits = like.bits
        if channels not in (1, 3):
            raise DataError(f"the model takes images of {channels} channels: files give 1 or 3, so give it arrays")
    pixels = empty_pixels((len(good), *size, channels))
    broken = {int(n): str(reason) for n, reason in decode_into(pixels, good, MAX_PIXELS, progress, bits)["bad"]}
    if len(broken) == len(good):
        raise DataError(f"none of {len(listing.files):,} images in {root} can be read; {good[0].name!r}: {broken[0]}")
    bad += [(good[n].name, reason) for n, reason in broken.items()]
    kept = [n for n in range(len(good)) if n not in broken]
    return _collected(
        root,
        pixels[: len(kept)],
        [good[n] for n in kept],
        [known[n] for n in kept],
        sorted((name[start:], reason) for name, reason in bad),
        ignored,
    )


def _headers(files: Sequence[ImageFile]) -> tuple[list[Header | None], list[tuple[str, str]]]:
    """What each file says of itself; None, and the reason, where it says nothing."""
    headers: list[Header | None] = []
    bad = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # about metadata, which is no concern here
        for file in files:
            try:
                headers.append(read_header(file.path))
            except DataError as reason:
                headers.append(None)
                bad.append((file.name, str(reason)))
    return headers, bad


def _collected(
    root: Path,
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.float32]],
    files: Sequence[ImageFile],
    headers: Sequence[Header],
    unreadable: Sequence[tuple[str, str]],
    ignored: tuple[tuple[str, str], ...],
) -> Collection:
    start = len(printable(str(root)).rstrip("/")) + 1
    names = [file.name[start:] for file in files]
    folders = [name.split("/")[:-1] for name in names]
    in_parts = all(part_named(path[0]) for path in folders if path)
    parts, labels = [], []
    for path in folders:
        part = part_named(path[0]) if in_parts and path else None
        parts.append(part or "train")
        inside = path[1:] if part else path
        labels.append(inside[0] if inside else None)
    part_names = tuple(part for part in ("train", "validation", "test") if part in parts)
    classes = tuple(sorted({label for label in labels if label is not None}))
    read = [_digest(file.path) for file in files]
    return Collection(
        pixels=pixels,
        labels=np.array([-1 if label is None else classes.index(label) for label in labels], np.int32),
        classes=classes,
        parts=np.array([part_names.index(part) for part in parts], np.int32),
        part_names=part_names,
        names=tuple(names),
        sizes=np.array([(header.rows, header.columns) for header in headers], np.int32),
        grey=np.array([header.grey for header in headers]),
        alpha=np.array([header.alpha for header in headers]),
        files=tuple(digest for digest, _ in read),
        kinds=tuple(kind for _, kind in read),
        unreadable=tuple(unreadable),
        ignored=ignored,
        layout=_layout(root),
    )


def _layout(root: Path) -> str | None:
    try:
        list_sets(root)
    except DataError as error:
        text = str(error)
        return text if text.startswith(str(root)) else text[:1].upper() + text[1:]  # a name stays as it is
    return None


def _digest(path: str) -> tuple[bytes, str]:
    """A digest of a file, and the suffix that its first bytes ask for."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        block = file.read(_BLOCK)
        kind = next((suffix for start, suffix in _STARTS if block.startswith(start)), "")
        while block:
            digest.update(block)
            block = file.read(_BLOCK)
    return digest.digest(), kind
