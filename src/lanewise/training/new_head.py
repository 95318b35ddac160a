"""Other classes for a model: its features stay as they are, and a last layer for the new classes is trained on them.

    with_new_head(model, classes, ...) -> NewHead   the network, and where its features are
    trained(...) -> Outcome                          the features of all images, once; the last layer, in seconds

The last layer has far more weights than a small data set has images. It begins with zeros, as random weights would stay
where no image says otherwise; features keep their scales, so that those that vary most count most; and of several
weight decays the validation images choose one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Pixels, statistics
from lanewise.engine.parameters import Floats
from lanewise.errors import OptionError
from lanewise.model import Model
from lanewise.network.cutting import features_at, stages, until
from lanewise.network.graph import Graph, assemble, build
from lanewise.network.layers import Dense, GlobalAvgPool2D, Layer
from lanewise.network.text import parse, to_text
from lanewise.notes import Note, Say
from lanewise.preprocessing import Preprocessing
from lanewise.ranks import active, agreed
from lanewise.training.checkpoint import Keeper
from lanewise.training.features import Backbone
from lanewise.training.find_rate import FIND, given_rate
from lanewise.training.learning_rate import SCHEDULES
from lanewise.training.options import ALL, TrainOptions
from lanewise.training.recipe import default_batch_size, output_layers
from lanewise.training.run import Engine, optimizer_of, run
from lanewise.training.task import Indices, Progress, TrainingTask, TrainResult, Validation
from lanewise.wording import duration, plural

WEIGHT_DECAYS = (0.001, 0.01, 0.03, 0.1)
"""Those that are tried, where none is given."""

WEIGHT_DECAY = 0.01
"""Where there are no validation images to choose by."""

RATE = 12.8
"""The learning rate, times the number of features: they pull together."""

STEPS = 300
"""Training takes so many at least, and 20 epochs."""

MOST_EPOCHS = 1000
"""A budget of time ends after these many epochs."""


@dataclass(frozen=True, slots=True)
class NewHead:
    """A model's network with a last layer for other classes.

    Attributes
    ----------
    graph : Graph
    text : str or None
        Its text, where that of the model is known.
    backbone : Graph
        The part up to the features.
    taken : tuple of int
        Positions of the backbone's parameters in those of the model.
    stages : int
        How many of its last stages are fine-tuned.
    tuned : int or None
        Position of the node behind which those begin.
    """

    graph: Graph
    text: str | None
    backbone: Graph
    taken: tuple[int, ...]
    stages: int = 0
    tuned: int | None = None


def with_new_head(model: Model, classes: int, cut: str | None = None, finetune: int | str | None = None) -> NewHead:
    """The network with so many classes.

    Parameters
    ----------
    model : Model
    classes : int
    cut, finetune
        The options of training.

    Raises
    ------
    NetworkError
        It has no features to start from, or no layer called `cut`.
    OptionError
        It has fewer stages than are to be fine-tuned.
    """
    head = _with_new_head(model, classes, cut)
    if not finetune:
        return head
    starts = stages(head.graph)
    count = len(starts) if finetune == ALL else int(finetune)
    if count > len(starts):
        raise OptionError(
            f"the start has {plural(len(starts), 'stage')}, not {count:,}: give fewer to finetune, or 'all'"
        )
    return replace(head, stages=count, tuned=starts[-count])


def backbone_of(model: Model, cut: str | None = None) -> tuple[Graph, tuple[int, ...]]:
    """The part of a model up to its features, and where its parameters are in those of the model.

    Raises
    ------
    NetworkError
        It has no features, or no layer called `cut`.
    """
    backbone, taken = until(model.graph, features_at(model.graph, cut))
    if cut is not None and len(backbone.output_shape) == 3:  # a map's average tells what is in it
        steps = [(node.layer, node.inputs) for node in backbone.nodes[1:]]
        backbone = assemble([*steps, (GlobalAvgPool2D(), (len(steps),))], backbone.input_shape)
    return backbone, taken


def _with_new_head(model: Model, classes: int, cut: str | None) -> NewHead:
    backbone, taken = backbone_of(model, cut)
    head = parse(output_layers(classes))
    steps = [(node.layer, node.inputs) for node in backbone.nodes[1:]]
    text = None if model.network is None or cut is not None else _text(parse(model.network), head)
    if text is not None:
        graph = build(parse(text), model.graph.input_shape)
        if graph.nodes[: len(backbone.nodes)] == backbone.nodes:
            return NewHead(graph, text, backbone, taken)
    steps += [(layer, (len(steps) + number,)) for number, layer in enumerate(head)]
    return NewHead(assemble(steps, backbone.input_shape), None, backbone, taken)


def _text(layers: tuple[Layer, ...], head: tuple[Layer, ...]) -> str | None:
    """The text of layers up to the features, with another head; None where the features are within a branch."""
    for kind in (GlobalAvgPool2D, Dense):
        found = [place for place, layer in enumerate(layers) if isinstance(layer, kind)]
        if found:
            return to_text((*layers[: found[-1] + (kind is GlobalAvgPool2D)], *head))
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The trained network.

    Attributes
    ----------
    engine : Engine
        That of the whole network, as if all of it had been trained.
    parameters : list of arrays
    result : TrainResult
    learning_rate : float
    batch_size : int
    """

    engine: Engine
    parameters: list[Floats]
    result: TrainResult
    learning_rate: float
    batch_size: int


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """What to train on: all images at hand with their labels and weights, which of them are the training set, and the
    frequencies of the classes where these are to count alike."""

    pixels: Pixels
    labels: NDArray[np.int32]
    weights: Floats
    trained: Indices
    validation: Validation | None
    frequencies: Floats | None = None


def trained(
    start: Model,
    head: NewHead,
    examples: Examples,
    options: TrainOptions,
    began: float,
    progress: Callable[[Progress], None],
    say: Say,
    keeper: Keeper,
) -> Outcome:
    """Train the last layer on the features of the images.

    Parameters
    ----------
    start : Model
    head : NewHead
    examples : Examples
    options : TrainOptions
    began : float
        When a budget of time began to run, by `time.perf_counter`.
    progress : callable
        Given a `Progress` while features are computed, and while the last layer is trained.
    say : callable
        Given each note.
    keeper : Keeper
        `began` is by its clock.
    """
    if options.learning_rate == FIND:
        raise OptionError(
            'learning_rate="find" is for a network that is trained from its first layer on, not for the new last layer '
            "of a start: leave it out"
        )
    if head.stages:  # what was given is for what follows
        options = replace(options, learning_rate=None, epochs=None, budget=None, weight_decay=None)
    parameters = [start.parameters[place] for place in head.taken]
    backbone = Backbone(head.backbone, parameters, start.preprocessing, options.threads)
    examples = on_maps(backbone, examples, progress, say)
    preprocessing = _one_scale(examples.pixels, examples.trained)
    layers = tuple(node.layer for node in head.graph.nodes[len(head.backbone.nodes) :])
    decay = WEIGHT_DECAY if options.weight_decay is None else options.weight_decay
    graph = build(layers, (1, preprocessing.rows, 1))
    engine = Engine(
        graph,
        preprocessing,
        optimizer_of(options, graph, decay),
        options.label_smoothing or 0.0,
        None,
        options.winograd,
        options.threads,
    )
    decays = WEIGHT_DECAYS if options.weight_decay is None and examples.validation else (decay,)
    count = len(examples.trained)
    batch_size = min(options.batch_size or default_batch_size(count), count)
    task = TrainingTask(
        pixels=examples.pixels,
        labels=examples.labels,
        indices=examples.trained,
        weights=examples.weights,
        validation=examples.validation,
        frequencies=examples.frequencies,
        batch_size=batch_size,
        seed=options.seed,
        learning_rate=given_rate(options) or RATE / preprocessing.rows,
        schedule=SCHEDULES[options.schedule],
        epochs=options.epochs or (None if options.budget else max(20, -(-STEPS * batch_size // count))),
        budget=options.budget and max(options.budget - agreed(keeper.now() - began), 0.0) / len(decays),
        most_epochs=MOST_EPOCHS,
        patience=None,
        started=began,
    )
    found = _best_of(decays, engine, task, given_rate(options) is None, progress, say, keeper)
    return Outcome(
        replace(found.engine, graph=head.graph, preprocessing=start.preprocessing),
        [*parameters, *_on_raw_features(found.parameters, preprocessing)],
        found.result,
        found.learning_rate,
        batch_size,
    )


def _one_scale(features: Pixels, chosen: Indices) -> Preprocessing:
    """What brings all features together, (N, features, 1, 1), to mean 0 and standard deviation 1."""
    (mean,), (std,) = statistics(features, chosen)
    rows = features.shape[1]
    return Preprocessing(
        rows=rows, columns=1, channels=1, dtype="float32", scale=(float(1 / std),), offset=(float(-mean / std),)
    )


def _best_of(
    decays: Sequence[float],
    engine: Engine,
    task: TrainingTask,
    restart: bool,
    progress: Callable[[Progress], None],
    say: Say,
    keeper: Keeper,
) -> Outcome:
    """Train with each weight decay, and keep the one with the smallest loss; interrupted, the best so far."""
    best: Outcome | None = None
    candidates, interrupted = 0.0, False
    began = time.perf_counter()
    for number, decay in enumerate(decays):
        trial = replace(engine, optimizer=replace(engine.optimizer, weight_decay=decay))
        zeros = [np.zeros(parameter.shape, np.float32) for parameter in engine.graph.parameters]
        task = replace(task, started=keeper.now())
        result, trainer, rate = run(
            trial, zeros, task, restart, partial(_among, progress, number, len(decays), began), say, keeper
        )
        candidates += result.candidates
        interrupted = interrupted or result.interrupted
        if best is None or _loss(result) < _loss(best.result):
            best = Outcome(trial, trainer.flat.unpack(result.vector), result, rate, task.batch_size)
        if interrupted:
            break
    assert best is not None, "there is at least one weight decay"
    best.result.candidates, best.result.interrupted = candidates, interrupted
    if len(decays) > 1 and not interrupted:
        tried = ", ".join(f"{decay:g}" for decay in decays)
        chosen = best.engine.optimizer.weight_decay
        say(Note(f"Weight decay of the last layer: {chosen:g}, the best of {tried} on the validation images."))
    return best


def on_maps(
    backbone: Backbone, examples: Examples, progress: Callable[[Progress], None], say: Say | None = None
) -> Examples:
    """The same images as what a part of a network gives for them.

    Parameters
    ----------
    backbone : Backbone
        That part.
    examples : Examples
    progress : callable
        Given a `Progress` while the network runs.
    say : callable, optional
        Given a note on how long it took.

    Returns
    -------
    Examples
        Features as images (features, 1, 1), maps as images (rows, columns, channels).
    """
    began = time.perf_counter()
    computed = 0

    def done(images: int, count: int) -> None:
        nonlocal computed
        computed, seconds = images, time.perf_counter() - began
        left = seconds / images * (count - images)
        speed = images / max(seconds, 1e-9)
        progress(
            Progress(0, 0, images / count, 0.0, 0.0, None, None, 0.0, speed, seconds, left, False, features=images)
        )

    def images(pixels: Pixels) -> Floats:
        values = backbone.features(pixels, done, active())
        return values[:, :, None, None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(0, 2, 3, 1))

    pixels = images(examples.pixels)
    count, validation = len(pixels), examples.validation
    if validation is not None:
        others = pixels
        if validation.pixels is not examples.pixels:
            known, computed = computed, 0
            others = images(validation.pixels)
            count, computed = count + len(others), computed + known
        validation = replace(validation, pixels=others)
    if say is not None:
        how = f"computed in {duration(time.perf_counter() - began)}" if computed else "known from before"
        say(Note(f"{pixels.shape[1]:,} features of each of {count:,} images: {how}."))
    return replace(examples, pixels=pixels, validation=validation)


def _among(progress: Callable[[Progress], None], number: int, count: int, began: float, now: Progress) -> None:
    """Pass on the progress of one training as a part of `count` of the same length, the first of which began then."""
    seconds = time.perf_counter() - began
    fraction = (number + now.fraction) / count
    progress(
        replace(
            now,
            epoch=round(number * now.epochs) + now.epoch,
            epochs=count * now.epochs,
            fraction=fraction,
            seconds=seconds,
            seconds_left=seconds * (1 - fraction) / fraction if fraction else now.seconds_left * count,
        )
    )


def _loss(result: TrainResult) -> float:
    """What the best weights lose on the validation images, or the last ones on the training images."""
    if not result.history:
        return math.inf
    record = result.history[(result.best_epoch or len(result.history)) - 1]
    found = record["validation_loss"] if record["validation_loss"] is not None else record["loss"]
    return math.inf if found is None else float(found)


def _on_raw_features(last: list[Floats], preprocessing: Preprocessing) -> list[Floats]:
    """Weights and biases that do to features what these do to scaled ones; sums are exact."""
    weight, bias = (array.astype(np.float64) for array in last)
    (scale,), (offset,) = preprocessing.scale, preprocessing.offset
    rows = weight.reshape(len(weight), -1)
    moved = [b + math.fsum(row) * offset for row, b in zip(rows, bias, strict=True)]
    return [(rows * scale).astype(np.float32), np.array(moved, np.float32)]
