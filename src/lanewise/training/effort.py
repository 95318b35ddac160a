"""How large the default network is and how long it trains: by the images, the preset, and the time that there is."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from lanewise.data.images import Images
from lanewise.engine.trainer import Steps, Trainer
from lanewise.network.graph import Graph
from lanewise.network.initial import initial_parameters
from lanewise.network.summary import summary, totals
from lanewise.preprocessing import Preprocessing, type_of
from lanewise.ranks import active, agreed
from lanewise.training.augment import FEW, PHOTOGRAPH
from lanewise.training.checkpoint import Keeper
from lanewise.training.recipe import (
    FINE,
    Difficulty,
    Effort,
    default_batch_size,
    default_epochs,
    difficulty_of,
    network_for,
)

LENGTHS = {"quick": 0.5, "good": 1.0, "best": 3.0}
"""How many times the default number of epochs each preset trains for."""

WIDTHS = (1, 1.5, 2, 3, 4)
ENOUGH = 1.5
"""A wider network pays if the budget trains it for so many times the default number of epochs."""

TOO_FEW = 1 / 3
"""With less than this share of them, a small network without batch normalisation learns more."""

MEASURED_SECONDS = 0.1


def effort_for(
    images: Images, *, preset: str = "good", budget: float | None = None, threads: int | None = None
) -> Effort:
    """What the default is for these images.

    Parameters
    ----------
    images : Images
        The training set.
    preset : {"quick", "good", "best"}
    budget : float, optional
        Seconds to train for. Speed is measured then, and the network is the largest that it is enough for.
    threads : int, optional

    Returns
    -------
    Effort
    """
    effort = Effort(difficulty_of(images), length=LENGTHS[preset])
    effort = replace(effort, dropout=not effort.hard or len(images) < FEW)
    size = min(images.size)
    if preset == "quick":
        return replace(effort, difficulty=Difficulty.USUAL, dropout=True) if effort.hard else effort
    if preset == "best":
        width = 2 if (effort.hard or size >= PHOTOGRAPH) and len(images) >= FEW else 1
        difficulty = Difficulty.HARD if FINE <= size < PHOTOGRAPH else effort.difficulty
        return replace(effort, difficulty=difficulty, width=width, asked=difficulty is not effort.difficulty)
    if budget is None or not effort.hard:
        return effort
    return _within(budget, images, effort, threads)


def effort_kept(
    keeper: Keeper, images: Images, preset: str, budget: float | None, threads: int | None, name: str = "effort"
) -> Effort:
    """The same, measured once for a training, however often that is resumed.

    Parameters
    ----------
    keeper : Keeper
    images, preset, budget, threads
        As for `effort_for`.
    name : str
        Under which it is kept.
    """

    def decide() -> dict[str, Any]:
        effort = effort_for(images, preset=preset, budget=budget, threads=threads)
        return asdict(effort) | {"difficulty": effort.difficulty.value}

    known = keeper.decided(name, decide) if budget is not None else decide()
    return Effort(**known | {"difficulty": Difficulty(known["difficulty"])})


def _within(budget: float, images: Images, effort: Effort, threads: int | None) -> Effort:
    """The widest residual network that learns more than a narrower one in a budget, or a small one for a short one."""
    graphs = [_graph(images, replace(effort, width=width)) for width in WIDTHS]
    batch_size = min(default_batch_size(len(images), large=True), len(images))
    wanted = len(images) * default_epochs(len(images), batch_size, effort=effort)
    work = [totals(summary(graph)).multiply_adds for graph in graphs]
    allowed = budget * images_per_second(images, graphs[0], batch_size, threads)
    if allowed < TOO_FEW * wanted:
        return replace(effort, difficulty=Difficulty.USUAL, dropout=True)
    wide = [
        width
        for width, own in zip(WIDTHS, work, strict=True)
        if allowed * work[0] / own >= ENOUGH * wanted and len(images) >= FEW
    ]
    return replace(effort, width=max(wide, default=1))


def _graph(images: Images, effort: Effort) -> Graph:
    return network_for("auto", (images.channels, *images.size), len(images.classes), effort=effort)[0]


def images_per_second(images: Images, graph: Graph, batch_size: int, threads: int | None) -> float:
    """How fast the network trains here, by some steps at a learning rate of 0.

    Parameters
    ----------
    images : Images
    graph : Graph
    batch_size : int
    threads : int, optional
    """
    channels = images.channels
    plain = Preprocessing(*images.size, channels, type_of(images.pixels), (1 / 128,) * channels, (-1.0,) * channels)
    trainer = Trainer(graph, initial_parameters(graph, 0), plain, batch_size=batch_size, threads=threads)
    pixels = np.ascontiguousarray(images.pixels[:batch_size])
    shape = (1, batch_size)
    steps = Steps(
        np.arange(batch_size, dtype=np.int32).reshape(shape),
        np.zeros(shape, np.int32),
        np.full(shape, 1 / batch_size, np.float32),
        np.zeros(1, np.float32),
        np.zeros((1, 2), np.int32),
    )
    trainer.run(pixels, steps)  # the first step touches memory that was never used
    done, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < MEASURED_SECONDS:
        trainer.run(pixels, steps)
        done += 1
    ranks = active()
    return agreed(done * batch_size / seconds) * (1 if ranks is None else ranks.size)
