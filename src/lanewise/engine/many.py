"""Many images through a network, by the way that moves fewer bytes: 16 side by side, or one at a time.

Sixteen images side by side need sixteen times the memory of one. Where maps are large they leave the cache, and it
then depends on the work: where few multiply-adds are done for each value, as in depthwise and 1x1 convolutions, the
memory is waited for, and one image at a time is faster, each thread with an image of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.engine.inference import Inference
from lanewise.engine.parameters import Floats
from lanewise.engine.single import SingleInference
from lanewise.network.graph import Graph
from lanewise.network.summary import summary
from lanewise.preprocessing import Preprocessing
from lanewise.target import usable_threads

LARGE = 2**14
"""Values of the largest map, for one image: with so many, 16 side by side fill a second cache of 1 MB."""

FEW = 140
"""Multiply-adds for each value that a weighted sum makes, below which the memory is waited for.

Constants, both, so that the same bits come out on every machine.
"""


def one_by_one(graph: Graph) -> bool:
    """Whether images go through the network one at a time. It follows from the graph alone."""
    sizes, work = [prod(node.shape) for node in graph.nodes], [layer.multiply_adds for layer in summary(graph)]
    made = sum(size for size, count in zip(sizes, work, strict=True) if count)
    return max(sizes) >= LARGE and sum(work) < FEW * made


class OneByOne:
    """What comes out of a network for images, a thread an image, or all threads where there are fewer images.

    Weights are copied when it is made.

    Parameters
    ----------
    graph, parameters, preprocessing, tta
        As `SingleInference` takes them.
    threads : int, optional
        All processors by default.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Sequence[Floats],
        preprocessing: Preprocessing,
        *,
        tta: bool = False,
        threads: int | None = None,
    ) -> None:
        self.threads = usable_threads(threads)
        self._engines = [SingleInference(graph, parameters, preprocessing, tta=tta, threads=threads)]

    def run(self, pixels: NDArray[Any], *, threads: int | None = None) -> Floats:
        """The outputs, (images, ...) float32.

        Parameters
        ----------
        pixels : (images, rows, columns, channels)
        threads : int, optional
            Fewer than it was made for.
        """
        first = self._engines[0]
        result = np.empty((len(pixels), *first.graph.output_shape), np.float32)
        count = min(threads or self.threads, self.threads)
        if len(pixels) < count:
            for place, image in enumerate(pixels):
                result[place] = first.run(image, threads=count)
            return result
        while len(self._engines) < count:
            self._engines.append(first.another())

        def some(start: int) -> None:
            for place in range(start, len(pixels), count):
                result[place] = self._engines[start].run(pixels[place], threads=1)

        if count == 1:
            some(0)
            return result
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(some, range(count)))
        return result


def for_many(
    graph: Graph,
    parameters: Sequence[Floats],
    preprocessing: Preprocessing,
    *,
    tta: bool = False,
    threads: int | None = None,
) -> Inference | OneByOne:
    """What runs a network on many images in the least time.

    Parameters
    ----------
    graph : Graph
    parameters : list of float32 arrays, in the order of `graph.parameters`
    preprocessing : Preprocessing
    tta : bool
        Whether the answer is that to an image and its mirror image together.
    threads : int, optional
    """
    kind = OneByOne if one_by_one(graph) else Inference
    return kind(graph, parameters, preprocessing, tta=tta, threads=threads)
