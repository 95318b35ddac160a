"""Where the operands of a group's kernels lie: slots of memory by what is in them, bound to buffers by their names."""

from __future__ import annotations

from lanewise.engine.fuse import Fused, Operation
from lanewise.engine.gradients import Gradients
from lanewise.engine.lower import transformed_weights
from lanewise.engine.memory import LARGE, Slot, SlotCall, placed
from lanewise.engine.parameters import FlatParameters
from lanewise.engine.recompute import ENOUGH, again, recomputed
from lanewise.engine.schedule import Call, Place
from lanewise.kernels.layout import Layout
from lanewise.lanes.program import LANES, Program
from lanewise.network.graph import Graph, is_frozen


class Operands:
    """The calls so far, and the slots that they name.

    Parameters
    ----------
    graph : Graph
    fused : Fused
        The same as operations on values.
    images, key, present, gradients
        As for `Planner`.
    """

    def __init__(
        self,
        graph: Graph,
        fused: Fused,
        *,
        images: Place,
        key: Place,
        present: Place | None = None,
        gradients: Gradients | None = None,
    ) -> None:
        self.graph, self.fused, self._gradients = graph, fused, gradients
        self._given: dict[str, Slot | Place] = {"images": images, "key": key}
        if present is not None:
            self._given["present"] = present
        self.flat = FlatParameters.of(graph)
        self.calls: list[SlotCall] = []
        self.again: dict[Slot, SlotCall] = {}  # how values are made once more that need not be kept
        self.layouts: dict[Slot, Layout] = {}
        self.fixed: dict[Slot, Place] = {}
        self.preparations: list[Call] = []
        self.transformed = 0  # scalars
        self.kept = 0  # bytes

    def placed(self, turn: int | None = None) -> tuple[tuple[Call, ...], int]:
        """The calls with all slots turned into addresses, and the bytes of arena that they need.

        `turn` is the number of calls of the forward pass, where a backward pass follows.
        """
        calls, size = self._placed(self.calls)
        if turn is not None and self.again and size > LARGE:
            fewer = recomputed(self.calls, self.again, turn)
            self.layouts |= {again(slot): layout for slot, layout in self.layouts.items() if slot in self.again}
            other, smaller = self._placed(fewer)
            if smaller <= ENOUGH * size:
                calls, size = other, smaller
        return calls, size

    def _placed(self, calls: list[SlotCall]) -> tuple[tuple[Call, ...], int]:
        layouts = self.layouts
        border = {slot: layout for slot, layout in layouts.items() if not layout.plain}
        made, size = placed(calls, self.fixed, lambda slot: layouts[slot].scalars, border.get)
        return tuple(call for each in made for call in each), size

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
        """Where the node's parameters are, like its weight and bias."""
        return [Place("parameters", 4 * self.flat.starts[n]) for n in self.graph.parameters_of(node)]

    def _parameters(self, operation: Operation) -> dict[str, Slot | Place]:
        """Where the parameters of an operation are, by their roles, and their gradients, by these with a d before."""
        own = self.graph.parameters_of(operation.number)
        roles = [self.graph.parameters[n].role for n in own]
        found: dict[str, Slot | Place] = dict(zip(roles, self.parameter(operation.number), strict=True))
        if self._gradients is not None and not is_frozen(operation.node.layer):
            found |= zip((f"d{role}" for role in roles), self._gradients.places(own), strict=True)
        return found

    def bind(self, program: Program, operation: Operation, **known: Slot | Place) -> None:
        """Append a call of a program.

        Parameters
        ----------
        program, operation, **known
            As for `bound`.
        """
        self.calls.append(self.bound(program, operation, **known))

    def bound(self, program: Program, operation: Operation, **known: Slot | Place) -> SlotCall:
        """The call of a program whose buffers are found by their names (`lower.py`).

        Parameters
        ----------
        program : Program
        operation : Operation
            What it computes.
        **known : Slot or Place
            Buffers besides those that the operation implies.
        """
        sources = [self.value(source)[0] for source in operation.node.inputs]
        found = self._given | self._parameters(operation) | {"x": sources[0]}
        found |= {f"x{n}": source for n, source in enumerate(sources)}
        found |= {"y": self.value(operation.result)[0], **known}
        places: list[Slot | Place] = []
        scratch = 0
        for buffer in program.buffers:
            match buffer.name:
                case "argmax":
                    places.append(self.argmax(operation)[0])
                case "moments":
                    moments: Slot = ("moments", operation.number)
                    self.layouts[moments] = Layout((buffer.scalars // LANES, 1, 1))
                    places.append(moments)
                case "transformed":
                    places.append(self._transformed_weights(operation, gradient="dx" in known))
                case name if name.startswith("scratch"):
                    slot = (f"scratch{scratch}", len(self.calls))
                    self.layouts[slot] = Layout((buffer.scalars // LANES, 1, 1))
                    places.append(slot)
                    scratch += 1
                case name:
                    places.append(found[name])
        return program, tuple(places)

    def argmax(self, operation: Operation) -> tuple[Slot, Layout]:
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
        place = Place("transformed", 4 * self.transformed)
        self.transformed += program.buffers[1].scalars
        self.preparations.append(Call(program, (self.parameter(operation.number)[0], place)))
        return place

    def keep(self, slot: Slot, elements: int, gradients: Gradients) -> Place:
        """Give a slot a place of its own for each group of the batch, in the array of what is kept.

        Parameters
        ----------
        slot : Slot
        elements : int
            Values of 16 lanes in a group.
        gradients : Gradients
        """
        if slot not in self.fixed:
            self.fixed[slot] = gradients.kept(self.kept, elements)
            self.kept += gradients.images * 4 * elements
        return self.fixed[slot]
