"""Whether all ranks of a training were given the same: version, options, images. What differs is named, each.

check_options(ranks, options)      before anything is read
same_run.check_ranks(facts)        before training, as `Keeper.identify` does: images, too
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from lanewise.interrupts import one_press_ends
from lanewise.launch import OFF, unconnected
from lanewise.notes import Caution, say, unheard
from lanewise.ranks import Ranks, together
from lanewise.training.options import TrainOptions
from lanewise.training.same_run import compare, facts_of_options

Result = TypeVar("Result")
Train = Callable[[Any, Any, TrainOptions], Result]


@contextmanager
def with_other_ranks(options: TrainOptions) -> Iterator[TrainOptions]:
    """Train together with other ranks, if there are any: the same there, and told by the first one alone.

    Parameters
    ----------
    options : TrainOptions

    Raises
    ------
    OptionError
        Ranks have other versions or options.
    """
    with together() as ranks:
        if ranks is not None:
            check_options(ranks, options)
            if ranks.rank > 0:
                options = replace(options, notes=unheard, progress=None, verbose=0)
        elif alone := unconnected():
            (options.notes or say)(
                Caution(
                    f"Slurm started {alone} processes, and each trains a model of its own: to train one together, give "
                    f"srun the --mpi of mpi4py's library (pmi2 for MPICH, pmix for Open MPI); if each is to train "
                    f'alone, set {OFF}="off".'
                )
            )
        yield options


def one_training(function: Train[Result]) -> Train[Result]:
    """Make a function of images, labels and options one training in all ranks, which one press of Ctrl-C ends."""

    @one_press_ends
    @wraps(function)
    def together_with_others(source: Any, y: Any, options: TrainOptions) -> Result:
        with with_other_ranks(options) as known:
            return function(source, y, known)

    return together_with_others


def check_options(ranks: Ranks, options: TrainOptions) -> None:
    """Refuse ranks of other versions, or with other options, by an OptionError."""
    here = {"version of NumPy": np.__version__, "machine": platform.machine(), "resume": options.resume}
    compare(ranks, here | facts_of_options(vars(options)))
