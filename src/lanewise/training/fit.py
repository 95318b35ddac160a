"""`lanewise.train`: images in, a trained model out.

read the images             _read, sources.py
hold some of them out       _hold_out, or all by turns: _cross_validate
choose the recipe           _choose: network and weights, augmentation, how long
set up, train               _set_up, run.py
make the model              assemble.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lanewise.data.grouping import check_groups
from lanewise.data.images import Images, ImageSets
from lanewise.data.load import fit_like
from lanewise.data.sample_weights import image_weights
from lanewise.data.seen import Hashes, Seen
from lanewise.engine.parameters import Floats
from lanewise.errors import OptionError
from lanewise.foreign import fitted
from lanewise.kernels.augmentation import Augment
from lanewise.model import Model
from lanewise.notes import Caution, Note, Say, unheard
from lanewise.notes import say as tell_user
from lanewise.preprocessing import Preprocessing
from lanewise.pretrained.load import better_start, load_start
from lanewise.training import augment as augmenting
from lanewise.training import recipe
from lanewise.training.advice import advice, curves_of
from lanewise.training.answers import OutOfFold, finished, looks_twice
from lanewise.training.assemble import kept_of, labels_of, model_of, origin_of, preprocessing_of
from lanewise.training.checkpoint import Keeper, keeper_of, kept
from lanewise.training.crossvalidation import (
    InterruptedFoldError,
    check_folds,
    cross_validate,
    default_folds,
    figures_told,
    offered,
)
from lanewise.training.default_rate import peak_rate, with_optimizer, with_steps
from lanewise.training.effort import effort_kept
from lanewise.training.find_rate import at_rate_found, given_rate
from lanewise.training.fine_tune import check_room, fine_tuned
from lanewise.training.frequencies import weighting
from lanewise.training.held_out import hashes_by_set, held_out
from lanewise.training.leaks import leaks_told, split_of
from lanewise.training.learning_rate import SCHEDULES
from lanewise.training.memory import check_room_for
from lanewise.training.new_head import Examples, trained, with_new_head
from lanewise.training.options import TrainOptions
from lanewise.training.progress import ending, fold_of, watched
from lanewise.training.run import MOST_TIMES, Engine, as_it_starts, optimizer_of, run, tell_end
from lanewise.training.same import one_training
from lanewise.training.same_run import facts_of
from lanewise.training.signatures import Source, options_of_training
from lanewise.training.sources import sets_of
from lanewise.training.start import Start, check_images, knows, moments, network_and_weights, outcome
from lanewise.training.task import Indices, TrainingTask, Validation
from lanewise.training.whitening import TrainingPixels


@options_of_training(TrainOptions, smoothing="label_smoothing")
@one_training
def train(source: Source, y: ArrayLike | None, options: TrainOptions) -> Model:
    """Train a convolutional network to tell images apart.

    Parameters
    ----------
    source : path, "digits", array, Images or ImageSets
        A folder with a subfolder per class, or with train, val and test; an `.npz` file; the built-in digits; or
        images (N, rows, columns), (N, rows, columns, channels) with labels `y`.
    y : (N,) array, optional
        Labels of images that are given as an array.
    {options}

    Returns
    -------
    Model
        With the best weights found. Interrupted by Ctrl-C, the best so far, with `provenance["interrupted"]`.

    Raises
    ------
    DataError, NetworkError, OptionError, TooLargeError
        Each with one line that names the culprit and the way out.
    """
    keeper = keeper_of(options.checkpoint, options.resume)
    ours = keeper is not options.checkpoint
    try:
        return kept(_train(source, y, options, keeper), keeper, options.notes or tell_user, ours=ours)
    finally:
        if ours:
            keeper.close()


def _train(source: Source, y: ArrayLike | None, options: TrainOptions, keeper: Keeper) -> Model:
    began = budget_from = keeper.now()
    say = options.notes or tell_user
    sets, start = _read(source, y, options, say)
    hashes = hashes_by_set(sets, start)
    keeper.identify(partial(facts_of, sets, hashes, start, vars(options)), say)
    data, options = _hold_out(sets, hashes, start, options, say)
    if start is not None and options.network == "auto" and not knows(start, data.images):
        options = with_optimizer(options, start.graph, new=False)
        return _train_new_head(data, start, options, y, began, say, keeper)
    if options.finetune or options.cut is not None:
        raise OptionError(
            f"the start has the classes of these images, so all of it is trained: leave out "
            f"{'finetune' if options.finetune else 'cut'}"
        )
    chosen, options = _choose(data, options, say, keeper)
    figures = outside = None
    if options.folds:
        try:
            figures, outside = _cross_validate(data, chosen, options, say, keeper)
        except InterruptedFoldError as stopped:
            provenance = {**stopped.model.provenance, "interrupted": True}
            return replace(stopped.model, provenance=provenance, **labels_of(data.images, y))
        budget_from = keeper.now()
    engine, task = _set_up(data, chosen, options, budget_from)
    if engine.optimizer.name != options.optimizer:
        say(Note("This network has no convolution whose weights Muon could update: SGD trains all of it."))
    task, curve = at_rate_found(options, engine, chosen.start.parameters, task, say)
    began_at = None
    if (first := as_it_starts(engine, chosen.start, data.validation, say)) is not None:
        began_at, verdict = first
        task = replace(task, start=verdict)
    folds = options.folds or 0
    with fold_of(folds + 1, folds) if folds else nullcontext(), watched(options.verbose, options.progress) as watch:
        result, trainer, rate = run(
            engine, chosen.start.parameters, task, given_rate(options) is None, watch, say, keeper
        )
        watch.said = ending(result, figures)
    if result.interrupted and result.steps == 0:
        raise KeyboardInterrupt
    tell_end(result, task, say, heard=options.notes is not None)
    if began_at is not None and data.validation is not None:
        say(outcome(began_at[1], result, len(data.validation.indices)))
    model = model_of(
        engine,
        chosen.start.text,
        trainer.flat.unpack(result.vector),
        result,
        labels_of(data.images, y),
        {
            "seed": options.seed,
            "images": len(data.trained),
            "batch_size": task.batch_size,
            "learning_rate": rate,
            "learning_rate_curve": curve,
            "augment": options.augment,
            "augmentation": chosen.augment and chosen.augment.record,
            "seconds": round(keeper.now() - began, 3),
            "cross_validation": figures,
            "start": began_at and {"validation_loss": began_at[0], "validation_accuracy": began_at[1]},
            **origin_of(data.start),
            **kept_of(data.images, data.seen),
        },
    )
    model = finished(model, data.images.pixels, data.validation, options.threads, say, outside)
    if not result.interrupted:
        more = not result.stopped_early and len(result.history) < task.most_epochs
        held = 0 if data.validation is None else len(data.validation.indices)
        curves = curves_of(result.history, result.best_epoch, held, figures, more=more)
        if curves and (found := advice(curves, options, chosen.augment, data.images, chosen.start.text)) is not None:
            say(found)
    return model


def _train_new_head(
    data: _Data, start: Model, options: TrainOptions, y: ArrayLike | None, began: float, say: Say, keeper: Keeper
) -> Model:
    """Train a last layer for other classes on the features of a model."""
    images = data.images
    head = with_new_head(start, len(images.classes), options.cut, options.finetune)
    check_images(start, images)
    assert images.labels is not None
    if options.augment not in ("auto", "none") or any(options.changes.values()):
        say(Caution("Features of a model are computed once for each image, so images are not augmented."))
    weights, shares = weighting(head.graph, images, data.trained, data.weights, options)
    examples = Examples(images.pixels, images.labels, weights, data.trained, data.validation, shares)
    check_room(head, examples)
    with watched(options.verbose, options.progress) as watch:
        found = trained(start, head, examples, options, began, watch, say, keeper)
        alone = found
        if head.stages and not found.result.interrupted:
            found = fine_tuned(head, alone, examples, options, began, watch, say, keeper)
        watch.said = ending(found.result)
    if found.result.interrupted and found.result.steps == 0:
        raise KeyboardInterrupt
    model = model_of(
        found.engine,
        head.text,
        found.parameters,
        found.result,
        labels_of(images, y),
        {
            "seed": options.seed,
            "images": len(data.trained),
            "batch_size": found.batch_size,
            "learning_rate": found.learning_rate,
            "augment": "none",
            "seconds": round(keeper.now() - began, 3),
            "cross_validation": None,
            "start": None,
            **origin_of(start),
            "finetuned": 0 if found is alone else head.stages,
            **kept_of(data.images, data.seen),
        },
    )
    return finished(model, images.pixels, data.validation, options.threads, say)


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Images, each with a weight and a hash; which of them are trained on, which are the validation set, and a model
    to start from."""

    images: Images
    start: Model | None
    weights: Floats
    hashes: Hashes
    trained: Indices
    validation: Validation | None
    seen: Seen


@dataclass(frozen=True, slots=True, eq=False)
class _Recipe:
    """What to train, and for how long; `epochs` is None where `budget` says it."""

    start: Start
    preprocessing: Preprocessing
    augment: Augment | None
    batch_size: int
    label_smoothing: float
    epochs: int | None
    default_epochs: int


def _read(source: Source, y: ArrayLike | None, options: TrainOptions, say: Say) -> tuple[ImageSets, Model | None]:
    """The images, and a model to start from fitted to them."""
    start = load_start(options.start) if isinstance(options.start, str | os.PathLike) else options.start
    if start is not None:
        like, size = start.preprocessing, options.size
        size = like.shape[:2] if size is None else size
        options = replace(options, size=size, fit=options.fit or fit_like(like, source))
    sets = sets_of(source, y, options)
    if start is not None:
        start, sets = fitted(start, sets, say)
        resize = sets.train.resize or like.resize
        start = replace(start, preprocessing=replace(start.preprocessing, resize=resize))
    # Sets that were loaded before have had their notes said then.
    for note in () if options.notes is None and isinstance(source, ImageSets | Images) else sets.notes:
        say(note)
    return sets, start


def _hold_out(
    sets: ImageSets, hashes: Callable[[str], Hashes], start: Model | None, options: TrainOptions, say: Say
) -> tuple[_Data, TrainOptions]:
    """Which images to train on, and which to validate by; the options with the number of folds settled."""
    images = sets.train
    assert images.labels is not None
    weights = image_weights(images, options.class_weight, options.sample_weight)
    if options.folds is None and sets.validation is None and sets.test is None and _all_default(options):
        folds = default_folds(options.network, images, options.batch_size, options.preset, say)
        options = replace(options, folds=folds)
    if options.folds:
        check_folds(sets, start)
        budget = None if options.budget is None else options.budget / (options.folds + 1)
        options = replace(options, validation_fraction=0.0, budget=budget)
    if options.folds or (sets.validation is None and options.validation_fraction > 0):
        check_groups(images, np.flatnonzero(weights > 0), options.folds or 0)
    holding, validation, seen = held_out(sets, hashes, weights, options.validation_fraction, options.seed, start, say)
    if sets.validation is None and say is not unheard:
        for note in leaks_told(images, *split_of(images, holding, options.folds or 0, options.seed)):
            say(note)
    if validation is not None and start is None and not options.folds:
        for note in offered(len(validation.indices), len(images)):
            say(note)
    return _Data(images, start, weights, holding.hashes, holding.trained, validation, seen), options


def _all_default(options: TrainOptions) -> bool:
    """Whether nothing was asked for that speaks against cross-validation."""
    length = options.epochs is None and options.budget is None and options.early_stopping
    return length and options.start is None and options.sample_weight is None and options.validation_fraction > 0


def _choose(data: _Data, options: TrainOptions, say: Say, keeper: Keeper) -> tuple[_Recipe, TrainOptions]:
    """Network and initial weights, preprocessing, augmentation, and how long to train; the options settled."""
    images, trained, auto = data.images, data.trained, options.network == "auto"
    mean, std = moments(data.start, images, trained)
    free = options.epochs is None and options.budget is None
    effort = effort_kept(keeper, images, options.preset, options.budget if auto else None, options.threads)
    check_room_for(options, images, data.start, len(trained), effort)
    if (why := recipe.reason(effort, network=auto and data.start is None, epochs=free)) is not None:
        say(why)
    if auto and data.start is None and recipe.features_would_help(images):
        say(better_start())
    training = TrainingPixels(images.pixels, trained, mean, std)
    start = network_and_weights(options.network, data.start, images, effort, options.seed, training, say)
    options = with_steps(options, start.graph, len(trained), effort, new=data.start is None)
    batch_size = min(options.batch_size or 0, len(trained))
    assert images.labels is not None
    picked = augmenting.choose(options.augment, images.pixels, images.labels, trained, options.changes, options.flip)
    say(picked.said)
    photographs = augmenting.few_photographs(len(trained), images.pixels.shape[1:])
    default_epochs = recipe.default_epochs(len(trained), batch_size, effort=effort, photographs=photographs)
    smoothing = options.label_smoothing
    chosen = _Recipe(
        start,
        preprocessing_of(images, trained, mean, std, data.start),
        picked.augment,
        batch_size,
        recipe.default_label_smoothing(photographs, effort) if smoothing is None else smoothing,
        default_epochs if free else options.epochs,
        default_epochs,
    )
    return chosen, options


def _cross_validate(
    data: _Data, chosen: _Recipe, options: TrainOptions, say: Say, keeper: Keeper
) -> tuple[dict[str, Any], OutOfFold]:
    """The figures of networks that were each trained on all folds but one, and what they said of the other."""
    text = chosen.start.text
    options = replace(
        options,
        network=options.network if options.network != "auto" or text is None else text,
        batch_size=chosen.batch_size,
        validation_fraction=0.0,
        notes=unheard,
    )

    def fit(places: Indices) -> Model:
        # as many steps as the final model takes
        epochs = None if chosen.epochs is None else round(chosen.epochs * len(data.trained) / len(places))
        weights = None if options.sample_weight is None else np.asarray(options.sample_weight)[places]
        # images have their groups
        one = replace(options, epochs=epochs, sample_weight=weights, folds=0, groups=None, group_by=None)
        return _train(data.images.take(places), None, one, keeper)

    assert options.folds
    figures, said = cross_validate(data.images, data.trained, data.hashes, options.folds, options.seed, fit, say)
    say(figures_told(figures))
    assert data.images.labels is not None
    return figures, OutOfFold(said, data.images.labels[data.trained], data.weights[data.trained])


def _set_up(data: _Data, chosen: _Recipe, options: TrainOptions, budget_from: float) -> tuple[Engine, TrainingTask]:
    """All that the engine needs, and all that the loop does."""
    engine = Engine(
        chosen.start.graph,
        chosen.preprocessing,
        optimizer_of(options, chosen.start.graph),
        chosen.label_smoothing,
        chosen.augment,
        options.winograd,
        options.threads,
        looks_twice(options.tta, chosen.augment),
    )
    assert data.images.labels is not None
    weights, shares = weighting(engine.graph, data.images, data.trained, data.weights, options)
    task = TrainingTask(
        pixels=data.images.pixels,
        labels=data.images.labels,
        indices=data.trained,
        weights=weights,
        frequencies=shares,
        validation=data.validation,
        batch_size=chosen.batch_size,
        seed=options.seed,
        learning_rate=peak_rate(options, chosen.start),
        schedule=SCHEDULES[options.schedule],
        epochs=chosen.epochs,
        budget=options.budget,
        most_epochs=MOST_TIMES * chosen.default_epochs,
        patience=max(10, (chosen.epochs or 0) // 2) if options.early_stopping else None,
        started=budget_from,
    )
    return engine, task
