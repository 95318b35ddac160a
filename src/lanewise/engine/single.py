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
from lanewise.engine.schedule import Call, Executable, Phase, Section, aligned
from lanewise.engine.single_plan import SinglePlanner
from lanewise.forking import ForkSafeLock
from lanewise.kernels.single import features
from lanewise.limits import check_memory
from lanewise.network.graph import Graph
from lanewise.preprocessing import Preprocessing
from lanewise.target import Target, chosen


class _Bound(Executable):
    """Calls whose tables are all filled in: running them is one native call on the caller's thread, no more."""

    def __init__(
        self, calls: tuple[Call, ...], arrays: dict[str, NDArray[Any]], target: Target, cache: Cache | None
    ) -> None:
        super().__init__([Phase(1, (Section(calls),))], target, cache)
        self._arrays = arrays
        self._phases[0] = 1  # tasks of the one phase
        bases = self._table([[arrays[name].ctypes.data for name in self.bases]])
        phases, barrier = self._phases.ctypes.data, self._barrier.ctypes.data
        self._job = self._table([[bases.ctypes.data, 1, 1, 1, phases, barrier, self._waiting.ctypes.data]]).ctypes.data

    def __call__(self) -> None:
        """Run them once."""
        self._driver(self._job, 0)


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
        target: Target | None = None,
        cache: Cache | None = None,
    ) -> None:
        target = target or chosen()
        self.graph, self.shape = graph, preprocessing.shape
        plan = SinglePlanner(graph, parameters, preprocessing, registers=target.registers, winograd=winograd).finish()
        check_memory("running this network", plan.arena + plan.parameters.nbytes)
        self._plan, self._target, self._cache = plan, target, cache
        self._bind()

    def another(self) -> SingleInference:
        """The same network and weights with memory of its own, for another thread."""
        other = copy(self)
        other._bind()
        return other

    def _bind(self) -> None:
        """Take memory, and fill in the tables of calls with it."""
        plan, graph = self._plan, self.graph
        self._staging = aligned(features.staged(self.shape))
        self._image = self._staging[: prod(self.shape)].reshape(self.shape)
        self._outputs = aligned(plan.outputs)
        self._result = self._outputs[: prod(graph.output_shape)].reshape(graph.output_shape)
        self._schedule = _Bound(
            plan.calls,
            {
                "arena": aligned(plan.arena // 4),
                "parameters": plan.parameters,
                "image": self._staging,
                "outputs": self._outputs,
            },
            self._target,
            self._cache,
        )
        self._lock = ForkSafeLock()  # callers on several threads share one arena

    def run(self, image: NDArray[Any]) -> Floats:
        """The outputs for one image.

        Parameters
        ----------
        image : array (rows, columns, channels) of numbers
            Raw, as the scale and offset of `preprocessing` expect it.

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
            np.copyto(self._image, image)
            self._schedule()
            return self._result.copy()
