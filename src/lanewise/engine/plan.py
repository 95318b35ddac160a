"""A graph as a list of kernel calls: for one group of 16 images, forward, and backward.

Calls name the memory that they use by slots: ("value" | "gradient" | "masked" | "argmax", number of the value). When
the list is complete, the first and last use of each slot are known, and `memory.py` turns them into addresses.
"""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.engine.fuse import Values, conv_of, first_place, masks, numbers, pool_of, values_of
from lanewise.engine.gradients import Deferred, Gradients
from lanewise.engine.memory import Slot, SlotCall, placed
from lanewise.engine.parameters import FlatParameters
from lanewise.engine.schedule import Call, Place
from lanewise.kernels import conv, conv_pooled_gradient, conv_weight_gradient, dense, pointwise, pool, winograd
from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool
from lanewise.kernels.winograd_tiles import scratch
from lanewise.kernels.winograd_weight_gradient import backward_weight
from lanewise.lanes.program import Program
from lanewise.network.graph import Graph, Node, is_frozen
from lanewise.network.layers import (
    Activation,
    Add,
    AvgPool2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Join,
    MaxPool2D,
    Softmax,
)


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
        self.values: Values = values_of(graph, training=training, fast_convolution=winograd)
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
        value = self.values.of_node[node]
        slot = ("value", value)
        self.layouts[slot] = self.values.layouts[value]
        return slot, self._seen_by(node, self.layouts[slot])

    def gradient(self, node: int) -> tuple[Slot, Layout]:
        """Slot and layout of the gradient of what `node` computes."""
        value = self.values.of_node[node]
        slot = ("gradient", self.values.gradient_of[value])
        self.layouts[slot] = self.values.gradients[value]
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

    def _prepared(self, number: int, layouts: tuple[Layout, Layout], *, gradient: bool = False) -> Place:
        """Where the transformed weights of a convolution are; the call that transforms them is noted."""
        program = winograd.transform_weights(conv_of(self.graph, self.graph.nodes[number]), *layouts, gradient=gradient)
        place = Place("transformed", 4 * self._transformed)
        self._transformed += program.buffers[1].scalars
        self.preparations.append(Call(program, (self.parameter(number)[0], place)))
        return place

    def _scratch(self, program: Program) -> list[Slot]:
        """Slots that only one call uses."""
        slots: list[Slot] = []
        for n, layout in enumerate(scratch(program)):
            slots.append((f"scratch{n}", len(self.calls)))
            self.layouts[slots[-1]] = layout
        return slots

    # forward

    def forward(self, *, until: int | None = None) -> None:
        """Append the forward pass, up to node `until` (all nodes by default)."""
        last = len(self.graph.nodes) - 1 if until is None else until
        for number, node in enumerate(self.graph.nodes[: last + 1]):
            joined = number in self.values.pooled.values() or number in self.values.summed.values()
            if node.inputs and self.values.of_node[number] == number and not joined:
                self._forward(number, node)

    def _forward(self, number: int, node: Node) -> None:
        pooled, total = self.values.pooled.get(number), self.values.summed.get(number, number)
        y, y_layout = self.value(total if pooled is None else pooled)
        inputs = [self.value(source) for source in node.inputs]
        x, x_layout = inputs[0]
        relu = total in self.values.rectified
        match node.layer:
            case Conv2D():
                fast = ("forward", number) in self.values.winograd
                needs_gradient = self.training and number in self.values.trained
                argmax = [self._argmax(number)] if pooled is not None and needs_gradient else []
                plus = [
                    self.value(n) for n in self.graph.nodes[total].inputs if total != number != self.values.of_node[n]
                ]
                program = (winograd.forward if fast else conv.forward)(
                    conv_of(self.graph, node),
                    x_layout,
                    y_layout,
                    relu=relu,
                    plus=plus[0][1] if plus else None,
                    pool=None if pooled is None else pool_of(self.graph.nodes[pooled]),
                    argmax=self.layouts[argmax[0]] if argmax else None,
                    registers=self.registers,
                )
                weight, *bias = self.parameter(number)
                if fast:
                    weight = self._prepared(number, (x_layout, Layout.of(node.shape)))
                self.call(program, x, weight, *bias, *self._scratch(program), *(slot for slot, _ in plus), y, *argmax)
            case Dense(units, bias):
                program = dense.forward(x_layout.elements, units, bias=bias, relu=relu, registers=self.registers)
                self.call(program, x, *self.parameter(number), y)
            case MaxPool2D():
                self.call(pool.max_forward(pool_of(node), x_layout, y_layout), x, y)
            case AvgPool2D(count_padding=count_padding):
                self.call(pool.average_forward(pool_of(node), x_layout, y_layout, count_padding=count_padding), x, y)
            case GlobalAvgPool2D():
                self.call(pool.global_average_forward(x_layout, y_layout), x, y)
            case Activation() as f:
                self.call(pointwise.activation(f.word, numbers(f), x_layout, y_layout), x, y)
            case Softmax():
                self.call(pointwise.softmax(x_layout, y_layout), x, y)
            case Dropout(rate):
                program = pointwise.dropout(x_layout, y_layout, rate, first_place(self.graph, number))
                self.call(program, x, y, self.images, self.key)
            case Flatten():
                self.call(pointwise.copy(x_layout, y_layout), x, y)
            case Add():
                program = pointwise.add(tuple(layout for _, layout in inputs), y_layout, relu=relu)
                self.call(program, *(slot for slot, _ in inputs), y)
            case Join():
                program = pointwise.join(tuple(layout for _, layout in inputs), y_layout)
                self.call(program, *(slot for slot, _ in inputs), y)
            case _:
                raise AssertionError(node)

    def _argmax(self, number: int) -> Slot:
        """Where it is noted which tap won each window of the max pool that convolution `number` does."""
        slot: Slot = ("argmax", number)
        plain = Layout.of(self.graph.nodes[self.values.pooled[number]].shape)
        self.layouts[slot] = self.values.only_pooled.get(number, plain)
        return slot

    # backward

    def written(self, node: int) -> None:
        """Note that the gradient of what `node` computes is there already (the loss wrote it)."""
        self._with_gradient.add(self.values.of_node[node])

    def backward(self, *, start: int | None = None) -> None:
        """Append the backward pass from node `start` (the last by default), whose gradient is there."""
        last = len(self.graph.nodes) - 1 if start is None else start
        for number in range(last, 0, -1):
            node = self.graph.nodes[number]
            if self.values.of_node[number] == number and number in self.values.trained:
                dy, dy_layout = self._pre_activation_gradient(number)
                self._parameter_gradients(number, node, dy, dy_layout)
                for position, source in enumerate(node.inputs):
                    value = self.values.of_node[source]
                    if value in self.values.trained and value not in self.values.only_pooled:
                        self._input_gradient(number, node, position, dy, dy_layout)

    def _pre_activation_gradient(self, number: int) -> tuple[Slot, Layout]:
        """The gradient before the ReLU that the kernel of `number` includes; or that behind its pool if it will do."""
        if number in self.values.only_pooled:
            return self._pooled_gradient(number)
        dy, layout = self.gradient(number)
        if number in self.values.rectified and not masks(self.graph, self.values, number):
            y, y_layout = self.value(number)
            program = pointwise.activation_backward("relu", (), y_layout, layout, layout, "y", accumulate=False)
            self.call(program, y, dy, dy)
        return dy, layout

    def _pooled_gradient(self, number: int) -> tuple[Slot, Layout]:
        """The gradient behind the pool of convolution `number`, copied into a border if it has none."""
        dy, layout = self.gradient(self.values.pooled[number])
        wanted, framed = self.values.only_pooled[number], ("framed", number)
        if layout == wanted:
            return dy, layout
        self.layouts[framed] = wanted
        self.call(pointwise.copy(layout, wanted), dy, framed)
        return framed, wanted

    def _unpooled(self, number: int) -> tuple[list[Slot], Pool | None]:
        """What the gradients of convolution `number` also read if that before its pool is not in memory; and the
        pool."""
        if number not in self.values.only_pooled:
            return [], None
        return [self._argmax(number)], pool_of(self.graph.nodes[self.values.pooled[number]])

    def _parameter_gradients(self, number: int, node: Node, dy: Slot, dy_layout: Layout) -> None:
        if not self.graph.parameters_of(number) or is_frozen(node.layer):
            return
        assert self.gradients is not None
        x, x_layout = self.value(node.inputs[0])
        places, accumulate = self.gradients.places(self.graph.parameters_of(number)), self.gradients.accumulate
        argmax, joined = self._unpooled(number)
        match node.layer:
            case Conv2D():
                operands, registers = (conv_of(self.graph, node), x_layout, dy_layout), self.registers
                if ("weight", number) in self.values.winograd:
                    program = backward_weight(*operands, pool=joined, accumulate=accumulate, registers=registers)
                elif joined:
                    program = conv_pooled_gradient.backward_weight(
                        *operands, joined, accumulate=accumulate, registers=registers
                    )
                else:
                    program = conv_weight_gradient.backward_weight(
                        *operands, accumulate=accumulate, registers=registers
                    )
            case Dense(units) if number in self.gradients.deferred:
                x_kept, dy_kept = self._keep(x, dense.padded(x_layout.elements)), self._keep(dy, units)
                weight = self.parameter(number)[0]
                self._deferred.append(Deferred(x_layout.elements, units, x_kept, dy_kept, places[0], weight))
                for bias_place in places[1:]:
                    self.call(dense.backward_bias(units, accumulate=accumulate), dy, bias_place)
                return
            case Dense(units, bias):
                program = dense.backward_weight(
                    x_layout.elements, units, bias=bias, accumulate=accumulate, registers=self.registers
                )
            case _:
                raise AssertionError(node)
        self.call(program, x, dy, *argmax, *self._scratch(program), *places)

    def _keep(self, slot: Slot, elements: int) -> Place:
        """Give a slot a place of its own for each group of the batch, in the array of what is kept."""
        assert self.gradients is not None
        if slot not in self.fixed:
            self.fixed[slot] = self.gradients.kept(self._kept, elements)
            self._kept += self.gradients.images * 4 * elements
        return self.fixed[slot]

    def _input_gradient(self, number: int, node: Node, position: int, dy: Slot, dy_layout: Layout) -> None:
        source = node.inputs[position]
        value = self.values.of_node[source]
        dx, dx_layout = self.gradient(source)
        x, x_layout = self.value(source)
        y, y_layout = self.value(number)
        accumulate = value in self._with_gradient
        self._with_gradient.add(value)
        masked = value in self.values.rectified and masks(self.graph, self.values, value)
        mask = masked and number == min(self.values.users[value])
        with_x = [x] if mask else []
        match node.layer:
            case Conv2D():
                layouts = x_layout, dy_layout, dx_layout
                program, weight = self._convolution_gradient(number, node, layouts, mask=mask, accumulate=accumulate)
                self.call(program, weight, dy, *self._unpooled(number)[0], *with_x, *self._scratch(program), dx)
            case Dense(units):
                program = dense.backward_input(
                    x_layout.elements, units, mask=mask, accumulate=accumulate, registers=self.registers
                )
                self.call(program, self.parameter(number)[0], dy, *with_x, dx)
            case MaxPool2D() if value in self.values.pooled:
                self.call(pool.argmax_backward(pool_of(node), dy_layout, dx_layout), dy, self._argmax(value), dx)
            case MaxPool2D():
                program = pool.max_backward(
                    pool_of(node), x_layout, y_layout, dy_layout, dx_layout, mask=mask, accumulate=accumulate
                )
                self.call(program, x, y, dy, dx)
            case AvgPool2D(count_padding=count_padding):
                program = pool.average_backward(
                    pool_of(node),
                    x_layout,
                    dy_layout,
                    dx_layout,
                    count_padding=count_padding,
                    mask=mask,
                    accumulate=accumulate,
                )
                self.call(program, x, dy, dx)
            case GlobalAvgPool2D():
                program = pool.global_average_backward(x_layout, dy_layout, dx_layout, mask=mask, accumulate=accumulate)
                self.call(program, x, dy, dx)
            case Activation() as f:
                known, layout = (x, x_layout) if f.derivative_from == "x" else (y, y_layout)
                program = pointwise.activation_backward(
                    f.word, numbers(f), layout, dy_layout, dx_layout, f.derivative_from, accumulate=accumulate
                )
                self.call(program, known, dy, dx)
            case Softmax():
                self.call(pointwise.softmax_backward(y_layout, dy_layout, dx_layout, accumulate=accumulate), y, dy, dx)
            case Dropout(rate):
                program = pointwise.dropout_backward(
                    dy_layout, dx_layout, rate, first_place(self.graph, number), accumulate=accumulate
                )
                self.call(program, dy, dx, self.images, self.key)
            case Flatten():
                program = pointwise.copy(dy_layout, dx_layout, accumulate=accumulate)
                self.call(program, dy, dx)
            case Add():
                if dx != dy:
                    self.call(pointwise.copy(dy_layout, dx_layout, accumulate=accumulate), dy, dx)
            case Join():
                before = sum(self.graph.nodes[n].shape[0] for n in node.inputs[:position])
                program = pointwise.join_backward(dy_layout, dx_layout, before, accumulate=accumulate)
                self.call(program, dy, dx)
            case _:
                raise AssertionError(node)

    def _convolution_gradient(
        self, number: int, node: Node, layouts: tuple[Layout, Layout, Layout], *, mask: bool, accumulate: bool
    ) -> tuple[Program, Place]:
        """The kernel of a convolution's input gradient, for x, dy and dx, and where its weights are."""
        layer, gaps, registers = conv_of(self.graph, node), self.values.gaps, self.registers
        if ("input", number) in self.values.winograd:
            _, joined = self._unpooled(number)
            program = winograd.backward_input(
                layer, *layouts, pool=joined, mask=mask, accumulate=accumulate, registers=registers
            )
            return program, self._prepared(number, layouts[:2], gradient=True)
        onto = next((conv_of(self.graph, self.graph.nodes[n]) for n, other in gaps.items() if other == number), None)
        program = conv.backward_input(
            layer, *layouts, mask=mask, accumulate=accumulate, gaps=number in gaps, onto=onto, registers=registers
        )
        return program, self.parameter(number)[0]
