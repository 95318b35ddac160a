"""Images, wherever they come from, ready for the engine.

    load("photos/") -> ImageSets                for training: train, perhaps validation and test
    load_to_evaluate("photos/", ...) -> Images     with the classes and the size of a model
    load_for_prediction(paths, ...)               images without labels

Arrays and `.npz` files are taken as they are; files are decoded and brought to one size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy.typing as npt

from lanewise.caching import cache_folder
from lanewise.data.arrays import DIGITS_FILE, from_arrays, read_npz, read_npz_to_evaluate
from lanewise.data.decode import MAX_PIXELS
from lanewise.data.folders import TRAIN, Listing, single_file
from lanewise.data.grouping import grouped
from lanewise.data.images import Images, ImageSets, Pixels, empty_pixels, with_missing_told
from lanewise.data.listings import images_in, sets_in, to_evaluate_in
from lanewise.data.reading import FilesProgress, Target, decode_into, listed_reasons, read_listing
from lanewise.data.source import is_files
from lanewise.data.tree import ImageFile
from lanewise.errors import DataError, OptionError
from lanewise.keywords import hinting
from lanewise.notes import Note, say
from lanewise.preprocessing import Preprocessing
from lanewise.resizing import STRETCH, check_fit
from lanewise.wording import plural

Source = str | os.PathLike[str] | tuple[npt.ArrayLike, npt.ArrayLike]
"""A folder, an `.npz` file, the word "digits", or arrays (x, y)."""

DIGITS = "digits"
"""The word for the built-in handwritten digits."""

_LONGEST = 16384  # rows or columns an image may be given

Size = str | int | tuple[int, int]
"""Rows and columns: "32", "32x48", 32 or (32, 48)."""


@hinting
def load(
    source: Source,
    *,
    size: Size | None = None,
    channels: int | None = None,
    strict: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: FilesProgress | None = None,
    max_pixels: int = MAX_PIXELS,
    bits: int | None = None,
    fit: str | None = None,
    group_by: str | None = None,
    notes: Callable[[str], None] | None = None,
) -> ImageSets:
    """Read labelled images for training.

    Parameters
    ----------
    source : str, path or (x, y)
        A folder with a folder per class; a folder with train, val (or validation) and test, each with a folder
        per class; a table of paths and labels (`.csv`); tar files (`photos.tar`, `train-{000..009}.tar`);
        `lanewise.ImageFiles`, which names columns; an `.npz` file; "digits", built in; or two arrays.
    size : str, int or (rows, columns), optional
        What all images are resized to. By default one size up to 96 is kept, and others become 64 at most.
    channels : 1 or 3, optional
        Grey or colour. By default grey if all images are.
    strict : bool
        Refuse a folder if one of its files cannot be used, instead of leaving that file out.
    cache_dir : path, optional
        Where decoded images are kept; by default in the user's cache folder.
    progress : callable, optional
        Called with (images read, images in all) from the calling thread.
    max_pixels : int
        Larger images are not decoded.
    bits : int, optional
        Of files with 16 bits a value, how many are in use; by default found out.
    fit : {"stretch", "pad", "crop"}, optional
        How images of another shape fit the size: stretched, by default; whole, with their mean colour around them; or
        the middle of them.
    group_by : str, optional
        Which images no split may part, as for `lanewise.train`.
    notes : callable, optional
        Given each sentence about the images. By default, cautions become warnings and the rest goes to the log.

    Raises
    ------
    DataError
        When the images cannot be used; it says which, and what to do.
    OptionError
        When an option makes no sense.
    """
    check_fit(fit or STRETCH)
    target = Target(parse_size(size), _check_channels(channels), max_pixels, bits, fit or STRETCH)
    if fit is not None and has_its_size(source):
        raise OptionError("arrays are not resized, so there is nothing to fit: leave `fit` out")
    if isinstance(source, tuple):
        sets = ImageSets(from_arrays(*source))
    elif source == DIGITS:
        sets = _digits()
    elif _is_npz(source):
        sets = read_npz(Path(source), group_by)
    else:
        sets = _from_files(source, target, cache_dir, progress, strict, group_by)
    _check_fit(sets.train, target)
    if group_by is not None:
        sets = grouped(sets, group_by)
    for note in sets.notes:
        (notes or say)(note)
    return sets


def _from_files(
    source: str | os.PathLike[str],
    target: Target,
    cache_dir: str | os.PathLike[str] | None,
    progress: FilesProgress | None,
    strict: bool,
    group_by: str | None,
) -> ImageSets:
    """All parts, with size, channels and bits of the first of them unless `target` has them."""
    listings = sets_in(source, group_by)
    total = sum(len(listing.files) for listing in listings.values())
    done = 0
    parts: dict[str, Images] = {}
    for part, listing in listings.items():
        images = _read(listing, target, cache_dir, _offset(progress, done, total), strict)
        parts[part] = images
        target = replace(target, size=images.size, channels=images.channels, bits=images.bits)
        done += len(listing.files)
    _check_each_class(parts[TRAIN], listings[TRAIN].folder)
    return with_missing_told(ImageSets(**parts))


def load_to_evaluate(
    source: Source,
    *,
    classes: Sequence[str],
    size: tuple[int, int],
    channels: int,
    fit: str = STRETCH,
    bits: int | None = None,
    strict: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: FilesProgress | None = None,
    max_pixels: int = MAX_PIXELS,
    group_by: str | None = None,
    split: str | None = None,
) -> tuple[Images, str]:
    """Read labelled images to evaluate a model by; some of its classes may have none.

    Parameters
    ----------
    source : as for `load`
    classes, size, channels, fit, bits
        Those of the training images.
    group_by : str, optional
        Which images belong together.
    split : str, optional
        Which set, if there are some.

    Returns
    -------
    images : Images
        Those in the test part, else in the validation part, else all there are.
    part : str
        "test", "validation", "train" or "all": which that was.
    """
    check_fit(fit)
    target = Target(size, channels, max_pixels, bits, fit)
    if isinstance(source, tuple):
        part, images = "all", from_arrays(*source, classes=classes)
    elif source == DIGITS or _is_npz(source):
        path = DIGITS_FILE if source == DIGITS else Path(source)
        part, images = read_npz_to_evaluate(path, classes, group_by)
    else:
        check_files_will_do(channels)
        part, listing = to_evaluate_in(source, classes, split, group_by)
        images = _read(listing, target, cache_dir, progress, strict)
    _check_fit(images, target)
    return (images if group_by is None else grouped(ImageSets(images), group_by).train), part


def load_for_prediction(
    paths: Sequence[str | os.PathLike[str]],
    *,
    size: tuple[int, int],
    channels: int,
    fit: str = STRETCH,
    bits: int = 16,
    progress: FilesProgress | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Pixels, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Read images without labels, as the training images were read.

    Parameters
    ----------
    paths : sequence of path
        Image files, whatever their names end in; folders, which are searched to the bottom; tables and shards.
    size, channels, fit, bits
        Those of the training images.

    Returns
    -------
    pixels : (N, rows, columns, channels) uint8
        Perhaps none.
    names : tuple of str
        N file names, beginning as in `paths`.
    skipped : tuple of (name, reason)
        Files that could not be used.

    Raises
    ------
    DataError
        When one of `paths` does not exist, or there is no image in any of them.
    """
    check_fit(fit)
    check_files_will_do(channels)
    files: list[ImageFile] = []
    skipped: list[tuple[str, str]] = []
    for path in paths:
        if is_files(path):
            listing = images_in(path)
            files += listing.files
            skipped += listing.skipped
        elif os.path.isfile(path):
            files.append(single_file(Path(path)))
        else:
            raise DataError(f"no such {'image file' if os.path.exists(path) else 'file or folder'}: {path}")
    if not files:
        raise DataError(f"there are no images in {', '.join(map(str, paths))}")
    pixels = empty_pixels((len(files), *size, channels))
    reasons = {n: reason for n, reason in decode_into(pixels, files, max_pixels, progress, bits, fit)["bad"]}
    names = tuple(file.name for n, file in enumerate(files) if n not in reasons)
    skipped += ((files[n].name, reason) for n, reason in reasons.items())
    return pixels[: len(names)], names, tuple(skipped)


def fit_like(like: Preprocessing | None, source: object) -> str | None:
    """How a model's images were brought to their size, for files of others; None for arrays, which are not."""
    return like.fit if like is not None and is_files(source) else None


def parse_size(size: Size | None) -> tuple[int, int] | None:
    """Understand an image size: "32" and 32 are square, "32x48" and (32, 48) are rows x columns."""
    numbers: Sequence[object] = size.lower().split("x") if isinstance(size, str) else (size,)
    if isinstance(size, tuple):
        numbers = size
    elif size is None:
        return None
    try:
        sides = [int(str(number)) for number in numbers]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or not all(1 <= side <= _LONGEST for side in sides):
        raise OptionError(f"the image size {size!r} makes no sense: give rows x columns, like 32 or 32x48")
    return sides[0], sides[-1]


def check_files_will_do(channels: int) -> None:
    """Refuse a model of other images than files give."""
    if channels not in (1, 3):
        raise DataError(f"the model takes images of {channels} channels: files give 1 or 3, so give it arrays")


def _read(
    listing: Listing,
    target: Target,
    cache_dir: str | os.PathLike[str] | None,
    progress: FilesProgress | None,
    strict: bool,
) -> Images:
    _check_strict(strict, listing.skipped, listing.folder)
    cache = Path(cache_dir) if cache_dir is not None else cache_folder("images")
    images = read_listing(listing, target, cache, progress)
    _check_strict(strict, images.skipped, listing.folder)
    return images


def _offset(progress: FilesProgress | None, before: int, total: int) -> FilesProgress | None:
    """Progress of one part of several, told as progress of the whole."""
    if progress is None:
        return None
    tell = progress
    return lambda done, _: tell(before + done, total)


def _digits() -> ImageSets:
    sets = read_npz(DIGITS_FILE)
    if not os.path.isdir(DIGITS):
        return sets
    note = Note(f"these are the built-in digits; for the folder of that name give {os.path.join('.', DIGITS)}")
    return replace(sets, train=replace(sets.train, notes=(note,)))


def has_its_size(source: object) -> bool:
    """Whether images are arrays, which are of one size already: given, in a file, or built in."""
    return not isinstance(source, str | os.PathLike) or source == DIGITS or _is_npz(source)


def _is_npz(source: str | os.PathLike[str]) -> bool:
    return not is_files(source) and os.fspath(source).lower().endswith(".npz")


def _check_fit(images: Images, target: Target) -> None:
    """Arrays are never resized."""
    came = (*images.size, images.channels)
    fits = (*(target.size or images.size), target.channels or images.channels)
    if came != fits:
        raise DataError(
            "the arrays hold images of {}x{}x{}, not {}x{}x{} (rows x columns x channels), and arrays are "
            "not resized: resize them first".format(*came, *fits)
        )


def _check_channels(channels: int | None) -> int | None:
    if channels not in (None, 1, 3):
        raise OptionError(f"images of {channels} channels cannot be read from files: give 1 for grey or 3 for colour")
    return channels


def _check_strict(strict: bool, skipped: Sequence[tuple[str, str]], folder: Path) -> None:
    if strict and skipped:
        raise DataError(
            f"{plural(len(skipped), 'file')} in {folder} cannot be used ({listed_reasons(skipped)}): "
            f"remove {'it' if len(skipped) == 1 else 'them'}, or leave out strict"
        )


def _check_each_class(images: Images, folder: Path) -> None:
    """Each class must still have a training image."""
    for name in images.without_images():
        raise DataError(f"no image of {name!r} in {folder} can be read: {listed_reasons(images.skipped)}")
