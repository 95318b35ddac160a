"""Whether training fits into memory, said before a weight is drawn or a kernel compiled, with what would fit.

What is suggested was computed by the same function as what is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from lanewise.data.images import Images
from lanewise.engine.gradients import FEWEST_ROWS
from lanewise.engine.trainer import Trainer
from lanewise.errors import LanewiseError, TooLargeError
from lanewise.lanes.program import LANES
from lanewise.limits import available_memory
from lanewise.model import Model
from lanewise.network.graph import Graph
from lanewise.preprocessing import PixelType, Preprocessing, type_of
from lanewise.ranks import active
from lanewise.target import usable_threads
from lanewise.training.default_rate import with_steps
from lanewise.training.options import TrainOptions
from lanewise.training.recipe import Effort, network_for

COPIES = 4
"""Of all parameters, beside the trainer's: those to start from, the best so far, and those that evaluate."""

AMPLE = 32
"""Memory of so many times all values and parameters is enough for certain, so nothing is laid out to find out."""

Size = tuple[int, int]


def needed(graph: Graph, dtype: PixelType, batch_size: int, threads: int | None = None, winograd: bool = True) -> int:
    """An upper bound of the bytes that training takes, besides images and machine code.

    Parameters
    ----------
    graph : Graph
    dtype : {"uint8", "float32"}
        Type of the raw pixels.
    batch_size, threads, winograd
        As for `lanewise.train`.
    """
    channels, rows, columns = graph.input_shape
    raw = Preprocessing(rows, columns, channels, dtype, (1.0,) * channels, (0.0,) * channels)
    # To evaluate, a thread's arena is at most as large as to train.
    copies = 4 * graph.parameter_count * COPIES
    return copies + 2 * Trainer.memory(graph, raw, batch_size, threads=threads, winograd=winograd, ranks=active())


def check_room_for(options: TrainOptions, images: Images, start: Model | None, count: int, effort: Effort) -> None:
    """Refuse what does not fit into memory, before a weight is drawn.

    Parameters
    ----------
    options : TrainOptions
    images : Images
    start : Model or None
        What training starts from.
    count : int
        Images that are trained on.
    effort : Effort
        That of the default network.
    """

    def of_size(size: tuple[int, int]) -> Graph:
        return network_for(options.network, (images.channels, *size), len(images.classes), effort=effort)[0]

    graph = start.graph if start is not None and options.network == "auto" else of_size(images.size)
    resized = None if images.resize is None or start is not None else of_size
    batch_size = min(with_steps(options, graph, count, effort, new=start is None).batch_size or 0, count)
    check_training_fits(type_of(images.pixels), batch_size, options.threads, options.winograd, graph, resized)


def check_training_fits(
    dtype: PixelType,
    batch_size: int,
    threads: int | None,
    winograd: bool,
    graph: Graph,
    resized: Callable[[Size], Graph] | None,
) -> None:
    """Refuse training that does not fit into memory.

    Parameters
    ----------
    dtype, batch_size, threads, winograd, graph
        As for `needed`.
    resized : callable or None
        The network for images of another size, where they could be.

    Raises
    ------
    TooLargeError
        With the largest batch size and the largest images that do fit, if any do.
    """
    available = available_memory()
    if available is None or AMPLE * _values(graph, threads) <= available:
        return

    def bytes_of(graph: Graph, batch_size: int, threads: int | None = threads) -> int:
        least = 4 * graph.parameter_count * (FEWEST_ROWS + COPIES)
        # Where parameters alone are too much, nothing need be laid out, which takes long.
        return least if least > available else needed(graph, dtype, batch_size, threads, winograd)

    most = bytes_of(graph, batch_size)
    if most <= available:
        return
    fits = []
    if bytes_of(graph, batch_size, 1) <= available:
        fits.append("one thread (--threads 1)")
    if (smaller := next((n for n in _halves(batch_size) if bytes_of(graph, n) <= available), None)) is not None:
        fits.append(f"a batch of {smaller} (--batch-size {smaller})")
    if (size := _fitting_size(graph, resized, lambda graph: bytes_of(graph, batch_size) <= available)) is not None:
        fits.append("images of {0}x{1} (--size {0}x{1})".format(*size))
    hint = f"what fits is {' or '.join(fits)}" if fits else "use fewer filters or units, or pool earlier"
    _, rows, columns = graph.input_shape
    raise TooLargeError(
        f"training this network on images of {rows}x{columns} needs {most / 2**30:.1f} GB of memory, but only "
        f"{available / 2**30:.1f} GB are free; {hint}"
    )


def _values(graph: Graph, threads: int | None) -> int:
    """Bytes of all values of a group of images in each thread, and of all parameters and their gradients by shard."""
    values = sum(math.prod(node.shape) for node in graph.nodes) * LANES * usable_threads(threads, None)
    return 4 * (values + graph.parameter_count * (FEWEST_ROWS + COPIES))


def _halves(batch_size: int) -> Iterator[int]:
    """Smaller batches, of whole groups of 16 images."""
    while batch_size > LANES:
        batch_size = max(LANES, batch_size // (2 * LANES) * LANES)
        yield batch_size


def _fitting_size(graph: Graph, resized: Callable[[Size], Graph] | None, fits: Callable[[Graph], bool]) -> Size | None:
    """The largest smaller size that fits, of about the same shape, in multiples of 8, each about an eighth smaller."""
    _, rows, columns = graph.input_shape
    while resized is not None and max(rows, columns) > 8:
        rows, columns = (max(8, side * 7 // 8 // 8 * 8) for side in (rows, columns))
        try:
            if fits(resized((rows, columns))):
                return rows, columns
        except LanewiseError:  # too small for the network
            return None
    return None
