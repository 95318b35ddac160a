"""What training sees of an image: the kernel that gathers images into lanes, run alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lanewise.engine.parameters import Floats
from lanewise.engine.schedule import Call, Executable, Phase, Place, Section, aligned
from lanewise.kernels.augmentation import Augment
from lanewise.kernels.gather import gather
from lanewise.kernels.layout import Layout
from lanewise.kernels.mixing import mix
from lanewise.lanes.program import LANES
from lanewise.preprocessing import Preprocessing
from lanewise.target import chosen


def augmented(
    pixels: NDArray[np.generic], preprocessing: Preprocessing, augment: Augment, seed: int, epochs: int
) -> Floats:
    """Augmented images as the network takes them, in each of some epochs.

    Parameters
    ----------
    pixels : (N, rows, columns, channels) of the type that `preprocessing` names
        At most 16 images.
    preprocessing : Preprocessing
    augment : Augment
    seed : int
    epochs : int

    Returns
    -------
    (epochs, N, channels, rows, columns) float32
    """
    rows, columns, channels = preprocessing.shape
    layout = Layout((channels, rows, columns))
    alone, key = augment.alone, Place("keys", by_step=8)
    program = gather(preprocessing.shape, preprocessing.kernel_type, layout, alone)
    scales = (Place("scale"), Place("offset"))
    outputs = Place("outputs", by_step=4 * layout.scalars)
    calls = [Call(program, (Place("pixels"), Place("images"), *scales, *([key] if alone else []), outputs))]
    if augment.mixes:
        calls.append(Call(mix(layout, augment), (Place("images"), key, outputs, Place("shares"))))
    images = np.full(LANES, -1, np.int32)
    images[: len(pixels)] = np.arange(len(pixels))
    keys = np.array([(seed & 0x7FFFFFFF, epoch) for epoch in range(epochs)], np.int32)
    arrays = {"pixels": np.ascontiguousarray(pixels), "images": images, "keys": keys, **preprocessing.constants}
    arrays["shares"] = np.zeros(LANES, np.float32)
    arrays["outputs"] = aligned(epochs * layout.scalars)
    Executable([Phase(1, (Section(tuple(calls)),))], chosen(), None).run(arrays, steps=epochs)
    lanes = arrays["outputs"].reshape(epochs, *layout.shape, LANES)[..., : len(pixels)]
    return np.ascontiguousarray(np.moveaxis(lanes, -1, 1))
