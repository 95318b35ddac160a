"""A network compiled for prediction: many images in one native call, 16 side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lanewise.caching import Cache
from lanewise.engine.folding import Folding
from lanewise.engine.parameters import FlatParameters, Floats
from lanewise.engine.plan import Planner
from lanewise.engine.schedule import Call, Executable, Phase, Place, Section, aligned
from lanewise.engine.views import answer, body
from lanewise.forking import ForkSafeLock
from lanewise.kernels import gather
from lanewise.lanes.program import LANES, Program
from lanewise.limits import check_memory
from lanewise.network.graph import Graph
from lanewise.preprocessing import Preprocessing
from lanewise.target import Target, chosen, usable_threads

BLOCK = 4096
"""Groups of 16 images per native call at most."""


class Inference:
    """What comes out of a network for images.

    Parameters
    ----------
    graph : Graph
    parameters : list of float32 arrays in the order of `graph.parameters`, or a Trainer's live vector
    preprocessing : Preprocessing
    tta : bool
        Whether the answer is that to an image and its mirror image together (see `views.py`); the graph ends in a
        softmax or sigmoid then.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Sequence[Floats] | Floats,
        preprocessing: Preprocessing,
        *,
        threads: int | None = None,
        winograd: bool = True,
        tta: bool = False,
        target: Target | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.graph = whole = graph
        self.threads = usable_threads(threads)
        target = target or chosen()
        given = body(graph) if tta else graph
        self._given, self._folding = FlatParameters.of(given), Folding.of(given)
        graph = self._folding.graph
        self._flat = flat = FlatParameters.of(graph)
        images = Place("images", by_task=4 * LANES)
        planner = Planner(
            graph, training=False, registers=target.registers, images=images, key=Place("keys"), winograd=winograd
        )
        x, x_layout = planner.operands.value(0)
        raw = preprocessing.shape, preprocessing.kernel_type, x_layout
        program = gather.gather(*raw, None)
        planner.operands.call(program, Place("pixels"), images, Place("scale"), Place("offset"), x)
        planner.forward()
        last = len(graph.nodes) - 1
        slot, layout = planner.operands.value(last)
        assert layout.plain, "nobody reads the output, so it has no border"
        self._outputs = layout.elements
        outputs = Place("outputs", by_task=4 * LANES * self._outputs)
        planner.operands.fixed[slot] = replace(outputs, base="scores") if tta else outputs
        plan = planner.finish()
        needed = plan.arena * self.threads + 4 * (2 * flat.total + plan.transformed)
        check_memory("running this network", needed)
        calls = plan.calls
        if tta:
            mirrored = gather.gather(*raw, None, mirror=True)
            scores, others = replace(outputs, base="scores"), replace(outputs, base="mirrored")
            calls += _mirrored(plan.calls, program, mirrored, scores, others)
            calls += answer(whole, scores, others, outputs, registers=target.registers, single=False)
        self._scores = ("scores", "mirrored") if tta else ()
        self._executable = Executable([Phase(None, (Section(calls),))], target, cache)
        self._live = parameters if isinstance(parameters, np.ndarray) else None
        if self._live is not None and graph is given:
            vector = self._live
        else:
            vector = aligned(flat.total)
            vector[:] = self._folded(parameters)
        self._prepare: Executable | None = None
        if plan.preparations:
            self._prepare = Executable([Phase(1, (Section(plan.preparations),))], target, cache)
        self._lock = ForkSafeLock()  # callers on several threads share one arena
        self._arrays = {
            "arena": aligned(plan.arena * self.threads // 4),
            "transformed": aligned(plan.transformed),
            "parameters": vector,
        } | preprocessing.constants
        if self._prepare is not None and self._live is None:
            self._prepare.run(self._arrays)

    def _folded(self, parameters: Sequence[Floats] | Floats) -> Floats:
        """The vector that the kernels read, from parameters as they are given."""
        arrays = self._given.views(parameters) if isinstance(parameters, np.ndarray) else parameters
        return self._flat.pack(self._folding.fold(arrays))

    def run(
        self, pixels: NDArray[np.generic], images: NDArray[np.int32] | None = None, *, threads: int | None = None
    ) -> Floats:
        """The outputs, (images, ...) float32.

        Parameters
        ----------
        pixels : (images, rows, columns, channels), C-contiguous, of the type that `preprocessing` names
        images : int32 array, optional
            Which images; all by default.
        threads : int, optional
            Fewer than it was made for.
        """
        with self._lock:
            if self._live is not None:
                if self._arrays["parameters"] is not self._live:
                    self._arrays["parameters"][:] = self._folded(self._live)
                if self._prepare is not None:
                    self._prepare.run(self._arrays)
            return self._run(pixels, images, min(threads or self.threads, self.threads))

    def _run(self, pixels: NDArray[np.generic], images: NDArray[np.int32] | None, threads: int) -> Floats:
        numbers = np.arange(len(pixels), dtype=np.int32) if images is None else np.asarray(images, np.int32)
        result = np.empty((len(numbers), self._outputs), np.float32)
        for first in range(0, len(numbers), BLOCK * LANES):
            part = numbers[first : first + BLOCK * LANES]
            groups = -(-len(part) // LANES)
            padded = np.full(groups * LANES, -1, np.int32)
            padded[: len(part)] = part
            outputs = aligned((groups, self._outputs, LANES))
            arrays = self._arrays | {"pixels": pixels, "images": padded, "outputs": outputs}
            arrays |= {name: aligned(outputs.shape) for name in self._scores}
            self._executable.run(arrays, tasks=groups, threads=min(threads, groups))
            result[first : first + len(part)] = outputs.transpose(0, 2, 1).reshape(-1, self._outputs)[: len(part)]
        return result.reshape(len(numbers), *self.graph.output_shape)


def _mirrored(
    calls: tuple[Call, ...], straight: Program, mirrored: Program, scores: Place, others: Place
) -> tuple[Call, ...]:
    """The same calls for the mirror images, whose scores go to another place."""
    return tuple(
        Call(
            mirrored if call.program is straight else call.program,
            tuple(others if place == scores else place for place in call.places),
        )
        for call in calls
    )
