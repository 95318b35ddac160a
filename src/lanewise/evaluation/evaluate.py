"""How good a model is, and on what it fails: figures that say how sure they are.

    evaluate(model, "photos/") -> Evaluation

The interval of the accuracy is Wilson's; where the images also chose the weights, it is widened for that
(proportions.py).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise import notes
from lanewise.abstention import Threshold
from lanewise.data.arrays import from_arrays
from lanewise.data.grouping import grouped
from lanewise.data.images import Images, ImageSets
from lanewise.data.load import Source, load, load_to_evaluate
from lanewise.data.reading import FilesProgress
from lanewise.data.source import FOLDER, is_files, kind_of
from lanewise.errors import DataError, OptionError
from lanewise.evaluation.result import Abstention, ClassFigures, Evaluation, Group, Mistake, TopFigures
from lanewise.evaluation.unseen import GROUPS, called, candidates_of, fit_to_evaluate, kinds_of
from lanewise.evaluation.unseen import split_again as split_again
from lanewise.foreign import scaled_by_labels
from lanewise.model import Model
from lanewise.model_file.contents import Label, names_of
from lanewise.proportions import over_folds
from lanewise.proportions import wilson as wilson
from lanewise.wording import some

PARTS = ("test", "validation", "train")
SPLITS = (*PARTS, "all")

LEAST_PROBABILITY = 2.0**-24
"""Losses take smaller probabilities for this one: float32 cannot tell 1 - p from 1 below it."""


def evaluate(
    model: Model,
    source: Source | Images | ImageSets | ArrayLike,
    y: ArrayLike | None = None,
    *,
    split: str | None = None,
    top: int | None = None,
    abstain: float | None = None,
    most_mistakes: int = 10,
    group_by: str | None = None,
) -> Evaluation:
    """Evaluate a model by labelled images.

    Images that the model was trained on are left out, which is said, unless there are no others.

    Parameters
    ----------
    model : Model
    source : path, "digits", .npz file, (x, y), array, Images or ImageSets
        As for `lanewise.train`. Files are resized as in training. Of several parts, the test set is taken, else the
        validation set.
    y : array, optional
        Labels of an array.
    split : {"test", "validation", "train", "all"}, optional
        Which part; for arrays, what they are. "all" evaluates on all images, whether the model was trained on them or
        not.
    top : int, optional
        Also count the images whose true class is among this many most probable ones: the top-N accuracy.
    abstain : float, optional
        Also count how many images `model.predict(x, abstain=...)` names, and how many of those are wrong.
    most_mistakes : int
        Mistakes that are listed.
    group_by : str, optional
        Which images belong together, as for `lanewise.train`: of a group that the model was trained on, all are left
        out. Images by folder are so without it, if the training images were.

    Raises
    ------
    DataError
        There are no images, they have no labels, or they are of other classes or another shape than the model's.
    OptionError
        There is no such split, the model has fewer than `top` classes, or `abstain` is more than it can promise.
    """
    check_top(model, top)
    if abstain is not None:
        model.threshold(abstain)
    if y is not None:
        if isinstance(source, str | os.PathLike | Images | ImageSets):
            raise DataError("these images have labels already: omit `y`")
        source = (source, y)  # type: ignore[assignment]
    if split is not None and split not in SPLITS:
        raise OptionError(f"unknown split {split!r}: choose one of {', '.join(map(repr, SPLITS))}")
    if isinstance(source, ImageSets):
        images, part = _of_sets(model, source, split, group_by)
    elif isinstance(source, Images):
        found = _grouped(source, group_by)
        images, part = called(model, found, split) if split else fit_to_evaluate(model, found, None, "all")
    elif isinstance(source, str | os.PathLike | tuple):
        images, part = images_for(model, source, split=split, group_by=group_by)
    else:
        raise DataError("images given as an array need labels: evaluate(model, x, y)")
    said = source.notes if isinstance(source, Images | ImageSets) else ()
    for note in images.notes:
        if note not in said:  # when it was loaded
            notes.say(note)
    return evaluate_images(model, images, split=part, top=top, abstain=abstain, most_mistakes=most_mistakes)


def check_top(model: Model, top: int | None) -> None:
    """Refuse a top-N accuracy of more classes than there are, before any work."""
    if top is None:
        return
    if isinstance(top, bool) or not isinstance(top, int | np.integer) or top < 1:
        raise OptionError(f"top must be a whole number of at least 1, not {top!r}")
    if top > (count := len(model.classes)):
        raise OptionError(f"top is {top}, but the model has only {count:,} classes: give at most {count}")


def evaluate_images(
    model: Model,
    images: Images,
    *,
    split: str,
    top: int | None = None,
    abstain: float | None = None,
    most_mistakes: int = 10,
) -> Evaluation:
    """Evaluate a model on exactly these images.

    Parameters
    ----------
    model : Model
    images : Images
        Labelled, on the scale that the model takes.
    split : str
        What they are: "test", "validation", "train" or "all".
    top : int, optional
        Also give the top-N accuracy for this N.
    abstain : float, optional
        Also say how many images are named, and how many of those wrong, if at most this share of them may be.
    most_mistakes : int
        How many mistakes to list, the most confident first.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        There are no labelled images, or their classes are not the model's.
    OptionError
        `top` is not a number from 1 to the number of classes, or `abstain` cannot be promised.
    """
    check_top(model, top)
    names = names_of(model.classes)
    if images.labels is None or not len(images):
        raise DataError("there are no labelled images to evaluate the model on")
    if tuple(map(str, images.classes)) != names:
        raise DataError(f"the images are of the classes {some(images.classes)}, the model's are {some(names)}")
    model, _ = scaled_by_labels(model, images)  # said by whoever chose the images
    probabilities = model.predict_proba(images.pixels)
    labels, predicted = images.labels, probabilities.argmax(axis=1)
    right = labels == predicted
    count, correct = len(labels), int(np.count_nonzero(right))
    given = probabilities[np.arange(count), labels].astype(np.float64)
    size = len(model.classes)
    confusion = np.bincount(labels.astype(np.int64) * size + predicted, minlength=size * size).reshape(size, size)
    kinds = kinds_of(model, images)
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
                image=images.names[n] if images.names else int(n),
                true=model.classes[labels[n]],
                predicted=model.classes[predicted[n]],
                probability=float(probabilities[n, predicted[n]]),
                rank=1 + int(np.flatnonzero(_by_probability(probabilities[n : n + 1])[0] == labels[n])[0]),
            )
            for n in worst_mistakes(probabilities, labels, most_mistakes)
        ),
        groups=_groups(kinds, right, among, top),
        top=_top(top, among, candidates),
        abstention=None if abstain is None else _abstention(model.threshold(abstain), probabilities, right),
    )


def worst_mistakes(probabilities: NDArray[np.float32], labels: NDArray[np.int32], most: int) -> NDArray[np.int64]:
    """Positions of the images that are classified wrong with the greatest confidence, the worst first.

    Parameters
    ----------
    probabilities : (N, classes) float32
    labels : (N,) int32
    most : int
        How many at most.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")[:most]]


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


def _abstention(rule: Threshold, probabilities: NDArray[np.float32], right: NDArray[np.bool_]) -> Abstention:
    named = rule.named(probabilities)
    count, wrong = int(named.sum()), int((named & ~right).sum())
    share, interval = (wrong / count, wilson(wrong, count)) if count else (0.0, (0.0, 1.0))
    return Abstention(rule.share, count, wrong, share, interval)


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
        count=figures["images"],
        correct=figures["correct"],
        accuracy=figures["accuracy"],
        interval=over_folds(figures["correct"], figures["images"], figures["folds"]),
        loss=figures["loss"],
        classes=model.classes,
        per_class=_per_class(model.classes, confusion),
        confusion=confusion,
        mistakes=(),
    )


def images_for(
    model: Model,
    source: Source,
    *,
    split: str | None = None,
    strict: bool = False,
    progress: FilesProgress | None = None,
    group_by: str | None = None,
) -> tuple[Images, str]:
    """Read labelled images as `model` takes them.

    Parameters
    ----------
    model : Model
    source : str, path or (x, y)
        As for `lanewise.train`.
    split : {"test", "validation", "train", "all"}, optional
        Which part; by default the first of these that there is. Images without parts have two if the model learned
        from them: those that were held out then, "validation", and the others. Arrays (x, y) are only called so.
    strict : bool
        Refuse a folder if one of its files cannot be used.
    progress : callable, optional
        Called with (images read, images in all).
    group_by : str, optional
        As for `evaluate`.

    Returns
    -------
    images : Images
    split : str
        "test", "validation", "train", or "all" where there are no parts.

    Raises
    ------
    DataError
        The images cannot be used, or have no such part.
    """
    rows, columns, channels = model.preprocessing.shape
    like_learning: dict[str, Any] = {
        "classes": model.class_names,
        "size": (rows, columns),
        "channels": channels,
        "fit": model.preprocessing.fit,
        "bits": model.preprocessing.bits,
        "group_by": group_by,
    }
    if split in PARTS and not isinstance(source, tuple) and not is_files(source):
        sets = load(source, size=(rows, columns), channels=channels, group_by=group_by, notes=notes.unheard)
        return called(model, _relabelled(_part_of(sets, source, split), like_learning["classes"]), split)
    images, found = load_to_evaluate(source, **like_learning, strict=strict, progress=progress, split=split)
    if split == "all" and found in ("test", "validation"):
        raise DataError(f"{source} has parts: choose one of them, test, validation or train, instead of all")
    if split is not None and (isinstance(source, tuple) or (found == split and split in PARTS)):
        return called(model, images, split)
    if split is None or split == "all":
        return fit_to_evaluate(model, images, split, found)
    if split is not None and kinds_of(model, images) is None:
        raise DataError(f"{_without(source, split)}, and the model was not trained on it")
    if split == "test":
        raise DataError(_without(source, split))
    return fit_to_evaluate(model, images, split, found)


def _grouped(images: Images, by: str | None) -> Images:
    return images if by is None else grouped(ImageSets(images), by).train


def _without(source: Source, split: str) -> str:
    """That there is no such set, of a folder or of other image files."""
    if isinstance(source, str | os.PathLike) and kind_of(source) != FOLDER:
        return f"{os.fspath(source)} has no {split} set"
    return f"{source} holds no folder {split!r}"


def _of_sets(model: Model, sets: ImageSets, split: str | None, group_by: str | None) -> tuple[Images, str]:
    """The part that is asked for, or the first one that there is."""
    parts = [name for name in PARTS if name in sets.parts]
    if split == "all" and len(parts) > 1:
        raise DataError(f"these images have parts: choose one of them, {', '.join(parts)}, instead of all")
    if split is None or split == "all":
        return fit_to_evaluate(model, _grouped(sets.parts[parts[0]], group_by), split, parts[0])
    return called(model, _grouped(_part_of(sets, "this set of images", split), group_by), split)


def _part_of(sets: ImageSets, source: str | os.PathLike[str], split: str) -> Images:
    if split not in sets.parts:
        found = [name for name in PARTS if name in sets.parts]
        raise DataError(f"{os.fspath(source)} has no {split} images; it has {' and '.join(found)}")
    return sets.parts[split]


def _relabelled(images: Images, classes: tuple[str, ...]) -> Images:
    """The same images, with labels that are positions in `classes`."""
    assert images.labels is not None
    relabelled = from_arrays(images.pixels, np.array(images.classes)[images.labels], classes=classes)
    return replace(relabelled, groups=images.groups)


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
