"""How good a model is, and on what it fails: figures that say how sure they are.

    evaluate(model, "photos/") -> Evaluation

The interval of the accuracy is Wilson's; where the images also chose the weights, it is widened for that
(proportions.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise import notes
from lanewise.data.arrays import from_arrays
from lanewise.data.folders import entered, part_named
from lanewise.data.images import STRETCH, Pictures, PictureSets
from lanewise.data.load import DIGITS, Source, load, load_to_judge
from lanewise.data.reading import Progress
from lanewise.errors import DataError, OptionError
from lanewise.evaluation.result import ClassFigures, Evaluation, Group, Mistake, TopFigures
from lanewise.evaluation.unseen import GROUPS, called, candidates_of, fit_to_judge, kinds_of
from lanewise.evaluation.unseen import split_again as split_again
from lanewise.foreign import scaled_by_labels
from lanewise.model import Model
from lanewise.model_file.contents import Label, names_of
from lanewise.proportions import over_folds
from lanewise.proportions import wilson as wilson

PARTS = ("test", "validation", "train")
SPLITS = (*PARTS, "all")

LEAST_PROBABILITY = 2.0**-24
"""Losses take smaller probabilities for this one: float32 cannot tell 1 - p from 1 below it."""


def evaluate(
    model: Model,
    source: Source | Pictures | PictureSets | ArrayLike,
    y: ArrayLike | None = None,
    *,
    split: str | None = None,
    top: int | None = None,
    most_mistakes: int = 10,
) -> Evaluation:
    """Evaluate a model by labelled images.

    Images that the model was trained on are left out, which is said, unless there are no others.

    Parameters
    ----------
    model : Model
    source : path, "digits", .npz file, (x, y), array, Pictures or PictureSets
        As for `lanewise.train`. Files are resized as in training. Of several parts, the test set is taken, else the
        validation set.
    y : array, optional
        Labels of an array.
    split : {"test", "validation", "train", "all"}, optional
        Which part; for arrays, what they are. "all" evaluates by all images, whether the model was trained on them or
        not.
    top : int, optional
        Also count the images whose true class is among this many most probable ones: the top-N accuracy.
    most_mistakes : int
        Mistakes that are listed.

    Raises
    ------
    DataError
        There are no images, they have no labels, or they are of other classes or another shape than the model's.
    OptionError
        There is no such split, or the model has fewer than `top` classes.
    """
    check_top(model, top)
    if y is not None:
        if isinstance(source, str | os.PathLike | Pictures | PictureSets):
            raise DataError("these images bring their own labels: leave `y` out")
        source = (source, y)  # type: ignore[assignment]
    if split is not None and split not in SPLITS:
        raise OptionError(f"the split {split!r} makes no sense: give one of {', '.join(map(repr, SPLITS))}")
    if isinstance(source, PictureSets):
        pictures, part = _of_sets(model, source, split)
    elif isinstance(source, Pictures):
        pictures, part = called(model, source, split) if split else fit_to_judge(model, source, None, "all")
    elif isinstance(source, str | os.PathLike | tuple):
        pictures, part = pictures_for(model, source, split=split)
    else:
        raise DataError("images given as an array need labels: evaluate(model, x, y)")
    said = source.notes if isinstance(source, Pictures | PictureSets) else ()
    for note in pictures.notes:
        if note not in said:  # when it was loaded
            notes.say(note)
    return judge(model, pictures, split=part, top=top, most_mistakes=most_mistakes)


def check_top(model: Model, top: int | None) -> None:
    """Refuse a top-N accuracy of more classes than there are, before any work."""
    if top is None:
        return
    if isinstance(top, bool) or not isinstance(top, int | np.integer) or top < 1:
        raise OptionError(f"top={top!r} makes no sense: give a whole number from 1 on")
    if top > (count := len(model.classes)):
        raise OptionError(f"the model has {count:,} classes: a top-{top} accuracy makes no sense; give {count} at most")


def judge(
    model: Model, pictures: Pictures, *, split: str, top: int | None = None, most_mistakes: int = 10
) -> Evaluation:
    """Evaluate by exactly these images; `split` is what they are."""
    check_top(model, top)
    names = names_of(model.classes)
    if pictures.labels is None or not len(pictures):
        raise DataError("there are no labelled pictures to judge the model by")
    if tuple(map(str, pictures.classes)) != names:
        raise DataError(f"the pictures are of the classes {_some(pictures.classes)}, the model's are {_some(names)}")
    model, _ = scaled_by_labels(model, pictures)  # said by whoever chose the images
    probabilities = model.predict_proba(pictures.pixels)
    labels, predicted = pictures.labels, probabilities.argmax(axis=1)
    right = labels == predicted
    count, correct = len(labels), int(np.count_nonzero(right))
    given = probabilities[np.arange(count), labels].astype(np.float64)
    size = len(model.classes)
    confusion = np.bincount(labels.astype(np.int64) * size + predicted, minlength=size * size).reshape(size, size)
    wrong = np.flatnonzero(~right)
    confidence = probabilities[wrong, predicted[wrong]]
    kinds = kinds_of(model, pictures)
    worst = wrong[np.argsort(-confidence, kind="stable")[:most_mistakes]]
    candidates = candidates_of(model, kinds)
    among = None if top is None else _among(probabilities, labels, int(top))
    return Evaluation(
        split=split,
        count=count,
        correct=correct,
        accuracy=correct / count,
        interval=wilson(correct, count, candidates),
        loss=float(-np.log(np.maximum(given, LEAST_PROBABILITY)).mean()),
        classes=model.classes,
        per_class=_per_class(model.classes, confusion),
        confusion=confusion,
        mistakes=tuple(
            Mistake(
                picture=pictures.names[n] if pictures.names else int(n),
                true=model.classes[labels[n]],
                predicted=model.classes[predicted[n]],
                probability=float(probabilities[n, predicted[n]]),
                rank=1 + int(np.flatnonzero(_by_probability(probabilities[n : n + 1])[0] == labels[n])[0]),
            )
            for n in worst
        ),
        groups=_groups(kinds, right, among, top),
        top=_top(top, among, candidates),
    )


def _among(probabilities: NDArray[np.float32], labels: NDArray[np.int32], top: int) -> NDArray[np.bool_]:
    """Whether the true class of each image is among the most probable."""
    found: NDArray[np.bool_] = (_by_probability(probabilities)[:, :top] == labels[:, None]).any(axis=1)
    return found


def _by_probability(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """The classes of each image, the most probable first, and of equal ones the first as `argmax` has it."""
    return np.argsort(-probabilities, axis=1, kind="stable")


def _top(top: int | None, among: NDArray[np.bool_] | None, candidates: float = 1.0) -> TopFigures | None:
    if top is None or among is None:
        return None
    count, correct = len(among), int(np.count_nonzero(among))
    return TopFigures(int(top), correct, correct / count, wilson(correct, count, candidates))


def _groups(
    kinds: NDArray[np.int8] | None, right: NDArray[np.bool_], among: NDArray[np.bool_] | None, top: int | None
) -> tuple[Group, ...]:
    found = () if kinds is None else np.unique(kinds)
    if len(found) < 2:
        return ()
    groups = []
    for kind in reversed(found):
        one = right[kinds == kind]
        hits = int(one.sum())
        told = _top(top, None if among is None else among[kinds == kind])
        groups.append(Group(GROUPS[kind], len(one), hits, hits / len(one), wilson(hits, len(one)), told))
    return tuple(groups)


def cross_validated(model: Model) -> Evaluation | None:
    """What cross-validation came to when the model was trained with folds; None without them."""
    figures = model.provenance.get("cross_validation")
    if not isinstance(figures, dict):
        return None
    confusion = np.array(figures["confusion"], np.int64)
    return Evaluation(
        split="folds",
        count=figures["pictures"],
        correct=figures["correct"],
        accuracy=figures["accuracy"],
        interval=over_folds(figures["correct"], figures["pictures"], figures["folds"]),
        loss=figures["loss"],
        classes=model.classes,
        per_class=_per_class(model.classes, confusion),
        confusion=confusion,
        mistakes=(),
    )


def pictures_for(
    model: Model,
    source: Source,
    *,
    split: str | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> tuple[Pictures, str]:
    """Read labelled pictures as `model` takes them.

    Parameters
    ----------
    model : Model
    source : str, path or (x, y)
        As for `lanewise.train`.
    split : {"test", "validation", "train", "all"}, optional
        Which part; by default the first of these that there is. Pictures without parts have two if the model learned
        from them: those that were held out then, "validation", and the others. Arrays (x, y) are only called so.
    strict : bool
        Refuse a folder if one of its files cannot be used.
    progress : callable, optional
        Called with (pictures read, pictures in all).

    Returns
    -------
    pictures : Pictures
    split : str
        "test", "validation", "train", or "all" where there are no parts.

    Raises
    ------
    DataError
        The pictures cannot be used, or have no such part.
    """
    rows, columns, channels = model.preprocessing.shape
    # Networks from arrays, or from elsewhere, never saw a resized picture: files get the ordinary treatment.
    like_learning: dict[str, Any] = {
        "classes": model.class_names,
        "size": (rows, columns),
        "channels": channels,
        "resize": model.preprocessing.resize or STRETCH,
        "bits": model.preprocessing.bits,
    }
    folder: Source | None = None
    if split in PARTS and not isinstance(source, tuple):
        if source == DIGITS or not os.path.isdir(source):
            sets = load(source, size=(rows, columns), channels=channels)
            return called(model, _relabelled(_part_of(sets, source, split), like_learning["classes"]), split)
        folder = _folder_of(entered(Path(source), model.class_names)[0], split)
    pictures, found = load_to_judge(folder or source, **like_learning, strict=strict, progress=progress)
    if split == "all" and found in ("test", "validation"):
        raise DataError(f"{source} has parts: choose one of them, test, validation or train, instead of all")
    if split is not None and (folder or isinstance(source, tuple)):
        return called(model, pictures, split)
    if split is None or split == "all":
        return fit_to_judge(model, pictures, split, found)
    if split is not None and kinds_of(model, pictures) is None:
        raise DataError(f"{source} holds no folder {split!r}, nor is it what the model learned from")
    if split == "test":
        raise DataError(f"{source} holds no folder {split!r}")
    return fit_to_judge(model, pictures, split, found)


def _of_sets(model: Model, sets: PictureSets, split: str | None) -> tuple[Pictures, str]:
    """The part that is asked for, or the first one that there is."""
    parts = [name for name in PARTS if getattr(sets, name) is not None]
    if split == "all" and len(parts) > 1:
        raise DataError(f"these images have parts: choose one of them, {', '.join(parts)}, instead of all")
    if split is None or split == "all":
        return fit_to_judge(model, getattr(sets, parts[0]), split, parts[0])
    return called(model, _part_of(sets, "this set of images", split), split)


def _folder_of(source: str | os.PathLike[str], split: str) -> str | None:
    """The folder in `source` that holds the part `split`; None if it has no parts."""
    folders = [name for name in sorted(os.listdir(source)) if os.path.isdir(os.path.join(source, name))]
    for name in folders:
        if part_named(name) == split:
            return os.path.join(source, name)
    if not any(map(part_named, folders)):
        return None
    words = ("validation", "val") if split == "validation" else (split,)
    raise DataError(f"{os.fspath(source)} holds no folder {' or '.join(map(repr, words))}")


def _part_of(sets: PictureSets, source: str | os.PathLike[str], split: str) -> Pictures:
    part: Pictures | None = getattr(sets, split)
    if part is None:
        found = [name for name in PARTS if getattr(sets, name) is not None]
        raise DataError(f"{os.fspath(source)} has no {split} pictures; it has {' and '.join(found)}")
    return part


def _relabelled(pictures: Pictures, classes: tuple[str, ...]) -> Pictures:
    """The same pictures, with labels that are positions in `classes`."""
    assert pictures.labels is not None
    return from_arrays(pictures.pixels, np.array(pictures.classes)[pictures.labels], classes=classes)


def _per_class(classes: tuple[Label, ...], confusion: NDArray[np.int64]) -> tuple[ClassFigures, ...]:
    hits, taken, there = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    return tuple(
        ClassFigures(
            label=label,
            count=int(there[n]),
            precision=_share(hits[n], taken[n]),
            recall=_share(hits[n], there[n]),
            f1=_share(2 * hits[n], taken[n] + there[n]),
        )
        for n, label in enumerate(classes)
    )


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def _some(labels: tuple[Any, ...]) -> str:
    return ", ".join(map(str, labels[:6])) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
