"""Test-time augmentation: a network looks at an image and at its mirror image, and answers by the mean of its scores.

    a, b    what the last softmax or sigmoid reads, for the image and for its mirror image
    y       softmax((a + b) / 2)

The network up to its scores runs twice, then the mean and the last layer once. Sums are as without it, and a + b has
the bits of b + a, so an image and its mirror image get the same answer, bit for bit.
"""

from __future__ import annotations

from dataclasses import replace

from lanewise.engine.fuse import Operation
from lanewise.engine.lower import Forward, lowering_of
from lanewise.engine.schedule import Call, Phase, Place, Section
from lanewise.engine.single_plan import SinglePlan
from lanewise.kernels import pointwise
from lanewise.kernels.layout import Layout
from lanewise.kernels.single.blocked import Blocked
from lanewise.network.cutting import until
from lanewise.network.graph import Graph

VIEWS = 2


def body(graph: Graph) -> Graph:
    """The network up to its scores, which its last layer turns into probabilities; it has all the parameters."""
    return until(graph, graph.nodes[-1].inputs[0])[0]


def answer(graph: Graph, scores: Place, mirrored: Place, y: Place, *, registers: int, single: bool) -> tuple[Call, ...]:
    """The calls from the scores of both views, the first of which their mean replaces, to what the last node gives.

    Parameters
    ----------
    graph : Graph
        The whole network.
    scores, mirrored, y : Place
        Of the image, of its mirror image, and of the answer.
    registers : int
        How many values of 16 lanes the target's registers hold.
    single : bool
        Whether lanes hold the scores of one image instead of 16 images.
    """
    node = graph.nodes[-1]
    blocked = Blocked.of(node.shape)
    lanes = blocked.lanes if single else Layout.of(node.shape)
    lowering = lowering_of(node.layer).single if single else None
    if lowering is not None:
        last = lowering(node.layer, (blocked,), blocked)
    else:
        operation = Operation(len(graph.nodes) - 1, node, len(graph.nodes) - 1)
        last = Forward(graph=graph, operation=operation, xs=(lanes,), y=lanes, registers=registers).program()
    return Call(pointwise.mean(lanes, lanes), (scores, mirrored, scores)), Call(last, (scores, y))


def of_both(plan: SinglePlan, graph: Graph, image: int, *, registers: int, threads: int) -> SinglePlan:
    """The plan for one image and its mirror image, from that for the scores of one.

    The second image follows the first in the array "image". In "outputs" is the answer, then the scores of both. A plan
    for one thread becomes two tasks, a view each, so that each of two threads has one to compute; another is run twice.

    Parameters
    ----------
    plan : SinglePlan
    graph : Graph
        The whole network.
    image : int
        Scalars from the first image to the second.
    registers : int
    threads : int
        How many may share the two tasks.
    """
    scores, mirrored = (Place("outputs", 4 * plan.outputs * n) for n in range(1, VIEWS + 1))
    end = Phase(1, (Section(answer(graph, scores, mirrored, Place("outputs"), registers=registers, single=True)),))
    bytes_apart = {"image": 4 * image, "outputs": 4 * plan.outputs}
    if plan.threads == 1:

        def of_task(place: Place) -> Place:
            by_thread = plan.arena if place.base == "arena" else 0
            moved = _behind_answer(place, plan.outputs)
            return replace(moved, by_thread=by_thread, by_task=bytes_apart.get(place.base, 0))

        calls = tuple(Call(call.program, tuple(map(of_task, call.places))) for call in plan.calls)
        phases, threads = [Phase(VIEWS, (Section(calls),))], min(threads, VIEWS)
    else:
        phases, threads = [_of_view(phase, n, plan, bytes_apart) for n in range(VIEWS) for phase in plan.phases], 1
    arena, outputs = plan.arena * threads, plan.outputs * (VIEWS + 1)
    return replace(plan, phases=(*phases, end), arena=arena, outputs=outputs, threads=max(threads, plan.threads))


def _of_view(phase: Phase, view: int, plan: SinglePlan, apart: dict[str, int]) -> Phase:
    """The same for one of the views."""

    def moved(place: Place) -> Place:
        behind = _behind_answer(place, plan.outputs)
        return replace(behind, offset=behind.offset + view * apart.get(place.base, 0))

    sections = [
        replace(section, calls=tuple(Call(call.program, tuple(map(moved, call.places))) for call in section.calls))
        for section in phase.sections
    ]
    return replace(phase, sections=tuple(sections))


def _behind_answer(place: Place, outputs: int) -> Place:
    return replace(place, offset=place.offset + 4 * outputs) if place.base == "outputs" else place
