"""The last stages of a network trained on, behind a new last layer that has been trained already.

    check_room(head, examples)                  refuses what would not fit into memory, before anything is trained
    fine_tuned(head, found, ...) -> Outcome     `found` itself, unless the validation images say that this is better

What comes before those stages is computed once for each image, as features are. Batch normalisations keep their
statistics, scales and shifts: the statistics of a few hundred images are worse than those of the many before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

from lanewise.errors import TooLargeError
from lanewise.interrupts import attend, defer
from lanewise.limits import check_memory
from lanewise.network.channelwise import BatchNorm
from lanewise.network.cutting import behind, until
from lanewise.network.graph import Graph, assemble
from lanewise.notes import Caution, Note, Say
from lanewise.preprocessing import Preprocessing, type_of
from lanewise.ranks import agreed
from lanewise.training.checkpoint import Keeper
from lanewise.training.features import Backbone
from lanewise.training.find_rate import given_rate
from lanewise.training.learning_rate import SCHEDULES
from lanewise.training.loop import DivergedError
from lanewise.training.new_head import Examples, NewHead, Outcome, on_maps
from lanewise.training.optimizers import LEARNING_RATES
from lanewise.training.options import TrainOptions
from lanewise.training.run import as_it_starts, optimizer_of, run
from lanewise.training.start import GOING_ON, Start, outcome
from lanewise.training.task import Progress, TrainingTask
from lanewise.wording import duration, plural

EPOCHS = 10
"""The network knows images already, and a few hundred are soon known by heart."""

KEPT = "The new last layer alone is kept."


def check_room(head: NewHead, examples: Examples) -> None:
    """Refuse to fine-tune, by a TooLargeError, where what comes before the stages does not fit into memory."""
    if head.tuned:
        validation = examples.validation
        count = len(examples.pixels)
        if validation is not None and validation.pixels is not examples.pixels:
            count += len(validation.pixels)
        check_memory(  # once as they come, once as images
            "fine-tuning on the maps before these stages",
            2 * 4 * count * prod(head.graph.nodes[head.tuned].shape),
            hint="fine-tune fewer stages, whose maps are smaller, or 'all', which needs none",
        )


def fine_tuned(
    head: NewHead,
    found: Outcome,
    examples: Examples,
    options: TrainOptions,
    began: float,
    progress: Callable[[Progress], None],
    say: Say,
    keeper: Keeper,
) -> Outcome:
    """Train the last stages of a network, or all of it.

    Parameters
    ----------
    head : NewHead
        The network, and where its last stages begin.
    found : Outcome
        With the new last layer trained.
    examples : Examples
    options : TrainOptions
    began : float
        When a budget of time began to run, by the clock of `keeper`.
    progress : callable
        Given a `Progress` several times a second.
    say : callable
        Given each note.
    keeper : Keeper

    Returns
    -------
    Outcome
        `found` itself if no epoch did better on the validation images, or where training diverged, did not fit into
        memory, or was interrupted early.
    """
    try:
        attend()

        def tuning(now: Progress) -> None:
            progress(replace(now, tuning=True))

        tuned = _tuned(head, found, examples, options, began, tuning, say, keeper)
        if tuned is not None:
            return tuned
    except KeyboardInterrupt:
        found.result.interrupted = True
        say(Note(f"Fine-tuning was interrupted. {KEPT}"))
    except (DivergedError, TooLargeError) as error:
        say(Caution(f"Fine-tuning was given up: {error}. {KEPT}"))
    defer()
    return found


def _tuned(
    head: NewHead,
    found: Outcome,
    examples: Examples,
    options: TrainOptions,
    began: float,
    progress: Callable[[Progress], None],
    say: Say,
    keeper: Keeper,
) -> Outcome | None:
    """The network with its last stages trained; None if that is not better."""
    assert head.tuned is not None
    now = keeper.now()
    last, places = behind(head.graph, head.tuned)
    last = _norms_frozen(last)
    parameters = [found.parameters[place] for place in places]
    trained = sum(array.size for array, free in zip(parameters, last.trainable, strict=True) if free)
    which = "stage" if head.stages == 1 else f"{head.stages:,} stages"
    say(Note(f"Fine-tuning the last {which} of the network: {trained:,} weights and biases."))
    preprocessing = found.engine.preprocessing
    if head.tuned:
        preprocessing, examples = _before(head, found, examples, options, progress)
    optimizer = optimizer_of(options, last)
    engine = replace(
        found.engine,
        graph=last,
        preprocessing=preprocessing.taking(type_of(examples.pixels)),
        optimizer=optimizer,
    )
    task = TrainingTask(
        pixels=examples.pixels,
        labels=examples.labels,
        indices=examples.trained,
        weights=examples.weights,
        validation=examples.validation,
        frequencies=examples.frequencies,
        batch_size=found.batch_size,
        seed=options.seed,
        learning_rate=given_rate(options) or LEARNING_RATES[optimizer.name] / GOING_ON,
        schedule=SCHEDULES[options.schedule],
        epochs=options.epochs or (None if options.budget else EPOCHS),
        budget=options.budget and max(options.budget - agreed(keeper.now() - began), 0.0),
        most_epochs=3 * EPOCHS,
        patience=None,
        started=keeper.now(),
    )
    first = as_it_starts(engine, Start(last, None, parameters, whole=True), examples.validation, say)
    if first is not None:
        task = replace(task, start=first[1])
    result, trainer, rate = run(engine, parameters, task, given_rate(options) is None, progress, say, keeper)
    took = duration(keeper.now() - now)
    if result.interrupted and not result.best_epoch:
        raise KeyboardInterrupt
    say(Note(f"{plural(len(result.history), 'epoch')} of fine-tuning at a learning rate of {rate:.3g} took {took}."))
    if first is not None and examples.validation is not None:
        say(outcome(first[0][1], result, len(examples.validation.indices)))
        if not result.best_epoch:
            return None
    changed = list(found.parameters)
    for place, array in zip(places, trainer.flat.unpack(result.vector), strict=True):
        changed[place] = array
    result.candidates += found.result.candidates
    return Outcome(replace(found.engine, optimizer=optimizer), changed, result, rate, found.batch_size)


def _before(
    head: NewHead, found: Outcome, examples: Examples, options: TrainOptions, progress: Callable[[Progress], None]
) -> tuple[Preprocessing, Examples]:
    """What the stages that stay give for each image, as images, and how those are taken: as they are."""
    assert head.tuned is not None
    front, places = until(head.graph, head.tuned)
    parameters = [found.parameters[place] for place in places]
    examples = on_maps(Backbone(front, parameters, found.engine.preprocessing, options.threads), examples, progress)
    channels, rows, columns = front.output_shape
    ones, zeros = (1.0,) * channels, (0.0,) * channels
    return Preprocessing(rows, columns, channels, "float32", scale=ones, offset=zeros), examples


def _norms_frozen(graph: Graph) -> Graph:
    """The same graph, whose batch normalisations stay as they are."""
    steps = [
        (replace(node.layer, frozen=True) if isinstance(node.layer, BatchNorm) else node.layer, node.inputs)
        for node in graph.nodes[1:]
    ]
    return assemble(steps, graph.input_shape)
