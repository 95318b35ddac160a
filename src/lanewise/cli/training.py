"""What `lanewise train` does between its options and its exit status: read, train, evaluate, and report.

prepare(...) -> Prepared      images and network, told before training begins
fit(...)   -> Model
evaluate(...) -> Evaluation    how good it is; with_figures(...) keeps that in the model
report(...)                 says so, and where it is, and what to try next
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import lanewise
from lanewise.cli import evaluating, reporting
from lanewise.cli.options import passed_on
from lanewise.cli.output import Output, skipped_json
from lanewise.cli.progress import training_progress
from lanewise.cli.saving import Saved
from lanewise.data.images import Images, ImageSets
from lanewise.data.load import fit_like, load
from lanewise.data.source import ImageFiles
from lanewise.evaluation.evaluate import cross_validated, evaluate_images
from lanewise.evaluation.result import Evaluation
from lanewise.evaluation.unseen import called, evaluating_part
from lanewise.foreign import fitted
from lanewise.model import Model
from lanewise.network.graph import Graph
from lanewise.network.layers import Dense
from lanewise.network.summary import summary, totals
from lanewise.network.text import layer_text, parse
from lanewise.notes import unheard
from lanewise.pretrained.load import load_start
from lanewise.training.checkpoint import Keeper
from lanewise.training.effort import effort_kept
from lanewise.training.new_head import with_new_head
from lanewise.training.options import TrainOptions
from lanewise.training.recipe import USUAL, network_for
from lanewise.training.start import knows
from lanewise.wording import duration, file_size, plural, quoted, shape, shown

READING = ("size", "fit", "group_by", "channels", "strict")
"""Options that are used up when the images are read."""

SETTLED = ("network", "start", "checkpoint", "resume")
"""Options that the command has made something of already."""

MOST_CLASSES = 12
MOST_SHAPES = 12
MANY_HELD_OUT = 1000
"""Held-out images from which on choosing the weights by them makes little difference."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All that is settled before training.

    Attributes
    ----------
    name : what the user called the images
    sets : ImageSets
    network : str
        The text of the network to train; "auto" for that of `start`.
    start : model to fine-tune, or None
    evaluated_by, split : the evaluation set, and which it is
    only : (pattern, images)
        Parts of `evaluated_by` to be evaluated separately.
    notes : list of str
        Sentences that were said; more are added while training.
    """

    name: str | ImageFiles
    sets: ImageSets
    network: str
    start: Model | None
    evaluated_by: Images
    split: str
    only: tuple[tuple[str, Images], ...]
    notes: list[str]


def prepare(out: Output, name: str | ImageFiles, options: Mapping[str, Any], keeper: Keeper) -> Prepared:
    """Read the images, build the network, and show both. Whatever can fail before training fails here.

    Parameters
    ----------
    out : Output
    name : str or ImageFiles
        The images, as `lanewise.train` takes them.
    options : mapping
        Those of the command.
    keeper : Keeper
        Knows what was decided before training was killed.

    Returns
    -------
    Prepared
    """
    TrainOptions(**passed_on(options))  # refuses what makes no sense
    wanted = options["network"] or "auto"
    if wanted != "auto":
        parse(wanted)  # a typo is told before images are read
    start = None if options["start"] is None else load_start(options["start"])
    size, channels, fit = options["size"], options["channels"], options["fit"]
    if start is not None:
        rows, columns, own_channels = start.preprocessing.shape
        size, channels = size or (rows, columns), channels or own_channels
        fit = fit or fit_like(start.preprocessing, name)
    with out.reading() as progress:
        sets = load(
            name,
            size=size,
            fit=fit,
            channels=channels,
            group_by=options["group_by"],
            strict=options["strict"],
            progress=progress,
            notes=unheard,
        )
    said: list[str] = []
    if start is not None:  # before what evaluates is chosen, so that both have their classes in one order
        start, sets = fitted(start, sets, said.append)
    part, split = evaluating_part(sets, options["validation_fraction"], options["seed"], start)
    _tell_images(out, name, sets)
    notes = [*evaluating.without_lists(sets.notes), *said]
    out.notes(notes)
    out.skipped(sets.skipped)
    train = sets.train
    text: str | None
    new_head = start is not None and wanted == "auto" and not knows(start, train)
    if start is not None and new_head:
        head = with_new_head(start, len(train.classes), options["cut"], options["finetune"])
        _tell_new_head(out, options["start"], head.graph, first=head.stages > 0)
    else:
        if start is not None and wanted == "auto":
            graph, text = start.graph, start.network
        else:
            preset, budget, threads = (options[name] for name in ("preset", "budget", "threads"))
            effort = USUAL
            if wanted == "auto":
                effort = effort_kept(keeper, train, preset, budget, threads, "effort of the command")
            graph, wanted = network_for(wanted, (train.channels, *train.size), len(train.classes), effort=effort)
            text = wanted
        _tell_network(out, graph, text, chosen=start is None and options["network"] in (None, "auto"))
    only = tuple((pattern, part.matching(pattern)) for pattern in options["only"])
    return Prepared(name, sets, wanted, start, part, split, only, notes)


def fit(out: Output, prepared: Prepared, options: Mapping[str, Any], keeper: Keeper) -> Model:
    """Train, and show the progress.

    Parameters
    ----------
    out : Output
    prepared : Prepared
    options : mapping
        Those of the command.
    keeper : Keeper

    Returns
    -------
    Model
    """

    label = itertools.chain(["Training"], itertools.repeat(""))

    def say(note: str) -> None:
        # Images and network have been shown already.
        if note not in prepared.sets.notes and not note.startswith("Network"):
            prepared.notes.append(note)
            out.tell(next(label), note)

    with training_progress(out) as progress:
        model = lanewise.train(
            prepared.sets,
            network=prepared.network,
            start=prepared.start,
            progress=progress,
            notes=say,
            verbose=0,
            checkpoint=keeper,
            **{key: value for key, value in passed_on(options).items() if key not in (*SETTLED, *READING)},
        )
    out.tell("Trained", _trained(model), "yellow" if model.provenance["interrupted"] else None)
    if (choice := _best_and_last(model)) is not None:
        out.tell("", choice)
    return model


def evaluate(prepared: Prepared, model: Model) -> Evaluation:
    """How good the model is on the images kept for that."""
    folds = cross_validated(model)
    if folds is not None and prepared.split != "test":
        return folds
    images, split = called(model, prepared.evaluated_by, prepared.split)
    prepared.notes.extend(note for note in images.notes if note not in prepared.evaluated_by.notes)
    return evaluate_images(model, images, split=split)


def with_figures(model: Model, evaluation: Evaluation) -> Model:
    """The model with its accuracy in its provenance, and on how many images of which kind it was measured."""
    figures = {"split": evaluation.split, "images": evaluation.count, "accuracy": evaluation.accuracy}
    return replace(
        model, provenance={**model.provenance, "evaluated": {**figures, "interval": list(evaluation.interval)}}
    )


def report(
    out: Output,
    prepared: Prepared,
    model: Model,
    evaluation: Evaluation,
    saved: Saved,
    began: float,
    page: Path | None = None,
    new_page: bool = True,
) -> None:
    """Print how accurate the model is, where it is, and what to try next.

    Parameters
    ----------
    out : Output
    prepared : Prepared
    model : Model
    evaluation : Evaluation
    saved : Saved
    began : float
        When the command began, by `time.perf_counter`.
    page : Path, optional
        Where to write a report on the model.
    new_page : bool
        Choose another name rather than replace a page.
    """
    asked = () if evaluation.split == "folds" else prepared.only
    only = [(pattern, evaluate_images(model, images, split=evaluation.split)) for pattern, images in asked]
    out.blank()
    evaluating.accuracy(out, evaluation)
    for pattern, one in only:
        evaluating.accuracy(out, one, f"  {shown(pattern)}")
    if not out.quiet:
        out.result("", _honestly(evaluation))
        if evaluation.split != "folds" and (
            prepared.split != evaluation.split or evaluation.count != len(prepared.evaluated_by)
        ):
            out.result("", prepared.notes[-1])
    evaluating.details(out, evaluation)
    out.blank()
    where = shown(saved.path)
    out.result("Saved", f"{where} ({file_size(saved.path.stat().st_size)})", "bold")
    if page is not None:
        reporting.save_page(out, _page(out, prepared, model, saved), page, new=new_page)
    if not out.quiet and not out.as_json:
        out.tell("Try next", f"lanewise predict {quoted(saved.path)} IMAGE...")
        out.tell("", f"lanewise inspect {quoted(saved.path)}")
    provenance = model.provenance
    out.finish(
        {
            **evaluation.to_json(),
            "only": [{"pattern": pattern, **_brief(one)} for pattern, one in only],
            "images": shown(prepared.name),
            "network": model.network,
            "parameters": model.graph.parameter_count,
            "model": where,
            "report": None if page is None else shown(page),
            "seconds": provenance["seconds"],
            "total_seconds": round(time.perf_counter() - began, 3),
            **{
                key: provenance.get(key)
                for key in (
                    "epochs",
                    "images_per_second",
                    "seed",
                    "interrupted",
                    "learning_rate",
                    "learning_rate_curve",
                    "setbacks",
                )
            },
            "history": model.history,
            "notes": prepared.notes,
            "skipped": skipped_json(prepared.sets.skipped),
        }
    )


def end(out: Output, model: Model, keeper: Keeper) -> None:
    """All is saved: the checkpoint goes, unless the user ended training and named it, to go on some other time.

    Parameters
    ----------
    out : Output
    model : Model
    keeper : Keeper
    """
    if not model.provenance["interrupted"]:
        keeper.remove()
    elif keeper.about and keeper.asked:
        out.tell("Resume", keeper.command)


def _page(out: Output, prepared: Prepared, model: Model, saved: Saved) -> str:
    from lanewise.report.page import parts_of, report_html

    parts = parts_of(prepared.sets, model)
    images, split = called(model, prepared.evaluated_by, prepared.split)
    with out.reading("comparing") as progress:
        return report_html(model, images, split, parts, saved.path.name, progress)


def _tell_images(out: Output, name: str | ImageFiles, sets: ImageSets) -> None:
    train = sets.train
    colour = {1: "grey", 3: "colour"}.get(train.channels, plural(train.channels, "channel"))
    size = f"{train.size[0]}x{train.size[1]}"
    out.tell("Images", f"{shown(name)}: {size}, {colour}, {plural(len(train.classes), 'class')}")
    if len(train.classes) <= MOST_CLASSES:
        counts = zip(train.classes, train.counts(), strict=True)
        out.tell("", ", ".join(f"{shown(label)} ({count:,})" for label, count in counts))
    else:
        out.tell("", f"{min(train.counts()):,} to {max(train.counts()):,} of each class")
    parts = [plural(len(train), "training image")]
    if sets.validation is not None:
        parts.append(plural(len(sets.validation), "validation image"))
    if sets.test is not None:
        parts.append(plural(len(sets.test), "test image"))
    out.tell("", ", ".join(parts))


def _tell_network(out: Output, graph: Graph, text: str | None, *, chosen: bool) -> None:
    out.tell("Network", text or f"{len(graph.nodes)} nodes, from elsewhere")
    if chosen:
        out.tell("", "(the default for such images: copy it, change it, and give it with --network)")
    shapes = [shape(node.shape) for node in graph.nodes]
    changes = [one for n, one in enumerate(shapes) if n == 0 or one != shapes[n - 1]]
    straight = all(node.inputs == (n,) for n, node in enumerate(graph.nodes[1:]))
    if straight and len(changes) <= MOST_SHAPES:
        out.tell("", " -> ".join(changes))
    out.tell("", connectedness(graph))


def _tell_new_head(out: Output, start: str, graph: Graph, first: bool) -> None:
    """What training on the features of another model is, without the hundred layers of it."""
    dense = next(node for node in reversed(graph.nodes) if isinstance(node.layer, Dense))
    (features,) = graph.nodes[dense.inputs[0]].shape
    head = ", ".join(layer_text(node.layer) for node in graph.nodes[-2:])
    out.tell("Network", f"{shown(start)} up to its {features:,} features, then {head}")
    weights = graph.parameter_count
    new = sum(prod(graph.parameters[place].shape) for place in graph.parameters_of(len(graph.nodes) - 2))
    out.tell("", f"{weights:,} weights and biases, of which the last {new:,} are trained{' first' if first else ''}")


def connectedness(graph: Graph) -> str:
    """How many weights a network has, and how many a fully connected one of the same shapes, in one line."""
    found = totals(summary(graph))
    own = f"{plural(found.weights, 'weight')} and {plural(found.biases, 'bias')}"
    trainable = found.learned_weights + found.learned_biases
    if trainable < found.weights + found.biases:
        own += f", of which {trainable:,} are trainable"
    if found.weights == 0:
        return "no weights: there is nothing to train"
    if found.dense_weights == found.weights:
        return f"{own}; all layers are fully connected"
    times = found.dense_weights / found.weights
    return (
        f"{own}; fully connected layers of the same shapes have {found.dense_weights:,} weights "
        f"({times:,.{1 if times < 9.95 else 0}f} times as many)"
    )


def _trained(model: Model) -> str:
    provenance = model.provenance
    epochs = plural(provenance["epochs"], "epoch")
    text = (
        f"{epochs} of {plural(provenance['images'], 'image')} in {duration(provenance['seconds'])}, "
        f"{provenance['images_per_second']:,} images/s"
    )
    if provenance["interrupted"]:
        return f"stopped by you after {text}; the best weights so far are kept"
    if provenance["stopped_early"]:
        text = f"{text}; stopped early because nothing improved any more"
    return text


def _best_and_last(model: Model) -> str | None:
    """Which epoch had the best weights, and the validation accuracy of it and of the last."""
    best = model.provenance["best_epoch"]
    measured = [record for record in model.history if record["validation_accuracy"] is not None]
    if not best or not measured:
        return None
    found = {record["epoch"]: f"{100 * record['validation_accuracy']:.1f} %" for record in measured}
    last = measured[-1]["epoch"]
    if best == last:
        return f"the last epoch was the best: validation accuracy {found[best]}"
    return (
        f"the weights are those of epoch {best}, the best by a smoothed curve: validation accuracy {found[best]}; "
        f"after the last epoch {found[last]}"
    )


def _honestly(evaluation: Evaluation) -> str:
    """What the figure is worth, by the images that gave it."""
    if evaluation.split == "test":
        return "on test images, which were not used in training"
    if evaluation.split == "validation":
        if evaluation.count >= MANY_HELD_OUT:
            return "on the validation images, which chose the best weights: expect slightly less on new images"
        return (
            f"on {plural(evaluation.count, 'validation image')}, which also chose the best weights: expect less on "
            "new images; the interval allows for it"
        )
    if evaluation.split == "folds":
        return "cross-validation: no image was evaluated by a network trained on it; the final model is trained on all"
    return "on the training images: this says nothing about new images"


def _brief(evaluation: Evaluation) -> dict[str, Any]:
    record = evaluation.to_json()
    return {key: record[key] for key in ("count", "correct", "accuracy", "interval", "loss")}
