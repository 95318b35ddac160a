"""An image of an expansion: which inputs feed an output, coloured by the weight that they share."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lanewise.data.encode import tiled
from lanewise.explain.expansion import Expansion
from lanewise.explain.matrices import check_entries
from lanewise.explain.subject import place
from lanewise.extras import need
from lanewise.figures import save_figure
from lanewise.network.graph import Shape
from lanewise.wording import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Colours = NDArray[np.float64]
"""Red, green and blue, 0 to 1, along the last axis."""

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442", "#555555")
"""For up to eight weights: Okabe and Ito's colours, which people tell apart who do not see all colours alike."""

INK, PAPER, OTHER, GRID = "#1a1a1a", "#ffffff", "#cfcfcb", "#e4e4e1"
"""Colours of text, of no connection, of one whose weight the chosen output does not use, and of lines between cells."""

GAP = 0.93
"""The grey between maps, and where there is no cell."""

MOST_CELLS = 900
"""Rows and columns of a matrix that are drawn; larger ones are drawn with several entries to a dot."""

BYTES = 128
"""Memory that an entry of a matrix takes while it is drawn, about: its colour, more than once."""

MOST_LINED = 64
"""Cells in a row up to which there are lines between them."""

MOST_NUMBERED = 20
"""Cells in a row up to which the numbers of weights stand in them."""


def draw_connections(
    expansion: Expansion, output: int | tuple[int, ...], path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw which inputs feed one output, and the whole matrix beside it.

    Inputs and entries are coloured by the weight that ties them: one colour for each weight that the chosen output
    uses, wherever else it is used, and grey for all others. Connections of constants all have one colour. The matrix of
    a whole network, whose entries are no single weights, is coloured by their values, blue below 0 and red above.

    Parameters
    ----------
    expansion : Expansion
    output : (channel, row, column), or (feature,)
        Which output.
    path : path, optional
        Where to save the image: its name ends in .svg, .png or .pdf. A file of that name is replaced.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    OptionError
        There is no such output, or the file cannot be written or is of another kind.
    TooLargeError
        Drawing so many connections would not fit in memory.
    MissingPackageError
        Matplotlib is not installed.
    """
    matplotlib = need("matplotlib", "an image of connections")
    figures, layouts = need("matplotlib.figure", "an image"), need("matplotlib.layout_engine", "an image")
    where = place(expansion.name, expansion.output_shape, output)
    row = int(np.ravel_multi_index(where, expansion.output_shape))
    check_drawable(expansion.name, expansion.connections)
    colours = _colours(matplotlib, expansion, row)
    figure: Figure = figures.Figure(figsize=(12, 5), layout=layouts.ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.1))
    inputs, result, matrix = figure.subplots(1, 3, width_ratios=(4, 2, 5))
    _draw_inputs(inputs, expansion, row, colours)
    _draw_output(result, expansion.output_shape, where)
    _draw_matrix(matrix, expansion, row, colours)
    read = int(np.diff(expansion.matrix.indptr)[row])
    called = f"the network up to {expansion.name}" if expansion.layers else expansion.name
    tied = f"output {_tuple(where)} is tied to {read:,} of {expansion.matrix.shape[1]:,} inputs"
    figure.suptitle(f"{called}: {tied}", fontsize="x-large")
    figure.supxlabel(_counted(expansion), fontsize="medium")
    if path is not None:
        save_figure(figure, path)
    return figure


def check_drawable(name: str, connections: int) -> None:
    """Raise TooLargeError if a matrix of so many connections could not be drawn in the memory that is free."""
    check_entries(f"the image of {name}'s matrix", connections, BYTES)


def _colours(matplotlib: Any, expansion: Expansion, row: int) -> Colours:
    """The colour of each entry, (entries, 3)."""
    index = expansion.weight_index
    if expansion.layers:
        values = expansion.matrix.data
        largest = np.abs(values).max(initial=0) or 1.0
        return np.asarray(matplotlib.colormaps["RdBu_r"](0.5 + 0.5 * values / largest)[:, :3])
    own = index[slice(*expansion.matrix.indptr[row : row + 2])]
    used = np.unique(own)
    palette = np.array([_rgb(one) for one in PALETTE])
    if len(used) > len(palette):
        palette = matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, len(used)))[:, :3]
    found = np.searchsorted(used, index).clip(0, max(0, len(used) - 1))
    same = used[found] == index if len(used) else np.zeros(len(index), bool)
    return np.where(same[:, None], palette[found], np.array(_rgb(OTHER)))


def _draw_inputs(axes: Axes, expansion: Expansion, row: int, colours: Colours) -> None:
    """All inputs, a map for each channel; those that feed the output are coloured."""
    entries = slice(*expansion.matrix.indptr[row : row + 2])
    columns = expansion.matrix.indices[entries]
    cells, numbers = np.ones((expansion.matrix.shape[1], 3)), np.full(expansion.matrix.shape[1], -1)
    cells[columns], numbers[columns] = colours[entries], expansion.weight_index[entries]
    _draw_cells(axes, _sheet(cells, expansion.input_shape, GAP), _sheet(numbers, expansion.input_shape, -1))
    axes.set(title=f"inputs: {_described(expansion.input_shape)}", xticks=[], yticks=[])


def _draw_output(axes: Axes, shape: Shape, where: tuple[int, ...]) -> None:
    """The map that the output belongs to, and where in it the output is."""
    of_channel = shape[1:] if len(shape) == 3 else shape
    cells = np.ones((math.prod(of_channel), 3))
    cells[int(np.ravel_multi_index(where[-len(of_channel) :], of_channel))] = 0.1
    sheet = _sheet(cells, of_channel, GAP)
    _draw_cells(axes, sheet, np.full(sheet.shape[:2], -1))
    of_map = f"\nin map {where[0]} of {shape[0]}" if shape[:-2] > (1,) else ""
    axes.set(title=f"output {_tuple(where)}{of_map}", xticks=[], yticks=[])


def _draw_matrix(axes: Axes, expansion: Expansion, row: int, colours: Colours) -> None:
    """The matrix: a row for each output, a column for each input."""
    outputs, inputs = expansion.matrix.shape
    high, wide = min(outputs, MOST_CELLS), min(inputs, MOST_CELLS)
    rows, columns = expansion.matrix.tocoo().coords
    cells, numbers = np.ones((high, wide, 3)), np.full((high, wide), -1)
    # where several entries share a dot, the last one painted is seen: those of the chosen output's weights
    grey = (colours == np.array(_rgb(OTHER))).all(axis=1)
    order = np.argsort(~grey, kind="stable")
    dots = rows[order] * high // outputs, columns[order] * wide // inputs
    cells[dots], numbers[dots] = colours[order], expansion.weight_index[order]
    _draw_cells(axes, cells, numbers, "equal" if max(high, wide) <= MOST_LINED else "auto")
    axes.set_title(f"the matrix: {outputs:,} outputs x {inputs:,} inputs")
    axes.set_yticks([row * high // outputs], [f"output\n{_tuple(np.unravel_index(row, expansion.output_shape))}"])
    axes.set_xticks([0, wide - 1], ["input 0", f"{inputs - 1:,}"])
    middle = row * high // outputs
    axes.axhline(middle - 0.5, color=INK, linewidth=0.8)
    axes.axhline(middle + 0.5, color=INK, linewidth=0.8)


def _draw_cells(
    axes: Axes, cells: Colours, numbers: NDArray[np.int64], aspect: Literal["equal", "auto"] = "equal"
) -> None:
    """Coloured cells with lines between them and their weights' numbers inside, where there is room."""
    axes.imshow(cells, interpolation="nearest", aspect=aspect)
    high, wide = numbers.shape
    axes.tick_params(length=0)
    axes.spines[:].set_color(OTHER)
    if max(high, wide) > MOST_LINED:
        return
    axes.set_xticks(np.arange(wide + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(high + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    if max(high, wide) <= MOST_NUMBERED:
        for r, c in np.argwhere(numbers >= 0):
            dark = cells[r, c] @ (0.299, 0.587, 0.114) < 0.55
            style = {"fontsize": min(12, 1 + 120 / max(high, wide)), "color": PAPER if dark else INK}
            axes.text(c, r, str(numbers[r, c]), ha="center", va="center", **style)


def _sheet(values: NDArray[Any], shape: Shape, gap: Any) -> NDArray[Any]:
    """Values (n, ...) of a shape laid out on a sheet: maps side by side with a gap, features folded to a square."""
    high, wide = shape[-2:] if len(shape) > 1 else _square(shape[0])
    maps = shape[0] if len(shape) == 3 else 1
    missing = np.full((maps * high * wide - len(values), *values.shape[1:]), gap, values.dtype)
    images = np.concatenate([values, missing]).reshape(maps, high, wide, *values.shape[1:])
    return tiled(images, _square(maps)[1], gap)


def _square(count: int) -> tuple[int, int]:
    """(rows, columns) with room for so many, about a square."""
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def _described(shape: Shape) -> str:
    if len(shape) == 1:
        return f"{shape[0]:,} features"
    channels, rows, columns = shape
    return f"{rows}x{columns}" + (f", {channels} maps" if channels > 1 else "")


def _counted(expansion: Expansion) -> str:
    told = f"{expansion.connections:,} connections of {expansion.dense_weights:,} possible ones"
    if weights := math.prod(expansion.weight_shape):
        told += f", by {plural(weights, 'weight')}"
    return told


def _tuple(where: Sequence[Any]) -> str:
    return f"({', '.join(str(int(one)) for one in where)})"


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
