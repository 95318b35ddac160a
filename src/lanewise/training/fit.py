"""`lanewise.train`: images in, a trained model out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.data.images import Images, ImageSets
from lanewise.data.load import load
from lanewise.data.sample_weights import image_weights
from lanewise.engine.trainer import Optimizer
from lanewise.errors import DataError
from lanewise.foreign import fitted
from lanewise.interrupts import one_press_ends
from lanewise.keywords import hinting
from lanewise.labels import plain
from lanewise.model import Model
from lanewise.model_file import names_of
from lanewise.network.layers import Layer
from lanewise.notes import Note, unheard
from lanewise.notes import say as tell_user
from lanewise.pixel_scale import range_of
from lanewise.preprocessing import Preprocessing, type_of
from lanewise.training import augment as augmenting
from lanewise.training import recipe
from lanewise.training.crossvalidation import (
    Indices,
    InterruptedFoldError,
    check_folds,
    cross_validate,
    default_folds,
    figures_told,
    offered,
)
from lanewise.training.held_out import held_out
from lanewise.training.learning_rate import schedule_named
from lanewise.training.loop import Lesson, Progress, evaluated
from lanewise.training.options import check_options
from lanewise.training.progress import ending, fold_of, watched
from lanewise.training.run import Engine, as_it_starts, evaluated_at, run
from lanewise.training.start import GOING_ON, moments, network_and_weights, outcome
from lanewise.version import __version__

Source = str | os.PathLike[str] | ImageSets | Images | ArrayLike
Say = Callable[[str], None]

MOST_TIMES = 3
"""A budget of time trains for so many times the default number of epochs at most."""
FIGURES = ("validation_loss", "validation_accuracy")


@hinting
@one_press_ends
def train(
    source: Source,
    y: ArrayLike | None = None,
    *,
    network: str | tuple[Layer, ...] = "auto",
    epochs: int | None = None,
    budget: float | None = None,
    batch_size: int | None = None,
    optimizer: str = "sgd",
    learning_rate: float | None = None,
    momentum: float = 0.9,
    weight_decay: float | None = None,
    schedule: str = "one-cycle",
    label_smoothing: float = 0.0,
    augment: str = "auto",
    class_weight: str | Mapping[Any, float] | None = None,
    sample_weight: ArrayLike | None = None,
    validation_fraction: float = 0.1,
    early_stopping: bool = True,
    folds: int | None = None,
    size: str | int | tuple[int, int] | None = None,
    channels: int | None = None,
    strict: bool = False,
    winograd: bool = True,
    threads: int | None = None,
    seed: int = 0,
    start: Model | None = None,
    progress: Callable[[Progress], None] | None = None,
    notes: Say | None = None,
    verbose: int | None = None,
) -> Model:
    """Train a convolutional network to tell images apart.

    Parameters
    ----------
    source : path, "digits", array, Images or ImageSets
        A folder with a subfolder per class, or with train, val and test; an `.npz` file; the built-in digits; or
        images (N, rows, columns), (N, rows, columns, channels) with labels `y`.
    network : "auto", text or tuple of layers
        For example "conv 16@3x3 same, relu, max 2, dense 100, relu, dense 10". By default chosen from the images, or
        that of `start`. Layers marked `frozen`, and `fixed` filters, stay as they are.
    epochs : int, optional
        Passes over the images; chosen from their number by default.
    budget : float, optional
        Seconds to train for, instead of epochs: the schedule is stretched over what the measured speed allows, up to
        three times the default number of epochs.
    batch_size : int, optional
        Images of a step; chosen from their number by default.
    optimizer : "sgd" (Nesterov momentum) or "adamw"
    learning_rate : float, optional
        The peak. By default it suits the optimizer, and is a tenth of that where training goes on with all weights of
        `start`. If it is left to Lanewise and training diverges, it starts again at a third of it.
    momentum, weight_decay, label_smoothing : float
        Weight decay spares biases; `label_smoothing` is label smoothing, 0 to below 1.
    schedule : "one-cycle", "cosine" or "constant"
    augment : "auto", "none", "shift", "flip" or "shift+flip"
    class_weight : "balanced" or dict of class to weight, optional
    sample_weight : (N,) array, optional
        Each image's weight; those of weight 0 are left out.
    validation_fraction : float
        Share of the training images held out to find the best weights by, where no validation set is given; 0: none.
    early_stopping : bool
        When the validation figures have long stopped improving, let the learning rate fall to 0 and stop.
    folds : int, optional
        Cross-validate with so many folds: every image is evaluated by a network that was not trained on it, and the
        final model is trained on all images; `provenance["cross_validation"]` has the figures. By default 5 where the
        rarest class has fewer than 30 images and this takes seconds, unless the length of training, a validation or
        test set, weights or a start is given; 0 holds images out.
    size, channels, strict
        How images are read; see `lanewise.data.load.load`.
    winograd : bool
        Whether 3x3 and 5x5 convolutions may be computed by Winograd's method where that pays: faster, with
        somewhat larger rounding errors.
    threads : int, optional
        All processors by default. The result does not depend on it.
    seed : int
        The same seed, data and version give the same bits (with `epochs`; a budget depends on the machine's speed).
    start : Model, optional
        Go on training this model: its network, its weights, and pixels scaled as it knows them. It is evaluated on the
        held-out images first, and what comes out does no worse on them than it did. With a `network`
        besides, layers take over the model's weights as long as both are alike from the first on, whatever is frozen;
        from the first that differs, weights are drawn anew. If the classes are others, those of the last layer are
        too. So `network` may be the model's own with some layers `frozen`, or with another last layer.
    progress : callable, optional
        Given a `Progress` several times a second.
    notes : callable, optional
        Given sentences about what was found and chosen. Without it, what may harm the result is a `LanewiseWarning`,
        and the rest goes to the log "lanewise" (see `logging`).
    verbose : 0, 1 or 2, optional
        1 shows a live bar in a terminal or notebook, 2 prints a line for each epoch, 0 nothing. By default a bar where
        somebody watches: in a notebook, and if standard error is a terminal.

    Returns
    -------
    Model
        With the best weights found. Interrupted by Ctrl-C, the best so far, with `provenance["interrupted"]`.

    Raises
    ------
    DataError, NetworkError, OptionError, TooLargeError
        Each with one line that names the culprit and the way out.
    """
    began = time.perf_counter()
    say = notes or tell_user
    check_options(
        epochs,
        budget,
        batch_size,
        optimizer,
        learning_rate,
        momentum,
        weight_decay,
        label_smoothing,
        validation_fraction,
        threads,
        folds,
    )
    sets = _sets(source, y, size, channels, strict)
    if start is not None:
        start, sets = fitted(start, sets, say)
    # Sets that were loaded before have had their notes said then.
    for note in () if notes is None and isinstance(source, ImageSets | Images) else sets.notes:
        say(note)
    images = sets.train
    assert images.labels is not None
    weights = image_weights(images, class_weight, sample_weight)
    defaults = epochs is None and budget is None and start is None and early_stopping and sample_weight is None
    if folds is None and defaults and validation_fraction and sets.validation is None and sets.test is None:
        folds = default_folds(network, images, batch_size, say)
    if folds:
        check_folds(sets, start)
        validation_fraction = 0.0
    holding, held, seen = held_out(sets, weights, validation_fraction, seed, start, say)
    chosen = holding.trained
    if held is not None and start is None and not folds:
        for note in offered(len(held.indices), len(images)):
            say(note)
    mean, std = moments(start, images, chosen, new_classes=network != "auto")
    easy = (network == "auto" or (epochs is None and budget is None)) and recipe.many_and_easy(images)
    if easy:
        say(
            "These images are many and easy to tell apart, so few filters and few epochs are the default; more of "
            "both may still be a little better."
        )
    begin = network_and_weights(network, start, images, easy, seed, say)
    picked = augmenting.choose(augment, images.pixels, images.labels, chosen)
    say(picked.said)

    batch_size = min(batch_size or recipe.default_batch_size(len(chosen)), len(chosen))
    default_epochs = recipe.default_epochs(len(chosen), batch_size, easy=easy)
    if epochs is None and budget is None:
        epochs = default_epochs
    figures = None
    if folds:
        budget = None if budget is None else budget / (folds + 1)

        def fit(places: Indices) -> Model:
            return train(
                images.take(places),
                network=network if network != "auto" or begin.text is None else begin.text,
                # as many steps as the final model takes
                epochs=None if epochs is None else round(epochs * len(chosen) / len(places)),
                budget=budget,
                batch_size=batch_size,
                optimizer=optimizer,
                learning_rate=learning_rate,
                momentum=momentum,
                weight_decay=weight_decay,
                schedule=schedule,
                label_smoothing=label_smoothing,
                augment=augment,
                class_weight=class_weight,
                sample_weight=None if sample_weight is None else np.asarray(sample_weight)[places],
                validation_fraction=0.0,
                folds=0,
                winograd=winograd,
                threads=threads,
                seed=seed,
                start=start,
                progress=progress,
                notes=lambda note: None,
                verbose=verbose,
            )

        try:
            figures = cross_validate(images, chosen, holding.hashes, folds, seed, fit, say).to_json()
        except InterruptedFoldError as stopped:
            provenance = {**stopped.model.provenance, "interrupted": True}
            return replace(stopped.model, provenance=provenance, **_labels_of(images, y))
        say(figures_told(figures))
    rate = learning_rate
    if rate is None:
        rate = recipe.LEARNING_RATES[optimizer] / (GOING_ON if begin.whole else 1)
    decay = recipe.WEIGHT_DECAYS[optimizer] if weight_decay is None else weight_decay
    lesson = Lesson(
        pixels=images.pixels,
        labels=images.labels,
        indices=chosen,
        weights=weights,
        validation=held,
        batch_size=batch_size,
        seed=seed,
        learning_rate=rate,
        schedule=schedule_named(schedule),
        epochs=epochs,
        budget=budget,
        most_epochs=MOST_TIMES * default_epochs,
        patience=max(10, epochs // 2 if epochs else 0) if early_stopping else None,
        started=time.perf_counter() if folds else began,
    )
    engine = Engine(
        begin.graph,
        _preprocessing(images, chosen, mean, std, start),
        Optimizer(optimizer, momentum=momentum, weight_decay=decay),
        label_smoothing,
        picked.augment,
        winograd,
        threads,
    )
    before = as_it_starts(engine, begin, held, say)
    if before is not None and held is not None:
        loss, accuracy = evaluated(before, held.labels[held.indices], held.weights[held.indices])
        lesson = replace(lesson, start=(accuracy, -loss))
    with fold_of(folds + 1, folds) if folds else nullcontext(), watched(verbose, progress) as watch:
        learned, trainer, rate = run(engine, begin.parameters, lesson, learning_rate is None, watch, say)
        watch.said = ending(learned, figures)
    if learned.interrupted and learned.steps == 0:
        raise KeyboardInterrupt
    if budget is not None and len(learned.history) >= lesson.most_epochs:
        say(
            Note(
                f"Stopped after {lesson.most_epochs:,} epochs, {MOST_TIMES} times as many as the default, before the "
                "budget was used up: more passes over the same images would add little."
            )
        )
    if learned.interrupted and notes is None:  # no warning: where warnings are errors, it would cost the model
        say(Note(f"Training was interrupted in epoch {len(learned.history)}: these are the best weights until then."))
    began_at = None
    if before is not None and held is not None:
        labels = held.labels[held.indices]
        began_at = evaluated(before, labels)
        say(outcome(began_at, evaluated_at(learned, began_at), len(labels), learned.best_epoch))
    return Model(
        graph=begin.graph,
        parameters=tuple(trainer.flat.unpack(learned.vector)),
        **_labels_of(images, y),
        preprocessing=engine.preprocessing,
        network=begin.text,
        history=tuple(learned.history),
        provenance={
            "version": __version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": seed,
            "images": len(chosen),
            "epochs": len(learned.history),
            "steps": learned.steps,
            "batch_size": lesson.batch_size,
            "optimizer": optimizer,
            "learning_rate": rate,
            "weight_decay": decay,
            "augment": augment,
            "images_per_second": round(learned.images / max(learned.seconds, 1e-9)),
            "seconds": round(time.perf_counter() - began, 3),
            "interrupted": learned.interrupted,
            "stopped_early": learned.stopped_early,
            "best_epoch": learned.best_epoch,
            "candidates": round(learned.candidates, 2),
            "cross_validation": figures,
            "start": None if began_at is None else dict(zip(FIGURES, began_at, strict=True)),
            "seen": seen.to_json(),
        },
    )


def _sets(
    source: Source,
    y: ArrayLike | None,
    size: str | int | tuple[int, int] | None,
    channels: int | None,
    strict: bool,
) -> ImageSets:
    if isinstance(source, ImageSets):
        return source
    if isinstance(source, Images):
        return ImageSets(source)
    if isinstance(source, str | os.PathLike):
        if y is not None:
            raise DataError(f"{os.fspath(source)} brings its own labels: leave `y` out")
        return load(source, size=size, channels=channels, strict=strict, notes=unheard)
    if y is None:
        raise DataError("images given as an array need labels: train(x, y)")
    return load((source, y), size=size, channels=channels, notes=unheard)


def _labels_of(images: Images, y: ArrayLike | None) -> dict[str, Any]:
    """The names of the classes; for arrays, the labels as they were given, with their type: numbers stay numbers."""
    if y is None:
        return {"classes": images.classes}
    given, kind = plain(y)
    # Adding 0 makes -0.0, which numpy.unique may find, 0.0.
    values = [n + 0.0 if isinstance(n, float) else n for n in np.unique(given).tolist()]
    by_name = dict(zip(names_of(values), values, strict=True))
    if not by_name.keys() >= set(images.classes):
        return {"classes": images.classes}
    return {"classes": tuple(by_name[name] for name in images.classes), "label_type": kind}


def _preprocessing(
    images: Images, chosen: Indices, mean: NDArray[np.float64], std: NDArray[np.float64], start: Model | None
) -> Preprocessing:
    """What brings the training set to mean 0 and standard deviation 1, channel by channel."""
    span = range_of(images.pixels, chosen, files=images.resize is not None)
    if start is not None and start.preprocessing.value_range is not None:
        low, high = start.preprocessing.value_range
        span = min(low, span[0]), max(high, span[1])
    rows, columns = images.size
    return Preprocessing(
        rows=rows,
        columns=columns,
        channels=images.channels,
        dtype=type_of(images.pixels),
        scale=tuple((1 / std).tolist()),
        offset=tuple((-mean / std).tolist()),
        resize=images.resize,
        value_range=span,
        bits=images.bits,
        standardised=start is None or start.preprocessing.standardised,
    )
