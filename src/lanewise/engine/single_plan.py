"""A graph as a list of kernel calls for one image, with channels in the lanes.

Weights are laid out anew for these kernels, once, into one vector. Memory is planned as for groups of images. Calls
name slots, ("value", node) or ("patches" | "products", node), where a Winograd convolution works; `memory.py` places
them. Pooling and activations are the kernels of `pool.py` and `pointwise.py`, given blocks of channels for channels:
they treat all lanes alike. Threads share a layer's work where there is enough (`single_parts.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod

import numpy as np

from lanewise.engine.folding import Folding
from lanewise.engine.fuse import Operation, conv_of
from lanewise.engine.lower import Forward, lowering_of, numbers
from lanewise.engine.memory import Moved, Slot, SlotCall, Where, placed
from lanewise.engine.parameters import Floats
from lanewise.engine.schedule import Call, Phase, Place, aligned
from lanewise.engine.single_parts import (
    BLOCKS,
    COLUMNS,
    ROWS,
    VECTOR,
    WORK_OF_A_VALUE,
    Axis,
    Kind,
    Part,
    cheaper,
    cut,
    phases_of,
    sharing,
    worth,
)
from lanewise.kernels.activations import Applied, is_short
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.single import conv, dense, features, winograd
from lanewise.kernels.single.blocked import Blocked
from lanewise.lanes.program import LANES, Program
from lanewise.network.graph import Graph, Node
from lanewise.network.layers import (
    LRN,
    Activation,
    Affine,
    Channelwise,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Join,
    Layer,
    LayerNorm,
    Softmax,
)
from lanewise.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True, eq=False)
class SinglePlan:
    """What is done for one image, the bytes of arena and the scalars of output it takes, and the vector of weights.

    No phase has work for more than `threads` threads.
    """

    phases: tuple[Phase, ...]
    arena: int
    outputs: int
    parameters: Floats
    threads: int

    @property
    def calls(self) -> tuple[Call, ...]:
        """All of them."""
        return tuple(call for phase in self.phases for section in phase.sections for call in section.calls)


class SinglePlanner:
    """Collects the calls; `finish` gives the plan.

    Parameters
    ----------
    graph, parameters, preprocessing
        As `SingleInference` takes them.
    registers : int
        How many values of 16 lanes the target's registers hold.
    winograd : bool
        Whether Winograd's algorithm may be used.
    threads : int
        For how many there is to be work at the same time.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Sequence[Floats],
        preprocessing: Preprocessing,
        *,
        registers: int,
        winograd: bool,
        threads: int = 1,
    ) -> None:
        folding = Folding.of(graph)
        self.graph = graph = folding.graph
        self.given, self.registers, self.threads = folding.fold(parameters), registers, worth(graph, threads)
        self.users = graph.users()
        self.of_node, self.activations = self._shared()
        self.tiles = self._tiles() if winograd else {}
        self.within = self._within()
        self.layouts = self._layouts()
        self.steps: list[list[Kind]] = []
        self.sizes = {("value", n): layout.scalars for n, layout in self.layouts.items()}
        self.weights: list[Floats] = []
        self.laid = 0  # scalars of `weights`
        self.fixed: dict[Slot, Place] = {}
        self._prepare(preprocessing)
        for number, node in enumerate(graph.nodes):
            if node.inputs and self.of_node[number] == number:
                self._forward(number, node)
        self.outputs = self._way_out()

    # what is shared, and how it lies in memory

    def _shared(self) -> tuple[list[int], dict[int, Applied]]:
        """The value of each node, named by the first that has it, and the activations that its kernel applies."""
        of_node, activations = list(range(len(self.graph.nodes))), {}
        for number, node in enumerate(self.graph.nodes):
            source = node.inputs[0] if node.inputs else 0
            match node.layer:
                case Activation() as layer if isinstance(self.graph.nodes[source].layer, Conv2D | Dense):
                    if self.users[source] == (number,) and is_short(layer.word):
                        of_node[number] = source
                        activations[source] = layer.word, numbers(layer)
                case Dropout():
                    of_node[number] = of_node[source]
                case Flatten() if Blocked.of(self.graph.nodes[source].shape).shape[1:] == (1, 1):
                    of_node[number] = of_node[source]
                case Flatten() if self._only_summed(number):
                    of_node[number] = of_node[source]
        return of_node, activations

    def _within(self) -> dict[int, tuple[int, int]]:
        """Values that are written where their one reader, a join, would copy them: its value, and the first block."""
        nodes, readers = self.graph.nodes, defaultdict[int, list[int]](list)
        for number, node in enumerate(nodes):
            for value in (self.of_node[source] for source in node.inputs):
                if self.of_node[number] != value:
                    readers[value].append(number)
        found: dict[int, tuple[int, int]] = {}
        for number, node in enumerate(nodes):
            if isinstance(node.layer, Join):
                values = [self.of_node[source] for source in node.inputs]
                firsts = [0, *accumulate(nodes[source].shape[0] for source in node.inputs)][:-1]
                whole = all(first % LANES == 0 for first in firsts)
                if whole and all(value and readers[value] == [number] for value in values):
                    found |= {v: (number, first // LANES) for v, first in zip(values, firsts, strict=True)}
        return found

    def _only_summed(self, number: int) -> bool:
        """Whether only dense layers read the node's values, which take them in any order, or the way out."""
        nodes = self.graph.nodes
        return all(
            isinstance(nodes[n].layer, Dense) or (isinstance(nodes[n].layer, Dropout) and self._only_summed(n))
            for n in self.users[number]
        )

    def _tiles(self) -> dict[int, winograd.Tiles]:
        """The convolutions that Winograd's algorithm computes."""
        found = {}
        for number, node in enumerate(self.graph.nodes):
            if isinstance(node.layer, Conv2D):
                tiles = winograd.tiles_for(conv_of(self.graph, node), Blocked.of(node.shape).shape)
                if tiles is not None:
                    found[number] = tiles
        return found

    def _layouts(self) -> dict[int, Blocked]:
        """By value; each gets the border that its users need."""
        layouts = {value: Blocked.of(self.graph.nodes[value].shape) for value in set(self.of_node)}
        compact = layouts[0].shape[0] < LANES
        for number, node in enumerate(self.graph.nodes):
            if not node.inputs or self.of_node[number] != number:
                continue
            for value in {self.of_node[source] for source in node.inputs}:
                layout = layouts[value]
                if isinstance(node.layer, Conv2D):
                    geometry = conv_of(self.graph, node)
                    if number in self.tiles:
                        border = winograd.x_border(geometry, self.tiles[number], layout)
                    else:
                        border = geometry.x_border(layout, layouts[number])
                    layouts[value] = layout.with_border(border)
                if value == 0 and not (isinstance(node.layer, Conv2D) and not conv.is_depthwise(geometry)):
                    compact = compact and isinstance(node.layer, Dense)
        if compact:
            layouts[0] = replace(layouts[0], width=layouts[0].shape[0])
        for value, (joined, _) in sorted(self.within.items(), reverse=True):
            layouts[value] = layouts[value].with_border(layouts[joined].border)
        return layouts

    def value(self, node: int) -> tuple[Slot | Moved, Blocked]:
        """Where what `node` computes lies, and how."""
        value, block = self.of_node[node], 0
        layout = self.layouts[value]
        while value in self.within:
            value, first = self.within[value]
            block += first
        slot = ("value", value)
        return (Moved(slot, block * BLOCKS.step(layout)) if block else slot), layout

    # calls

    def call(self, program: Program, *places: Where) -> None:
        """Append a step that is one call."""
        self.steps.append([(1, (program, places))])

    def _share(self, parts: Sequence[Part], some: Callable[[Part], SlotCall]) -> None:
        """Append a step whose parts threads share; `some` says what one of them calls."""
        self.steps.append([(part.count, some(part)) for part in parts])

    def _constant(self, array: Floats) -> Place:
        """Put an array into the vector of weights."""
        where = Place("parameters", 4 * self.laid)
        self.weights.append(array)
        self.laid += -(-array.size // LANES) * LANES
        return where

    def _constants(self, arrays: Sequence[Floats]) -> Place:
        """The same for arrays of one size, one for each task."""
        first, *_ = [self._constant(array) for array in arrays]
        return replace(first, by_task=4 * arrays[0].size)

    def _prepare(self, preprocessing: Preprocessing) -> None:
        slot, layout = self.value(0)
        channels = preprocessing.constants.values()
        scale, offset = (self._constant(features.lay_scale(layout, each)) for each in channels)
        row = 4 * layout.shape[0] * layout.shape[2]

        def some(part: Part) -> SlotCall:
            image, y = part.move(Place("image"), row), ROWS.move(part, slot, layout)
            return features.prepare(ROWS.part(layout, part)), (image, scale, offset, y)

        parts = sharing(self.threads, WORK_OF_A_VALUE * layout.scalars // LANES)
        self._share(cut(layout.shape[1], parts), some)

    def _forward(self, number: int, node: Node) -> None:
        match node.layer:
            case Conv2D() if number in self.tiles:
                self._winograd(number, node)
            case Conv2D():
                self._convolve(number, node)
            case Dense():
                self._dense(number, node)
            case layer:
                self._alike(number, node, layer)

    def _weight_and_bias(self, number: int) -> tuple[Floats, Place]:
        """A node's weight, and where its bias lies."""
        weight, *bias = (self.given[n] for n in self.graph.parameters_of(number))
        return weight, self._constant(conv.lay_bias(len(weight), bias[0] if bias else None))

    def _dense(self, number: int, node: Node) -> None:
        (x, x_layout), (y, y_layout) = self.value(node.inputs[0]), self.value(number)
        (weight, bias), activation = self._weight_and_bias(number), self.activations.get(number)

        def some(part: Part) -> SlotCall:
            laid = self._constants([dense.lay_weight(x_layout, weight[own]) for own in part.filters()])
            program = dense.forward(x_layout, len(weight), part.size, activation=activation, registers=self.registers)
            return program, (x, laid, part.move(bias, VECTOR), BLOCKS.move(part, y, y_layout))

        self._share(cut(y_layout.blocks, sharing(self.threads, x_layout.elements * y_layout.blocks)), some)

    def _convolve(self, number: int, node: Node) -> None:
        (x, x_layout), (y, y_layout) = self.value(node.inputs[0]), self.value(number)
        (weight, bias), activation = self._weight_and_bias(number), self.activations.get(number)
        geometry = conv_of(self.graph, node)
        depthwise, laid = conv.is_depthwise(geometry), conv.lay_weight(geometry, weight)
        w, axis, stride = self._constant(laid), ROWS, geometry.stride[0]
        if conv.is_one_product(geometry, x_layout, y_layout):
            geometry, axis, stride = replace(geometry, stride=(1, 1)), COLUMNS, 1
            x_layout, y_layout = conv.one_row(x_layout), conv.one_row(y_layout)

        def some_positions(part: Part) -> SlotCall:
            y_part = axis.part(y_layout, part)
            program = conv.forward(geometry, x_layout, y_part, activation=activation, registers=self.registers)
            return program, (axis.move(part, x, x_layout, stride), w, bias, axis.move(part, y, y_layout))

        def some_filters(part: Part) -> SlotCall:
            own = replace(geometry, filters=part.size * LANES)
            own_x: Where = x
            own_x_layout = x_layout
            if depthwise:
                own = replace(own, channels=own.filters, groups=own.filters)
                own_x, own_x_layout = BLOCKS.move(part, x, x_layout), BLOCKS.part(x_layout, part)
            y_part = BLOCKS.part(y_layout, part)
            program = conv.forward(own, own_x_layout, y_part, activation=activation, registers=self.registers)
            own_w = part.move(w, 4 * laid.size // y_layout.blocks)
            return program, (own_x, own_w, part.move(bias, VECTOR), BLOCKS.move(part, y, y_layout))

        work = prod(y_layout.shape[1:]) * laid.size // LANES
        parts = sharing(self.threads, work)
        positions, filters = cut(axis.size(y_layout), parts), cut(y_layout.blocks, parts)
        by_filters = depthwise or geometry.groups == 1
        if by_filters and cheaper(
            filters, positions, work, laid.size // LANES, 0 if depthwise else x_layout.scalars // LANES
        ):
            self._share(filters, some_filters)
        else:
            self._share(positions, some_positions)

    def _winograd(self, number: int, node: Node) -> None:
        (x, x_layout), (y, y_layout) = self.value(node.inputs[0]), self.value(number)
        (weight, bias), activation = self._weight_and_bias(number), self.activations.get(number)
        geometry, tiles = conv_of(self.graph, node), self.tiles[number]
        slots: list[Slot] = [("patches", number), ("products", number)]
        sizes = winograd.scratch(geometry, tiles)
        self.sizes.update((slot, size * self.threads) for slot, size in zip(slots, sizes, strict=True))
        scratch = [Moved(slot, by_thread=4 * size) for slot, size in zip(slots, sizes, strict=True)]

        def some(part: Part, axis: Axis, own: Conv, own_x: Where, laid: Where, own_bias: Where) -> SlotCall:
            y_part = axis.part(y_layout, part)
            program = winograd.forward(
                own, tiles.of(y_part.shape[1]), x_layout, y_part, activation=activation, registers=self.registers
            )
            return program, (own_x, laid, own_bias, axis.move(part, y, y_layout), *scratch)

        def some_filters(part: Part) -> SlotCall:
            laid = self._constants([winograd.lay_weight(tiles, weight[own]) for own in part.filters()])
            own = replace(geometry, filters=part.size * LANES)
            return some(part, BLOCKS, own, x, laid, part.move(bias, VECTOR))

        weights, count = tiles.points * geometry.channels * y_layout.blocks, tiles.down * tiles.across
        parts = sharing(self.threads, weights * count)
        rows, filters = cut(y_layout.shape[1], parts, tiles.m), cut(y_layout.blocks, parts)
        if cheaper(filters, rows, weights * count, weights, tiles.points * count * x_layout.blocks):
            self._share(filters, some_filters)
        else:
            laid = self._constant(winograd.lay_weight(tiles, weight))
            self._share(rows, lambda part: some(part, ROWS, geometry, ROWS.move(part, x, x_layout), laid, bias))

    def _alike(self, number: int, node: Node, layer: Layer) -> None:
        """A layer that treats all rows alike, or all blocks of channels."""
        if isinstance(layer, Join) and all(self.of_node[source] in self.within for source in node.inputs):
            return
        y, y_layout = self.value(number)
        inputs = [self.value(source) for source in node.inputs]
        layouts, factors = tuple(layout for _, layout in inputs), self._factors(number, layer)

        def program(xs: tuple[Blocked, ...], y: Blocked) -> Program:
            single = lowering_of(layer).single
            if single is not None:
                return single(layer, xs, y)
            lanes, operation = tuple(x.lanes for x in xs), Operation(number, node, number)
            forward = Forward(graph=self.graph, operation=operation, xs=lanes, y=y.lanes, registers=self.registers)
            return forward.program()

        axis = ROWS if isinstance(layer, LayerNorm | LRN | Join) else BLOCKS

        def some(part: Part) -> SlotCall:
            xs = tuple(axis.part(layout, part) for layout in layouts)
            own = factors if axis is ROWS else [part.move(factor, VECTOR) for factor in factors]
            places = (*(axis.move(part, *each) for each in inputs), *own, axis.move(part, y, y_layout))
            return program(xs, axis.part(y_layout, part)), places

        parts = sharing(self.threads, WORK_OF_A_VALUE * max(layout.scalars for layout in (*layouts, y_layout)) // LANES)
        if parts == 1 or isinstance(layer, Softmax | Flatten):
            self.call(program(layouts, y_layout), *(slot for slot, _ in inputs), *factors, y)
        else:
            self._share(cut(axis.size(y_layout), parts), some)

    def _factors(self, number: int, layer: Layer) -> list[Place]:
        """A channelwise layer's numbers, or what it multiplies its channels with and adds to them."""
        if not isinstance(layer, Channelwise):
            return []
        own = [self.given[n] for n in self.graph.parameters_of(number)]
        numbers = layer.factor_and_offset(own) if isinstance(layer, Affine) else own
        return [self._constant(conv.lay_bias(each.size, each.ravel().astype(np.float32))) for each in numbers]

    def _way_out(self) -> int:
        """See that the last value ends up in `outputs`, in the order of the graph; say how many scalars it takes."""
        slot, layout = self.value(len(self.graph.nodes) - 1)
        if layout.shape[1:] == (1, 1) and layout.plain:
            self.fixed["value", self.of_node[-1]] = Place("outputs")
        else:
            self.call(features.flatten(layout), slot, Place("outputs"))
        return layout.blocks * layout.shape[1] * layout.shape[2] * LANES

    # the plan

    def finish(self) -> SinglePlan:
        """Place all slots and turn them into addresses."""
        calls, arena = placed(
            [call for step in self.steps for _, call in step],
            self.fixed,
            self.sizes.__getitem__,
            self._border,
            shared=True,
        )
        parameters, first = aligned(self.laid), 0
        for array in self.weights:
            parameters[first : first + array.size] = array.ravel()
            first += -(-array.size // LANES) * LANES
        return SinglePlan(phases_of(self.steps, calls), arena, self.outputs, parameters, self.threads)

    def _border(self, slot: Slot) -> Layout | None:
        """The layout of a value that has a border."""
        if slot[0] != "value" or self.layouts[slot[1]].plain:
            return None
        layout = self.layouts[slot[1]]
        return layout.lanes if layout.width == LANES else layout
