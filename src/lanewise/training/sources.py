"""The images that a user gives to `lanewise.train`, whatever they are, as sets."""

from __future__ import annotations

import os
from dataclasses import replace

from numpy.typing import ArrayLike

from lanewise.data.grouping import grouped, groups_given
from lanewise.data.images import Images, ImageSets
from lanewise.data.load import load
from lanewise.errors import DataError, OptionError
from lanewise.notes import unheard
from lanewise.training.options import TrainOptions
from lanewise.training.signatures import Source


def sets_of(source: Source, y: ArrayLike | None, options: TrainOptions) -> ImageSets:
    """The sets of images, read if need be, with the groups that the options say.

    Parameters
    ----------
    source, y, options
        As for `lanewise.train`.

    Raises
    ------
    DataError, OptionError
        They cannot be used, or the options do not go with them.
    """
    if isinstance(source, ImageSets | Images):
        return _grouped(source if isinstance(source, ImageSets) else ImageSets(source), options)
    if isinstance(source, str | os.PathLike):
        if y is not None:
            raise DataError(f"{os.fspath(source)} brings its own labels: leave `y` out")
        if options.groups is not None:
            raise OptionError("groups go with arrays: for files, group_by finds them by their names")
        return load(
            source,
            size=options.size,
            channels=options.channels,
            fit=options.fit,
            strict=options.strict,
            group_by=options.group_by,
            notes=unheard,
        )
    if y is None:
        raise DataError("images given as an array need labels: train(x, y)")
    sets = load((source, y), size=options.size, channels=options.channels, fit=options.fit, notes=unheard)
    return _grouped(sets, options)


def _grouped(sets: ImageSets, options: TrainOptions) -> ImageSets:
    """The sets with the groups that the options say."""
    if options.groups is not None:
        groups = groups_given(options.groups, len(sets.train))
        return replace(sets, train=replace(sets.train, groups=groups))
    return sets if options.group_by is None else grouped(sets, options.group_by)
