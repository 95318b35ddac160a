"""A graph as a list of kernel calls: for one group of 16 images, forward, and backward.

Calls name the memory that they use by slots: ("value" | "gradient" | "masked" | "argmax", number of the value). When
the list is complete, the first and last use of each slot are known, and `memory.py` turns them into addresses.
"""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.engine.fuse import Operation, fuse
from lanewise.engine.gradients import Deferred, Gradients
from lanewise.engine.lower import Backward, Forward, lowering_of
from lanewise.engine.memory import Slot
from lanewise.engine.operands import Operands
from lanewise.engine.schedule import Call, Place
from lanewise.kernels import dense, pointwise
from lanewise.kernels.layout import Layout
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
    present : Place, optional
        Where 1 stands for each lane with an image, and 0 for the others; for training.
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
        present: Place | None = None,
        gradients: Gradients | None = None,
        winograd: bool = True,
    ) -> None:
        self.graph, self.training, self.registers, self.gradients = graph, training, registers, gradients
        self.fused = fuse(graph, training=training, fast_convolution=winograd)
        self.operands = Operands(graph, self.fused, images=images, key=key, present=present, gradients=gradients)
        self._deferred: list[Deferred] = []
        self._turn: int | None = None  # calls of the forward pass
        self._with_gradient: set[int] = set()  # values whose gradient has been written by some reader already

    def finish(self) -> GroupPlan:
        """Place all slots and turn them into addresses."""
        operands = self.operands
        calls, arena = operands.placed(self._turn)
        return GroupPlan(
            calls, arena, tuple(operands.preparations), operands.transformed, tuple(self._deferred), operands.kept
        )

    # forward

    def forward(self, *, until: int | None = None) -> None:
        """Append the forward pass, up to node `until` (all nodes by default)."""
        last = len(self.graph.nodes) - 1 if until is None else until
        for operation in self.fused.operations.values():
            if operation.number <= last and operation.done_by is None:
                self._forward(operation)

    def _forward(self, operation: Operation) -> None:
        argmax = operation.pool is not None and self.training and self.fused.values[operation.number].trained
        plus = None if operation.plus is None else self.operands.value(operation.plus)
        forward = Forward(
            graph=self.graph,
            operation=operation,
            xs=tuple(self.operands.value(source)[1] for source in operation.node.inputs),
            y=self.operands.value(operation.result)[1],
            plus=plus[1] if plus else None,
            argmax=self.operands.argmax(operation)[1] if argmax else None,
            training=self.training,
            accumulate=self.gradients is not None and self.gradients.accumulate,
            registers=self.registers,
        )
        self.operands.bind(forward.program(), operation, **({"plus": plus[0]} if plus else {}))
        if self.training and plus is None and (program := forward.again()) is not None:
            self.operands.again[self.operands.value(operation.result)[0]] = self.operands.bound(program, operation)

    # backward

    def written(self, node: int) -> None:
        """Note that the gradient of what `node` computes is there already (the loss wrote it)."""
        self._with_gradient.add(self.fused.of_node[node])

    def backward(self, *, start: int | None = None) -> None:
        """Append the backward pass from node `start` (the last by default), whose gradient is there."""
        last = len(self.graph.nodes) - 1 if start is None else start
        self._turn = len(self.operands.calls)
        for operation in reversed(self.fused.operations.values()):
            if operation.number <= last and self.fused.values[operation.number].trained:
                dy = self._output_gradient(operation)
                if self._has_own_gradients(operation):
                    self._parameter_gradients(operation, dy)
                for position, source in enumerate(operation.node.inputs):
                    value = self.fused.of_node[source]
                    before = self.fused.operations.get(value)
                    if self.fused.values[value].trained and not (before and before.unpooled):
                        self._input_gradient(operation, position, dy)

    def _has_own_gradients(self, operation: Operation) -> bool:
        """Whether it has parameters that are trained, and whose gradients do not come with that of its input."""
        layer, source = operation.node.layer, self.fused.of_node[operation.node.inputs[0]]
        if not self.graph.parameters_of(operation.number) or is_frozen(layer):
            return False
        return not (lowering_of(layer).together and self.fused.values[source].trained)

    def _output_gradient(self, operation: Operation) -> tuple[Slot, Layout]:
        """The gradient before the ReLU that the kernel includes; or that behind its pool if it will do."""
        if operation.unpooled is not None:
            return self._pooled_gradient(operation, operation.unpooled)
        number = operation.number
        (dy, layout), value = self.operands.gradient(number), self.fused.values[number]
        if value.rectified and not value.masked:
            y, y_layout = self.operands.value(number)
            program = pointwise.activation_backward("relu", (), y_layout, layout, layout, "y", accumulate=False)
            self.operands.call(program, y, dy, dy)
        return dy, layout

    def _pooled_gradient(self, operation: Operation, wanted: Layout) -> tuple[Slot, Layout]:
        """The gradient behind the pool of a convolution, copied into a border if it has none."""
        dy, layout = self.operands.gradient(operation.result)
        if layout == wanted:
            return dy, layout
        framed = ("framed", operation.number)
        self.operands.layouts[framed] = wanted
        self.operands.call(pointwise.copy(layout, wanted), dy, framed)
        return framed, wanted

    def _parameter_gradients(self, operation: Operation, dy: tuple[Slot, Layout]) -> None:
        assert self.gradients is not None
        number, layer, accumulate = operation.number, operation.node.layer, self.gradients.accumulate
        x, x_layout = self.operands.value(operation.node.inputs[0])
        if isinstance(layer, Dense) and number in self.gradients.deferred:
            places = self.gradients.places(self.graph.parameters_of(number))
            kept = (
                self.operands.keep(x, dense.padded(x_layout.elements), self.gradients),
                self.operands.keep(dy[0], layer.units, self.gradients),
            )
            weight = self.operands.parameter(number)[0]
            self._deferred.append(Deferred(x_layout.elements, layer.units, *kept, places[0], weight))
            for bias_place in places[1:]:
                self.operands.call(dense.backward_bias(layer.units, accumulate=accumulate), dy[0], bias_place)
            return
        backward = self._backward(operation, 0, dy[1], x_layout, accumulate)
        self.operands.bind(backward.parameter_gradients(), operation, dy=dy[0])

    def _input_gradient(self, operation: Operation, position: int, dy: tuple[Slot, Layout]) -> None:
        source = operation.node.inputs[position]
        number, (dx, dx_layout) = self.fused.of_node[source], self.operands.gradient(source)
        accumulate = number in self._with_gradient
        self._with_gradient.add(number)
        if dx == dy[0]:  # a sum's, in the same memory as that of what it adds
            return
        backward = self._backward(operation, position, dy[1], dx_layout, accumulate)
        x = self.operands.value(source)[0]
        self.operands.bind(backward.input_gradient(), operation, x=x, dy=dy[0], dx=dx)

    def _backward(self, operation: Operation, position: int, dy: Layout, dx: Layout, accumulate: bool) -> Backward:
        """What is known of an operation whose gradients are computed, those of one input or of the parameters."""
        source = operation.node.inputs[position]
        value = self.fused.values[self.fused.of_node[source]]
        return Backward(
            graph=self.graph,
            operation=operation,
            position=position,
            xs=tuple(self.operands.value(one)[1] for one in operation.node.inputs),
            x=self.operands.value(source)[1],
            y=self.operands.value(operation.number)[1],
            dy=dy,
            dx=dx,
            mask=value.masked and operation.number == min(value.users),
            accumulate=accumulate,
            accumulate_parameters=self.gradients is not None and self.gradients.accumulate,
            registers=self.registers,
        )
