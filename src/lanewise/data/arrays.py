"""Images that are arrays already: handed in by a caller, in an `.npz` file, or the built-in digits."""

from __future__ import annotations

import math
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lanewise.data.archive import check_archive
from lanewise.data.grouping import SIMILAR, groups_given
from lanewise.data.images import Images, ImageSets, Labels, Pixels, empty_pixels, with_missing_told
from lanewise.errors import DataError, TooLargeError
from lanewise.labels import plain
from lanewise.notes import Caution
from lanewise.wording import some

DIGITS_FILE = Path(__file__).with_name("digits.npz")
"""The built-in handwritten digits: 1,438 for training and 359 for testing, 8x8; their source stands beside them."""

_BLOCK = 1024  # images looked at together, so that mapped arrays are never copied whole


def from_arrays(
    x: npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    image_shape: Sequence[int] | None = None,
) -> Images:
    """Make `Images` of arrays; neither is copied when it fits as it is.

    Parameters
    ----------
    x : (N, rows, columns), (N, rows, columns, channels) or (N, features)
        Boolean, whole or floating point numbers, taken as they are: nothing is scaled. Whole numbers within 0 to 255
        become uint8, all others float32.
    y : (N,) or (N, 1), optional
        Whole numbers, strings or booleans.
    classes : sequence of str, optional
        The classes of a model or of the training images. Strings are looked up by name, and so are whole
        numbers if all the names are whole numbers; otherwise numbers are positions. Without it there must be two
        classes at least, which are sorted.
    image_shape : (rows, columns) or (rows, columns, channels), optional
        What one row of a two-dimensional `x` is; a row of pixels if not given.

    Raises
    ------
    DataError
        Naming the image or label that cannot be used.
    """
    if classes is not None and len(set(classes)) < len(classes):
        raise DataError(f"the class names {some(classes, 10)} are not all different")
    pixels, notes = _pixels(x, image_shape)
    if y is None:
        return Images(pixels, None, tuple(classes or ()), notes=notes)
    given = _labels(y, len(pixels))
    labels, names = _sorted_classes(given) if classes is None else (_looked_up(given, classes), tuple(classes))
    return Images(pixels, labels, names, notes=notes)


def read_npz(path: Path, group_by: str | None = None) -> ImageSets:
    """Read an `.npz` file for training.

    It holds `x_train` and `y_train` (or `x` and `y`), perhaps `x_val`, `y_val`, `x_test` and `y_test`, and perhaps
    `class_names`, the names of the labels 0, 1, 2 and so on.

    Parameters
    ----------
    path : Path
    group_by : str, optional
        The array that holds the group of each image: "patient" is `patient_train` (or `patient`), and perhaps
        `patient_val` and `patient_test`.

    Raises
    ------
    DataError
        When it is no such file, or one of its arrays cannot be used.
    """
    arrays = _arrays_of(path, group_by)
    train_key = "x_train" if "x_train" in arrays else "x"
    if train_key not in arrays:
        raise DataError(f"{path} holds {some(arrays, 10)}: it needs x_train and y_train, or x and y")
    train = _npz_part(path, arrays, train_key, None, group_by)
    if group_by is not None and group_by != SIMILAR and train.groups is None:
        raise DataError(
            f"{path} holds no array {group_by}{train_key[1:]} with the group of each image, only {some(arrays, 10)}: "
            f"give the name of one without {train_key[1:] or 'more'}, or {SIMILAR!r}"
        )
    if len(train.classes) - len(train.without_images()) < 2:
        raise DataError(f"{path}, {train_key}: all images are of one class, but training needs at least two")
    others = [
        _npz_part(path, arrays, key, train.classes, group_by) if key in arrays else None for key in ("x_val", "x_test")
    ]
    for part, key in zip(others, ("x_val", "x_test"), strict=True):
        if part is not None and part.pixels.shape[1:] != train.pixels.shape[1:]:
            came, fits = _by(part.pixels.shape[1:]), _by(train.pixels.shape[1:])
            raise DataError(f"{path}: images of {key} are {came}, but training images are {fits}: make them alike")
    return with_missing_told(ImageSets(train, *others))


def read_npz_to_evaluate(path: Path, classes: Sequence[str], group_by: str | None = None) -> tuple[str, Images]:
    """Read the part of an `.npz` file to evaluate a model with `classes` by: "test", "validation", "train" or "all".

    Parameters
    ----------
    path : Path
    classes : sequence of str
    group_by : str, optional
        As for `read_npz`.
    """
    arrays = _arrays_of(path, group_by)
    for key, part in (("x_test", "test"), ("x_val", "validation"), ("x_train", "train"), ("x", "all")):
        if key in arrays:
            return part, _npz_part(path, arrays, key, classes, group_by)
    raise DataError(f"{path} holds {some(arrays, 10)}: it needs x_test and y_test, or x and y")


def _npz_part(
    path: Path,
    arrays: Mapping[str, npt.NDArray[np.generic]],
    x_key: str,
    classes: Sequence[str] | None,
    group_by: str | None = None,
) -> Images:
    y_key = "y" + x_key[1:]
    if y_key not in arrays:
        raise DataError(f"{path} holds {x_key} but not {y_key}, the label of each image")
    y = arrays[y_key]
    try:
        if "class_names" in arrays and y.dtype.kind in "iu":
            names = np.atleast_1d(arrays["class_names"]).ravel().astype(str)
            y = names[_positions(_labels(y, len(y)), names.tolist())]
            classes = names.tolist() if classes is None else classes
        part = from_arrays(arrays[x_key], y, classes=classes)
        groups = arrays.get(f"{group_by}{x_key[1:]}")
        if groups is not None:
            part = replace(part, groups=groups_given(groups, len(part), str(group_by)))
    except DataError as error:
        raise DataError(f"{path}, {x_key}: {error}") from None
    return replace(part, pixels=_with_slack(part.pixels))


def _arrays_of(path: Path, group_by: str | None = None) -> dict[str, npt.NDArray[np.generic]]:
    """Load the arrays that matter. Pickled objects are refused."""
    arrays_of = ("x", "y") if group_by is None else ("x", "y", group_by)
    wanted = {f"{a}{part}" for a in arrays_of for part in ("", "_train", "_val", "_test")} | {"class_names"}
    try:
        with open(path, "rb") as file:
            check_archive(file, path, wanted)
            arrays = np.load(file, allow_pickle=False)
            if not wanted & set(arrays.files):
                raise DataError(f"{path} holds {some(arrays.files, 10)}: it needs x_train and y_train, or x and y")
            return {key: arrays[key] for key in arrays.files if key in wanted}
    except (DataError, TooLargeError):
        raise
    except FileNotFoundError:
        raise DataError(f"no such file: {path}") from None
    except MemoryError:
        raise TooLargeError(f"{path} does not fit in memory: use a folder of images, which need not") from None
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{path} cannot be read as an .npz file ({reason}): save it anew with numpy.savez") from None


def _pixels(x: npt.ArrayLike, image_shape: Sequence[int] | None) -> tuple[Pixels, tuple[str, ...]]:
    try:
        array = np.asarray(x)
    except ValueError:
        raise DataError("the images differ in shape: one array holds images of one shape only") from None
    if array.dtype.kind not in "buif":
        raise DataError(f"images must be numbers, but the array holds {array.dtype}")
    if array.ndim > 1 and 0 in array.shape:
        raise DataError(f"there are no images in an array of shape {array.shape}")
    if array.ndim == 2:
        rows_columns = tuple(image_shape) if image_shape is not None else (1, array.shape[1])
        if math.prod(rows_columns) != array.shape[1] or len(rows_columns) not in (2, 3) or min(rows_columns) < 1:
            raise DataError(f"a row of {array.shape[1]} numbers does not fit image_shape {_by(rows_columns)}")
        array = array.reshape(len(array), *rows_columns)
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4:
        raise DataError(f"an array of shape {array.shape} is not a set of images: give (N, rows, columns[, channels])")
    if image_shape is not None and tuple(image_shape) not in (array.shape[1:], array.shape[1:3]):
        raise DataError(f"images are {_by(array.shape[1:])}, but image_shape says {_by(tuple(image_shape))}")
    notes: tuple[str, ...] = ()
    if image_shape is None and channels_come_first(array.shape):
        came = array.shape
        array = array.transpose(0, 2, 3, 1)
        notes = (
            Caution(
                f"the array of shape {came} is taken as images of {came[2]}x{came[3]} with {came[1]} channels, which "
                "come first"
            ),
        )
    elif image_shape is None and (said := perhaps_first(array.shape)) is not None:
        notes = (said,)
    return _as_engine_type(array), notes


def channels_come_first(shape: Sequence[int]) -> bool:
    """Whether an array of this shape makes sense as (N, channels, rows, columns) only: 1 to 4 channels, then a size."""
    if len(shape) != 4 or shape[1] > 4 or min(shape[2:]) <= 4:
        return False
    return max(shape[2:]) <= 4 * min(shape[2:])


def perhaps_first(shape: Sequence[int]) -> Caution | None:
    """A word where channels probably come first: images of 3 or 4 rows are rare, while one row is a series."""
    if len(shape) != 4 or shape[1] not in (3, 4) or min(shape[2:]) <= 4 or channels_come_first(shape):
        return None
    return Caution(
        f"the array of shape {tuple(shape)} is taken as images of {shape[1]}x{shape[2]} with {shape[3]} channels; if "
        "channels come first, give x.transpose(0, 2, 3, 1)"
    )


def _as_engine_type(array: npt.NDArray[np.generic]) -> Pixels:
    """uint8 where that loses nothing, otherwise float32 that is finite; C-contiguous."""
    if (
        array.dtype.kind == "b"
        or array.dtype == np.uint8
        or (array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255)
    ):
        return np.ascontiguousarray(array, np.uint8)
    with np.errstate(over="ignore"):
        pixels = np.ascontiguousarray(array, np.float32)
    for start in range(0, len(pixels), _BLOCK):
        finite = np.isfinite(pixels[start : start + _BLOCK])
        if not finite.all():
            n, row, column, channel = np.argwhere(~finite)[0].tolist()
            value = array[start + n, row, column, channel]
            what = "NaN" if np.isnan(value) else "infinity" if np.isinf(value) else f"{value}, too large for float32,"
            place = f"row {row}, column {column}" + (f", channel {channel}" if pixels.shape[3] > 1 else "")
            raise DataError(f"image {start + n} holds {what} at {place}: replace it or leave the image out")
    return pixels


def _with_slack(pixels: Pixels) -> Pixels:
    roomy = empty_pixels(pixels.shape, pixels.dtype)
    roomy[...] = pixels
    return roomy


def _labels(y: npt.ArrayLike, count: int) -> npt.NDArray[np.generic]:
    """One-dimensional whole numbers, strings or booleans."""
    labels, _ = plain(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint = ": for one column a class, give y.argmax(axis=1)" if labels.ndim == 2 else ""
        raise DataError(f"there must be one label per image, but their shape is {labels.shape}{hint}")
    if len(labels) != count:
        raise DataError(f"there are {count} images but {len(labels)} labels: give one label per image")
    if labels.dtype.kind == "f":
        odd = np.flatnonzero(~np.isfinite(labels) | (labels != np.trunc(labels)))
        if len(odd):
            raise DataError(f"label {odd[0]} is {labels[odd[0]]}: labels are classes, whole numbers or strings")
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "U":
        for n, label in enumerate(labels.tolist()):
            if not label.isascii() and any("\ud800" <= sign <= "\udfff" for sign in label):
                raise DataError(f"label {n} is {label!a}, which a file cannot hold as text: choose another name")
    if labels.dtype.kind not in "biuU":
        raise DataError(f"labels must be whole numbers, strings or booleans, but they are {labels.dtype}")
    return labels


def _sorted_classes(labels: npt.NDArray[np.generic]) -> tuple[Labels, tuple[str, ...]]:
    values, positions = np.unique(labels, return_inverse=True)
    if len(values) < 2:
        raise DataError(f"all labels are {values[0]!s}: training needs at least two classes")
    return positions.astype(np.int32), tuple(str(value) for value in values)


def _looked_up(labels: npt.NDArray[np.generic], classes: Sequence[str]) -> Labels:
    """The place of each label among `classes`."""
    if labels.dtype.kind in "iu" and not all(_is_whole(name) for name in classes):
        return _positions(labels, classes)
    values, inverse = np.unique(labels, return_inverse=True)
    place = {name: n for n, name in enumerate(classes)}
    alike = {_composed(name): n for name, n in reversed(place.items())}  # one name may be written with other bytes
    for value in values:
        if str(value) not in place and _composed(value) not in alike:
            first = np.flatnonzero(labels == value)[0]
            raise DataError(f"label {first} is {value!s}, which is none of the classes {some(classes, 10)}")
    return np.array([place.get(str(value), alike.get(_composed(value))) for value in values], np.int32)[inverse]


def _composed(name: object) -> str:
    return unicodedata.normalize("NFC", str(name))


def _positions(labels: npt.NDArray[np.generic], classes: Sequence[str]) -> Labels:
    """Labels that are positions in `classes`, checked."""
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))  # type: ignore[operator]
    if len(wrong):
        raise DataError(
            f"label {wrong[0]} is {labels[wrong[0]]}: with {len(classes)} classes it must be 0 to {len(classes) - 1}"
        )
    return labels.astype(np.int32)


def _is_whole(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _by(shape: Sequence[int]) -> str:
    return "x".join(str(n) for n in shape)
