"""A graph as a list of kernel calls: for one group of 16 images, forward, and backward.

Calls name the memory that they use by slots: ("value" | "gradient" | "masked" | "argmax", number of the value). When
the list is complete, the first and last use of each slot are known, and `memory.py` turns them into addresses.
"""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.engine.fuse import Operation, fuse
from lanewise.engine.gradients import Deferred, Gradients
from lanewise.engine.lower import Backward, Forward, lowering_of, transformed_weights
from lanewise.engine.memory import Slot, SlotCall, placed
from lanewise.engine.parameters import FlatParameters
from lanewise.engine.schedule import Call, Place
from lanewise.kernels import dense, pointwise
from lanewise.kernels.layout import Layout
from lanewise.lanes.program import LANES, Program
from lanewise.network.graph import Graph, is_frozen
from lanewise.network.layers import Dense


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """Calls for one group of images, and the bytes of arena that one thread needs for them.

    `preparations` are calls to make before, whenever the parameters have changed: they fill the array "transformed", of
    that many scalars, which all groups read. For the `deferred` gradients, the group has written to the array "kept".
    """

    calls: tuple[Call, ...]
    arena: int
    preparations: tuple[Call, ...]
    transformed: int
    deferred: tuple[Deferred, ...]
    kept: int


class Planner:
    """Collects the calls for one group.

    Parameters
    ----------
    graph : Graph
    training : bool
        Whether gradients will be asked for, and Dropout drops.
    registers : int
        How many values of 16 lanes the target's registers hold.
    images, key : Place
        The numbers of the group's images, and (seed, epoch): what Dropout's random numbers are made from.
    gradients : Gradients, optional
        Where gradients of parameters go.
    winograd : bool
        Whether convolutions may be computed by Winograd's method where that pays.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        training: bool,
        registers: int,
        images: Place,
        key: Place,
        gradients: Gradients | None = None,
        winograd: bool = True,
    ) -> None:
        self.graph, self.training = graph, training
        self.fused = fuse(graph, training=training, fast_convolution=winograd)
        self.flat = FlatParameters.of(graph)
        self.registers = registers
        self.images, self.key, self.gradients = images, key, gradients
        self.calls: list[SlotCall] = []
        self.layouts: dict[Slot, Layout] = {}
        self.fixed: dict[Slot, Place] = {}
        self.preparations: list[Call] = []
        self._transformed = 0  # scalars
        self._deferred: list[Deferred] = []
        self._kept = 0  # bytes
        self._with_gradient: set[int] = set()  # values whose gradient has been written by some reader already

    # what is where

    def call(self, program: Program, *places: Slot | Place) -> None:
        """Append one call."""
        self.calls.append((program, places))

    def value(self, node: int) -> tuple[Slot, Layout]:
        """Slot and layout of what `node` computes."""
        value = self.fused.of_node[node]
        slot = ("value", value)
        self.layouts[slot] = self.fused.values[value].layout
        return slot, self._seen_by(node, self.layouts[slot])

    def gradient(self, node: int) -> tuple[Slot, Layout]:
        """Slot and layout of the gradient of what `node` computes."""
        value = self.fused.values[self.fused.of_node[node]]
        slot = ("gradient", value.gradient_of)
        self.layouts[slot] = value.gradient
        return slot, self._seen_by(node, self.layouts[slot])

    def _seen_by(self, node: int, layout: Layout) -> Layout:
        """The layout in the shape of `node`: what was an image is features behind a Flatten, in the same memory."""
        shape = self.graph.nodes[node].shape
        return Layout.of(shape) if len(shape) == 1 else layout

    def parameter(self, node: int) -> list[Place]:
        """Where the node's weight and bias are."""
        return [Place("parameters", 4 * self.flat.starts[n]) for n in self.graph.parameters_of(node)]

    def finish(self) -> GroupPlan:
        """Place all slots and turn them into addresses."""
        calls, arena = placed(
            self.calls, self.fixed, lambda slot: (self.layouts[slot].scalars, not self.layouts[slot].plain)
        )
        return GroupPlan(calls, arena, tuple(self.preparations), self._transformed, tuple(self._deferred), self._kept)

    def _bind(self, program: Program, operation: Operation, **known: Slot | Place) -> None:
        """Append a call of a program of `operation`, whose buffers are found by their names (`lower.py`)."""
        sources = [self.value(source)[0] for source in operation.node.inputs]
        found: dict[str, Slot | Place] = {"images": self.images, "key": self.key, "x": sources[0]}
        found |= {f"x{n}": source for n, source in enumerate(sources)}
        found |= zip(("weight", "bias"), self.parameter(operation.number), strict=False)
        found |= {"y": self.value(operation.result)[0], **known}
        places: list[Slot | Place] = []
        scratch = 0
        for buffer in program.buffers:
            match buffer.name:
                case "argmax":
                    places.append(self._argmax(operation)[0])
                case "transformed":
                    places.append(self._transformed_weights(operation, gradient="dx" in known))
                case name if name.startswith("scratch"):
                    slot = (f"scratch{scratch}", len(self.calls))
                    self.layouts[slot] = Layout((buffer.scalars // LANES, 1, 1))
                    places.append(slot)
                    scratch += 1
                case name:
                    places.append(found[name])
        self.call(program, *places)

    def _argmax(self, operation: Operation) -> tuple[Slot, Layout]:
        """Where it is noted which tap won each window of a max pool that a convolution does, and how that lies."""
        number = operation.number if operation.done_by is None else operation.done_by
        slot: Slot = ("argmax", number)
        convolution = self.fused.operations[number]
        assert convolution.pool is not None
        self.layouts[slot] = convolution.unpooled or Layout.of(self.graph.nodes[convolution.pool].shape)
        return slot, self.layouts[slot]

    def _transformed_weights(self, operation: Operation, *, gradient: bool) -> Place:
        """Where the transformed weights of a convolution are; the call that transforms them is noted."""
        program = transformed_weights(self.graph, operation, gradient=gradient)
        place = Place("transformed", 4 * self._transformed)
        self._transformed += program.buffers[1].scalars
        self.preparations.append(Call(program, (self.parameter(operation.number)[0], place)))
        return place

    # forward

    def forward(self, *, until: int | None = None) -> None:
        """Append the forward pass, up to node `until` (all nodes by default)."""
        last = len(self.graph.nodes) - 1 if until is None else until
        for operation in self.fused.operations.values():
            if operation.number <= last and operation.done_by is None:
                self._forward(operation)

    def _forward(self, operation: Operation) -> None:
        argmax = operation.pool is not None and self.training and self.fused.values[operation.number].trained
        plus = None if operation.plus is None else self.value(operation.plus)
        program = lowering_of(operation.node.layer).forward(
            Forward(
                graph=self.graph,
                operation=operation,
                xs=tuple(self.value(source)[1] for source in operation.node.inputs),
                y=self.value(operation.result)[1],
                plus=plus[1] if plus else None,
                argmax=self._argmax(operation)[1] if argmax else None,
                training=self.training,
                registers=self.registers,
            )
        )
        self._bind(program, operation, **({"plus": plus[0]} if plus else {}))

    # backward

    def written(self, node: int) -> None:
        """Note that the gradient of what `node` computes is there already (the loss wrote it)."""
        self._with_gradient.add(self.fused.of_node[node])

    def backward(self, *, start: int | None = None) -> None:
        """Append the backward pass from node `start` (the last by default), whose gradient is there."""
        last = len(self.graph.nodes) - 1 if start is None else start
        for operation in reversed(self.fused.operations.values()):
            if operation.number <= last and self.fused.values[operation.number].trained:
                dy = self._output_gradient(operation)
                if self.graph.parameters_of(operation.number) and not is_frozen(operation.node.layer):
                    self._parameter_gradients(operation, dy)
                for position, source in enumerate(operation.node.inputs):
                    value = self.fused.of_node[source]
                    before = self.fused.operations.get(value)
                    if self.fused.values[value].trained and not (before and before.unpooled):
                        self._input_gradient(operation, position, dy)

    def _output_gradient(self, operation: Operation) -> tuple[Slot, Layout]:
        """The gradient before the ReLU that the kernel includes; or that behind its pool if it will do."""
        if operation.unpooled is not None:
            return self._pooled_gradient(operation, operation.unpooled)
        number = operation.number
        (dy, layout), value = self.gradient(number), self.fused.values[number]
        if value.rectified and not value.masked:
            y, y_layout = self.value(number)
            program = pointwise.activation_backward("relu", (), y_layout, layout, layout, "y", accumulate=False)
            self.call(program, y, dy, dy)
        return dy, layout

    def _pooled_gradient(self, operation: Operation, wanted: Layout) -> tuple[Slot, Layout]:
        """The gradient behind the pool of a convolution, copied into a border if it has none."""
        dy, layout = self.gradient(operation.result)
        if layout == wanted:
            return dy, layout
        framed = ("framed", operation.number)
        self.layouts[framed] = wanted
        self.call(pointwise.copy(layout, wanted), dy, framed)
        return framed, wanted

    def _parameter_gradients(self, operation: Operation, dy: tuple[Slot, Layout]) -> None:
        assert self.gradients is not None
        number, layer, accumulate = operation.number, operation.node.layer, self.gradients.accumulate
        x, x_layout = self.value(operation.node.inputs[0])
        places = self.gradients.places(self.graph.parameters_of(number))
        if isinstance(layer, Dense) and number in self.gradients.deferred:
            kept = self._keep(x, dense.padded(x_layout.elements)), self._keep(dy[0], layer.units)
            weight = self.parameter(number)[0]
            self._deferred.append(Deferred(x_layout.elements, layer.units, *kept, places[0], weight))
            for bias_place in places[1:]:
                self.call(dense.backward_bias(layer.units, accumulate=accumulate), dy[0], bias_place)
            return
        lower = lowering_of(layer).parameter_gradients
        assert lower is not None, operation
        program = lower(
            Backward(
                graph=self.graph,
                operation=operation,
                x=x_layout,
                y=self.value(operation.result)[1],
                dy=dy[1],
                dx=x_layout,
                accumulate=accumulate,
                registers=self.registers,
            )
        )
        self._bind(program, operation, dy=dy[0], **dict(zip(("dweight", "dbias"), places, strict=False)))

    def _keep(self, slot: Slot, elements: int) -> Place:
        """Give a slot a place of its own for each group of the batch, in the array of what is kept."""
        assert self.gradients is not None
        if slot not in self.fixed:
            self.fixed[slot] = self.gradients.kept(self._kept, elements)
            self._kept += self.gradients.images * 4 * elements
        return self.fixed[slot]

    def _input_gradient(self, operation: Operation, position: int, dy: tuple[Slot, Layout]) -> None:
        source = operation.node.inputs[position]
        number, (x, x_layout), (dx, dx_layout) = self.fused.of_node[source], self.value(source), self.gradient(source)
        accumulate, value = number in self._with_gradient, self.fused.values[number]
        self._with_gradient.add(number)
        if dx == dy[0]:  # a sum's, in the same memory as that of what it adds
            return
        program = lowering_of(operation.node.layer).input_gradient(
            Backward(
                graph=self.graph,
                operation=operation,
                position=position,
                x=x_layout,
                y=self.value(operation.number)[1],
                dy=dy[1],
                dx=dx_layout,
                mask=value.masked and operation.number == min(value.users),
                accumulate=accumulate,
                registers=self.registers,
            )
        )
        self._bind(program, operation, x=x, dy=dy[0], dx=dx)
