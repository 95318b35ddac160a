"""One run of training: the engine set up, the start evaluated, and again more slowly if it spoiled a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Pixels
from lanewise.engine.inference import Inference
from lanewise.engine.muon import fitting
from lanewise.engine.parameters import Floats
from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.kernels.augmentation import Augment
from lanewise.network.graph import Graph
from lanewise.notes import Note, Say
from lanewise.preprocessing import Preprocessing
from lanewise.ranks import Ranks, active
from lanewise.training.best_weights import Verdict
from lanewise.training.checkpoint import Keeper
from lanewise.training.frequencies import Balanced, Evaluates, on_top, output_bias
from lanewise.training.loop import SLOWER, Loop, evaluated
from lanewise.training.optimizers import WEIGHT_DECAYS
from lanewise.training.options import FitOptions
from lanewise.training.start import Start
from lanewise.training.task import Progress, TrainingTask, TrainResult, Validation

MOST_TIMES = 3
"""A budget of time trains for so many times the default number of epochs at most."""

RETRIES = 3
"""How often training that died goes on at a third of the learning rate, where the rate is ours to choose."""


@dataclass(frozen=True, slots=True)
class Engine:
    """All that the engine needs besides the parameters."""

    graph: Graph
    preprocessing: Preprocessing
    optimizer: Optimizer
    label_smoothing: float
    augment: Augment | None
    winograd: bool
    threads: int | None
    tta: bool = False

    def trainer(self, parameters: Sequence[Floats], batch_size: int) -> Trainer:
        """Trains from these parameters on."""
        return Trainer(
            self.graph,
            parameters,
            self.preprocessing,
            batch_size=batch_size,
            optimizer=self.optimizer,
            label_smoothing=self.label_smoothing,
            augment=self.augment,
            winograd=self.winograd,
            threads=self.threads,
            ranks=active(),
        )

    def inference(self, parameters: Floats | Sequence[Floats]) -> Evaluates:
        """What evaluates parameters: a list of them, or the live vector of a trainer; ranks share the images."""
        alone = Inference(
            self.graph,
            parameters,
            self.preprocessing,
            winograd=self.winograd,
            tta=self.tta,
            threads=self.threads,
        )
        ranks = active()
        return alone if ranks is None else SharedInference(alone, ranks)


@dataclass(frozen=True, slots=True)
class SharedInference:
    """Ranks that each evaluate some of the images, and know the outputs for all."""

    alone: Inference
    ranks: Ranks

    def run(self, pixels: Pixels, images: NDArray[np.int32]) -> Floats:
        """As `Inference.run`: an image's outputs do not depend on those beside it."""
        bounds = self.ranks.parts(len(images))
        own = slice(*bounds[self.ranks.rank : self.ranks.rank + 2])
        outputs = np.empty((len(images), *self.alone.graph.output_shape), np.float32)
        outputs[own] = self.alone.run(pixels, images[own])
        self.ranks.share(outputs, bounds)
        return outputs


def optimizer_of(options: FitOptions, graph: Graph, weight_decay: float | None = None) -> Optimizer:
    """The optimizer that options ask for, for a network.

    Parameters
    ----------
    options : FitOptions
    graph : Graph
    weight_decay : float, optional
        Another than that of the options, or than their default.
    """
    name = fitting(options.optimizer, graph)
    decay = options.weight_decay if weight_decay is None else weight_decay
    return Optimizer(
        name,
        momentum=options.momentum,
        weight_decay=WEIGHT_DECAYS[name] if decay is None else decay,
        ema=options.ema or 0.0,
        bias_scaler=float(options.bias_scaler),
        clip_norm=options.gradient_clipping or math.inf,
    )


def as_it_starts(
    engine: Engine, begin: Start, validation: Validation | None, say: Say
) -> tuple[tuple[float, float], Verdict] | None:
    """Evaluate the start where it is a candidate for the best weights.

    Parameters
    ----------
    engine : Engine
    begin : Start
    validation : Validation or None
        The images that choose the weights.
    say : callable
        Given a note on the accuracy.

    Returns
    -------
    (loss, accuracy), verdict, or None
        The figures that are told, and those that decide, in which images count by their weights.
    """
    if not begin.whole:
        return None
    if validation is None:
        say(Note("No images are held out, so whether fine-tuning makes the model better or worse is unknown."))
        return None
    outputs = engine.inference(begin.parameters).run(validation.pixels, validation.indices.astype(np.int32))
    loss, accuracy = evaluated(outputs, validation.targets)
    weighted_loss, weighted_accuracy = evaluated(outputs, validation.targets, validation.sample_weights)
    say(
        Note(
            f"The starting model has an accuracy of {100 * accuracy:.1f} % on the {len(validation.indices):,} "
            "validation images. Its weights are the first candidate for the best ones."
        )
    )
    return (loss, accuracy), (weighted_accuracy, -weighted_loss)


SPOILED = 0.1
"""Going on that ends so far below the model it began with, as a share of the images, was too fast."""

SURE = 2.0
"""Standard errors, of two accuracies on the held-out images, that it must be below at least."""


def _spoiled(result: TrainResult, task: TrainingTask) -> bool:
    """Whether going on from a model destroyed it: what the last epoch made is far from what it began with."""
    validation, start = task.validation, task.start
    if validation is None or start is None or result.interrupted or task.budget is not None or not result.history:
        return False
    last = result.history[-1]["validation_accuracy"]
    margin = max(SPOILED, SURE * (0.5 / len(validation.indices)) ** 0.5)
    return last is not None and float(last) < start[0] - margin


def run(
    engine: Engine,
    parameters: list[Floats],
    task: TrainingTask,
    restart: bool,
    progress: Callable[[Progress], None] | None,
    say: Say,
    keeper: Keeper,
) -> tuple[TrainResult, Trainer, float]:
    """Train; if the learning rate was not given, with a third of it if training dies or spoils the model it began with.

    Parameters
    ----------
    engine : Engine
    parameters : list of arrays
        Initial weights and biases.
    task : TrainingTask
    restart : bool
        Whether the learning rate may be changed.
    progress : callable, optional
        Given a `Progress` while training.
    say : callable
        Given each note.
    keeper : Keeper

    Returns
    -------
    result : TrainResult
    trainer : Trainer
    learning_rate : float
        The peak learning rate that was used in the end.
    """
    retries = RETRIES if restart else 0
    bias = None if task.frequencies is None else output_bias(engine.graph)
    begun = parameters
    if bias is not None and task.frequencies is not None:
        added = on_top(task.frequencies, len(parameters[bias]))
        begun = [*parameters[:bias], parameters[bias] + added, *parameters[bias + 1 :]]
    while True:
        task = replace(task, retries=retries)
        trainer = engine.trainer(begun, task.batch_size)
        inference: Evaluates | None = None
        if task.validation is not None:
            inference = engine.inference(trainer.averaged)
            if bias is not None and task.frequencies is not None:
                inference = Balanced(inference, task.frequencies)
        result = Loop(trainer, inference, task, progress or (lambda report: None), say, keeper).run()
        if not (retries and _spoiled(result, task)):
            break
        retries -= 1
        task = replace(task, learning_rate=result.learning_rate / SLOWER)
        say(
            Note(
                "Fine-tuning made the model far worse: the learning rate was too high; starting again with a learning "
                f"rate of {task.learning_rate:.3g}."
            )
        )
    if bias is not None:
        result.vector = result.vector.copy()
        trainer.flat.views(result.vector)[bias][...] -= added
        if result.best_epoch == 0:  # to the last bit what it was
            result.vector = trainer.flat.pack(parameters)
    return result, trainer, result.learning_rate


def tell_end(result: TrainResult, task: TrainingTask, say: Say, *, heard: bool) -> None:
    """Say why training ended, where it was not for its epochs.

    Parameters
    ----------
    result : TrainResult
    task : TrainingTask
    say : callable
    heard : bool
        Whether the user hears of an interruption otherwise.
    """
    if task.budget is not None and len(result.history) >= task.most_epochs:
        say(
            Note(
                f"Stopped after {task.most_epochs:,} epochs, {MOST_TIMES} times as many as the default, before the "
                "budget was used up: more passes over the same images would add little."
            )
        )
    if result.interrupted and not heard:  # no warning: where warnings are errors, it would cost the model
        say(Note(f"Training was interrupted in epoch {len(result.history)}: these are the best weights until then."))
