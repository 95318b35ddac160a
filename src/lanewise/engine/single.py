"""A network compiled for predicting one image at a time, with channels in the lanes: the shortest latency.

A network of 16 images side by side (`inference.py`) spends on one image what it spends on 16. Here the lanes
hold 16 channels of the one image; see `single_plan.py` for how a graph becomes calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.caching import Cache
from lanewise.engine.parameters import Floats
from lanewise.engine.schedule import Executable, aligned, barrier, run_threads
from lanewise.engine.single_parts import worth
from lanewise.engine.single_plan import SinglePlan, SinglePlanner
from lanewise.engine.views import VIEWS, body, of_both
from lanewise.forking import ForkSafeLock
from lanewise.kernels.single import features
from lanewise.lanes.program import LANES
from lanewise.limits import check_memory
from lanewise.network.graph import Graph
from lanewise.preprocessing import Preprocessing
from lanewise.target import Target, chosen, usable_threads


class _Bound(Executable):
    """Phases whose tables are all filled in: running them is one native call a thread, no more."""

    def __init__(self, plan: SinglePlan, arrays: dict[str, NDArray[Any]], target: Target, cache: Cache | None) -> None:
        super().__init__(plan.phases, target, cache)
        self._arrays = arrays
        for record, phase in zip(self._phases.reshape(-1, 3), plan.phases, strict=True):
            record[0] = phase.tasks or 0
        bases = self._table([[arrays[name].ctypes.data for name in self.bases]])
        self._barrier = barrier(plan.threads)
        tables = (table.ctypes.data for table in (self._phases, self._barrier, self._waiting))
        self._job = self._table([[bases.ctypes.data, 1, 0, len(plan.phases), *tables]])

    def __call__(self, threads: int) -> None:
        """Run them once."""
        self._barrier.fill(0)  # a child of a fork finds it as it was while a thread of the parent ran
        self._job[2], self._waiting[0] = threads, self.spins(threads)
        run_threads(self._driver, self._job.ctypes.data, threads)


class SingleInference:
    """What comes out of a network for one image.

    Weights are copied when it is made: later changes of `parameters` are not seen.

    Parameters
    ----------
    graph : Graph
    parameters : list of float32 arrays, in the order of `graph.parameters`
    preprocessing : Preprocessing
    winograd : bool
        Whether 3x3 convolutions may be computed by Winograd's algorithm: faster, with a slightly larger error.
    tta : bool
        Whether the answer is that to the image and its mirror image together (see `views.py`).
    threads : int, optional
        How many work on the image, if it is enough work: all processors by default. Bits do not depend on it.
    target : Target, optional
    cache : Cache, optional
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Sequence[Floats],
        preprocessing: Preprocessing,
        *,
        winograd: bool = True,
        tta: bool = False,
        threads: int | None = None,
        target: Target | None = None,
        cache: Cache | None = None,
    ) -> None:
        target = target or chosen()
        self.graph, self.shape = graph, preprocessing.shape
        threads = usable_threads(threads)
        views = VIEWS if tta else 1
        sharing = worth(graph, threads, views=views)
        plan = SinglePlanner(
            body(graph) if tta else graph,
            parameters,
            preprocessing,
            registers=target.registers,
            winograd=winograd,
            threads=1 if tta and sharing < VIEWS * VIEWS else threads,
        ).finish()
        self._apart = -(-features.staged(self.shape) // LANES) * LANES
        if tta:
            plan = of_both(plan, graph, self._apart, registers=target.registers, threads=sharing)
        self._views = views
        check_memory("running this network", plan.arena + plan.parameters.nbytes)
        self._plan, self._target, self._cache, self.threads = plan, target, cache, plan.threads
        self._bind()

    def another(self) -> SingleInference:
        """The same network and weights with memory of its own, for another thread."""
        other = copy(self)
        other._bind()
        return other

    def _bind(self) -> None:
        """Take memory, and fill in the tables of calls with it."""
        plan, graph = self._plan, self.graph
        staging = aligned((self._views, self._apart))
        self._images = staging[:, : prod(self.shape)].reshape(self._views, *self.shape)
        self._outputs = aligned(plan.outputs)
        self._result = self._outputs[: prod(graph.output_shape)].reshape(graph.output_shape)
        self._schedule = _Bound(
            plan,
            {
                "arena": aligned(plan.arena // 4),
                "parameters": plan.parameters,
                "image": staging,
                "outputs": self._outputs,
            },
            self._target,
            self._cache,
        )
        self._lock = ForkSafeLock()  # callers on several threads share one arena

    def run(self, image: NDArray[Any], *, threads: int | None = None) -> Floats:
        """The outputs for one image.

        Parameters
        ----------
        image : array (rows, columns, channels) of numbers
            Raw, as the scale and offset of `preprocessing` expect it.
        threads : int, optional
            Fewer than it was made for.

        Returns
        -------
        ndarray of float32, of the graph's output shape

        Raises
        ------
        ValueError
            The image has another shape.
        """
        if image.shape != self.shape:
            raise ValueError(f"an image of shape {image.shape} was given to a network of {self.shape}")
        with self._lock:
            for view, order in zip(self._images, (1, -1), strict=False):
                np.copyto(view, image[:, ::order])
            self._schedule(min(threads or self.threads, self.threads))
            return self._result.copy()
