"""`lanewise.check`: find problems in images and labels before training."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from lanewise.data.images import Images, ImageSets
from lanewise.data_check import duplicates, outliers
from lanewise.data_check.collect import from_parts, gather
from lanewise.data_check.features import choose, compute
from lanewise.data_check.findings import Collection, Finding, Findings, by_severity
from lanewise.data_check.groups import across_sets, with_copies, with_groups
from lanewise.data_check.known import UNKNOWN, Known, left_out
from lanewise.data_check.label_errors import mislabelled
from lanewise.data_check.similarity import Floats
from lanewise.errors import DataError
from lanewise.model import Model

StageProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Pace:
    """How long a stage will take, by the speed so far: to be told before it is waited for."""

    def __init__(self) -> None:
        self._stage, self._began, self._first = "", 0.0, 0

    def left(self, stage: str, done: int, total: int) -> float | None:
        """Estimate the seconds until a stage is done; None before that is possible.

        The first part of a stage is not timed, because it compiles.

        Parameters
        ----------
        stage : str
        done, total : int
            Parts of the stage.
        """
        now = time.perf_counter()
        if self._first == 0 or stage != self._stage or done < self._first:
            self._stage, self._began, self._first = stage, now, done
        if done <= max(1, self._first):
            return None
        return (now - self._began) / (done - self._first) * (total - done)


def check(
    source: str | os.PathLike[str] | Images | ImageSets | ArrayLike,
    y: ArrayLike | None = None,
    *,
    labels: bool = True,
    model: Model | None = None,
    start: str | os.PathLike[str] | Model | None = "auto",
    group_by: str | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: StageProgress | None = None,
) -> Findings:
    """Check images and their labels for problems.

    Finds unreadable files, copies within and across sets, images that look mislabelled, classes with few images, and
    outliers. Changes nothing.

    Parameters
    ----------
    source : path, "digits", array, Images or ImageSets
        As for `lanewise.train`, but a folder may have any layout: problems of the layout are findings, too.
    y : (N,) array, optional
        Labels, where `source` is an array (N, rows, columns) or (N, rows, columns, channels).
    labels : bool
        Whether to train networks to find images that look mislabelled; it takes most of the time.
    model : Model, optional
        Report which images this model was trained on, and test the labels of the others with it instead of with
        networks trained here. Files are read with its preprocessing.
    start : "auto", "lite0", path, Model or None
        A network whose features find wrong labels and near copies. By default the pretrained one, if `labels` are
        tested, the images are photographs and the extra `pretrained` is installed.
    group_by : str, optional
        Which images belong together, as for `lanewise.train`: they stay in one fold, and groups that are in two sets
        are found.
    groups : (N,) array, optional
        The group of each image, where `source` is an array.
    seed : int
        The same seed and data give the same findings.
    threads : int, optional
        All processors by default.
    progress : callable, optional

    Returns
    -------
    Findings

    Raises
    ------
    DataError
        When there is no readable image, or the model takes images of another shape.
    MissingPackageError, ModelFileError, NetworkError
        There is no such start, or it has no features.
    """
    began = time.perf_counter()
    say = progress or (lambda stage, done, total: None)
    like = None if model is None else model.preprocessing
    collection = gather(source, y, lambda done, total: say("reading", done, total), like, group_by)
    collection = with_groups(collection, group_by, groups)
    known = None if model is None else Known.of(model, collection)
    chosen, features = choose(collection, start, labels=labels), None
    if chosen.network is not None:
        features = compute(
            collection, chosen.network, threads, lambda done, total: say("computing features", done, total)
        )
    items, found = _without_labels(collection, threads, say, features)
    accuracy, not_done = None, []
    if known is not None:
        items = [*filter(None, [known.finding(collection)]), *items]
        if known.trained is None:
            not_done.append(UNKNOWN if labels else UNKNOWN.partition(":")[0] + ".")
            known = None
    if labels:
        together = with_copies(collection.groups, [members for members, _ in duplicates.groups(found)])
        try:
            suspected, accuracy = mislabelled(
                collection,
                together,
                seed,
                threads,
                lambda done, total: say("testing labels", done, total),
                known,
                features,
            )
            if known is not None and (count := int(np.count_nonzero(~(new := known.new(together))))):
                not_done.append(left_out(count, int(np.count_nonzero(new))))
            place = max((n + 1 for n, one in enumerate(items) if one.kind in duplicates.KINDS), default=0)
            items[place:place] = suspected  # before what is odd about the looks of images
        except DataError as error:
            not_done.append(str(error)[:1].upper() + str(error)[1:] + ".")
    else:
        not_done.append("Labels were not tested, as requested.")
    shown = os.fspath(source) if isinstance(source, str | os.PathLike) else f"{np.shape(collection.pixels)} array"
    seconds = time.perf_counter() - began
    return Findings(shown, by_severity(items), collection, accuracy, seconds, tuple(not_done), chosen.notes)


def look(
    parts: Mapping[str, Images],
    *,
    progress: StageProgress | None = None,
) -> Findings:
    """Find quickly, in images that are in memory, all that `check` finds except wrong labels.

    Parameters
    ----------
    parts : mapping of str to Images
        Sets by their names, like "train", "validation" and "test"; all of the same classes and shape. Empty ones are
        left out.
    progress : callable, optional

    Returns
    -------
    Findings

    Raises
    ------
    DataError
        When some images have no labels, or there are none.
    """
    began = time.perf_counter()
    collection = from_parts(parts)
    items, _ = _without_labels(collection, None, progress or (lambda stage, done, total: None), None)
    return Findings("images", by_severity(items), collection, None, time.perf_counter() - began)


def _without_labels(
    collection: Collection, threads: int | None, say: StageProgress, features: Floats | None
) -> tuple[list[Finding], tuple[duplicates.Link, ...]]:
    """All findings that need no network, and which images are copies of which."""
    say("comparing", 0, len(collection))
    constant = outliers.almost_constant(collection)
    found = duplicates.links(collection, constant, threads, lambda done, total: say("comparing", done, total), features)
    items = [
        *outliers.files(collection),
        *duplicates.copies(collection, found),
        *across_sets(collection),
        *outliers.counts(collection),
        *outliers.names(collection),
        *outliers.looks(collection, constant),
    ]
    return items, found
