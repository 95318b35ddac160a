"""A graph as a list of kernel calls for one image, with channels in the lanes.

Weights are laid out anew for these kernels, once, into one vector. Memory is planned as for groups of images. Calls
name slots, ("value", node) or ("patches" | "products", node), where a Winograd convolution works; `memory.py` places
them. Pooling and activations are the kernels of `pool.py` and `pointwise.py`, given blocks of channels for channels:
they treat all lanes alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lanewise.engine.folding import Folding
from lanewise.engine.fuse import Operation, conv_of
from lanewise.engine.lower import Forward, lowering_of, numbers
from lanewise.engine.memory import Slot, SlotCall, placed
from lanewise.engine.parameters import Floats
from lanewise.engine.schedule import Call, Place, aligned
from lanewise.kernels.activations import Applied, is_short
from lanewise.kernels.single import conv, dense, features, winograd
from lanewise.kernels.single.blocked import Blocked
from lanewise.lanes.program import LANES, Program
from lanewise.network.graph import Graph, Node
from lanewise.network.layers import Activation, Affine, Channelwise, Conv2D, Dense, Dropout, Flatten, Layer
from lanewise.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True, eq=False)
class SinglePlan:
    """Calls for one image, the bytes of arena and the scalars of output they need, and the vector of weights."""

    calls: tuple[Call, ...]
    arena: int
    outputs: int
    parameters: Floats


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
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Sequence[Floats],
        preprocessing: Preprocessing,
        *,
        registers: int,
        winograd: bool,
    ) -> None:
        folding = Folding.of(graph)
        self.graph = graph = folding.graph
        self.given, self.registers = folding.fold(parameters), registers
        self.users = graph.users()
        self.of_node, self.activations = self._shared()
        self.tiles = self._tiles() if winograd else {}
        self.layouts = self._layouts()
        self.calls: list[SlotCall] = []
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
        return layouts

    def value(self, node: int) -> tuple[Slot, Blocked]:
        """Slot and layout of what `node` computes."""
        value = self.of_node[node]
        return ("value", value), self.layouts[value]

    # calls

    def call(self, program: Program, *places: Slot | Place) -> None:
        """Append one call."""
        self.calls.append((program, places))

    def _constant(self, array: Floats) -> Place:
        """Put an array into the vector of weights."""
        where = Place("parameters", 4 * self.laid)
        self.weights.append(array)
        self.laid += -(-array.size // LANES) * LANES
        return where

    def _prepare(self, preprocessing: Preprocessing) -> None:
        slot, layout = self.value(0)
        channels = preprocessing.constants.values()
        scale, offset = (self._constant(features.lay_scale(layout, each)) for each in channels)
        self.call(features.prepare(layout), Place("image"), scale, offset, slot)

    def _forward(self, number: int, node: Node) -> None:
        y, y_layout = self.value(number)
        inputs = [self.value(source) for source in node.inputs]
        x, x_layout = inputs[0]
        match node.layer:
            case Conv2D():
                self._convolve(number, node)
            case Dense(units):
                own = [self.given[n] for n in self.graph.parameters_of(number)]
                weight = self._constant(dense.lay_weight(x_layout, own[0]))
                bias = self._constant(conv.lay_bias(units, own[1] if len(own) > 1 else None))
                activation = self.activations.get(number)
                program = dense.forward(x_layout, units, activation=activation, registers=self.registers)
                self.call(program, x, weight, bias, y)
            case layer:
                single, layouts = lowering_of(layer).single, tuple(layout for _, layout in inputs)
                if single is not None:
                    program = single(layer, layouts, y_layout)
                else:
                    xs, operation = tuple(layout.lanes for layout in layouts), Operation(number, node, number)
                    program = Forward(
                        graph=self.graph, operation=operation, xs=xs, y=y_layout.lanes, registers=self.registers
                    ).program()
                self.call(program, *(slot for slot, _ in inputs), *self._factors(number, layer), y)

    def _factors(self, number: int, layer: Layer) -> list[Place]:
        """A channelwise layer's numbers, or what it multiplies its channels with and adds to them."""
        if not isinstance(layer, Channelwise):
            return []
        own = [self.given[n] for n in self.graph.parameters_of(number)]
        numbers = layer.factor_and_offset(own) if isinstance(layer, Affine) else own
        return [self._constant(conv.lay_bias(each.size, each.ravel().astype(np.float32))) for each in numbers]

    def _convolve(self, number: int, node: Node) -> None:
        (x, x_layout), (y, y_layout) = self.value(node.inputs[0]), self.value(number)
        own = [self.given[n] for n in self.graph.parameters_of(number)]
        geometry, activation = conv_of(self.graph, node), self.activations.get(number)
        bias = conv.lay_bias(geometry.filters, own[1] if geometry.bias else None)
        if number not in self.tiles:
            program = conv.forward(geometry, x_layout, y_layout, activation=activation, registers=self.registers)
            weight = self._constant(conv.lay_weight(geometry, own[0]))
            self.call(program, x, weight, self._constant(bias), y)
            return
        tiles = self.tiles[number]
        patches, products = ("patches", number), ("products", number)
        self.sizes[patches], self.sizes[products] = winograd.scratch(geometry, tiles)
        program = winograd.forward(geometry, tiles, x_layout, y_layout, activation=activation, registers=self.registers)
        weight = self._constant(winograd.lay_weight(tiles, own[0]))
        self.call(program, x, weight, self._constant(bias), y, patches, products)

    def _way_out(self) -> int:
        """See that the last value ends up in `outputs`, in the order of the graph; say how many scalars it takes."""
        slot, layout = self.value(len(self.graph.nodes) - 1)
        if layout.shape[1:] == (1, 1) and layout.plain:
            self.fixed[slot] = Place("outputs")
        else:
            self.call(features.flatten(layout), slot, Place("outputs"))
        return layout.blocks * layout.shape[1] * layout.shape[2] * LANES

    # the plan

    def finish(self) -> SinglePlan:
        """Place all slots and turn them into addresses."""
        calls, arena = placed(self.calls, self.fixed, lambda slot: (self.sizes[slot], self._lasting(slot)))
        parameters, first = aligned(self.laid), 0
        for array in self.weights:
            parameters[first : first + array.size] = array.ravel()
            first += -(-array.size // LANES) * LANES
        return SinglePlan(calls, arena, self.outputs, parameters)

    def _lasting(self, slot: Slot) -> bool:
        """Whether it has a border, which is zero once and for all."""
        return slot[0] == "value" and not self.layouts[slot[1]].plain
