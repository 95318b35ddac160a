"""The report: one HTML file that says what a network learned, how good it is, and what happens inside it.

    write_report(model, "photos/", "report.html")

Everything stands in the file: nothing is fetched, so it opens offline, can be sent by mail and kept beside the model.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lanewise.data.images import Images, ImageSets
from lanewise.data.load import Source, fit_like, load
from lanewise.data.reading import FilesProgress
from lanewise.errors import DataError, MissingPackageError, OptionError
from lanewise.evaluation.evaluate import images_for
from lanewise.evaluation.result import TITLES
from lanewise.evaluation.unseen import called, fit_to_evaluate, split_again
from lanewise.foreign import scaled_by_labels
from lanewise.model import Model
from lanewise.network.summary import summary, totals
from lanewise.notes import unheard
from lanewise.pages import shipped_text, template
from lanewise.pixel_scale import scaled
from lanewise.report import plots
from lanewise.report.accuracy import accuracy_of, weights_kept
from lanewise.report.augmented import augmented_images
from lanewise.report.data import data_figures
from lanewise.report.drawing import network_rows
from lanewise.report.live import HERE, Example, live_section
from lanewise.report.seen import choose, learned_filters, look
from lanewise.report.similar import trained_among
from lanewise.saving import write_new, write_whole
from lanewise.wording import listed

NEEDED = {"jinja2": "jinja2", "matplotlib": "matplotlib", "sklearn": "scikit-learn"}
"""Modules that only a report needs, and the packages that bring them."""

MOST_BYTES = 4_900_000
"""Of a report; fewer images are looked into where more would make it larger."""

LOOKED_INTO = (4, 3, 2, 1, 0)
"""How many images to look into: the first number that fits."""

OFFERED = 10
"""Images that the live part offers."""


def write_report(
    model: Model,
    source: Source | Images | ImageSets,
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    strict: bool = False,
    progress: FilesProgress | None = None,
) -> None:
    """Write a report about a model and labelled images as one HTML file.

    Parameters
    ----------
    model : Model
    source : path, "digits", (x, y), Images or ImageSets
        As `lanewise.evaluate` and `lanewise.train` take them. Of several parts, the test images are used; without
        them the validation images.
    path : path
        The HTML file; an older one is replaced.
    split : {"test", "validation", "train", "all"}, optional
        Which part is used instead.
    strict : bool
        Refuse a folder if one of its files cannot be used.
    progress : callable, optional
        Called with (images read, images in all).

    Raises
    ------
    DataError
        The images cannot be used with this model.
    MissingPackageError
        A package that reports need is not installed.
    OptionError
        The file cannot be written.
    """
    check_installed()
    evaluated_by, part, parts = report_images(model, source, split=split, strict=strict, progress=progress)
    save_report(report_html(model, evaluated_by, part, parts), path)


def check_installed() -> None:
    """Raise, before hours are spent, if a package is missing, and say how to install it.

    Raises
    ------
    MissingPackageError
        It is not installed.
    """
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise MissingPackageError(f'a report needs {listed(missing)}: pip install "lanewise[report]"')


def report_images(
    model: Model,
    source: Source | Images | ImageSets,
    *,
    split: str | None = None,
    strict: bool = False,
    progress: FilesProgress | None = None,
) -> tuple[Images, str, dict[str, Images]]:
    """Find the evaluation set, and all sets of the data.

    Parameters
    ----------
    model : Model
    source : path, (images, labels), Images or ImageSets
    split : str, optional
        The evaluation set; by default the first of test, validation and train that there is.
    strict : bool
        Refuse files that cannot be used.
    progress : callable, optional
        Called with the number of files that are read, and of all.

    Returns
    -------
    images : Images
        The evaluation set.
    part : str
        What it is.
    parts : dict of str to Images
        All sets by name.

    Raises
    ------
    DataError
        There is no such set, or no labelled image.
    """
    if isinstance(source, Images):
        images, part = called(model, source, split) if split else fit_to_evaluate(model, source, None, "all")
        return images, part, {part: images}
    if isinstance(source, ImageSets):
        parts = parts_of(source, model)
        part = split or next(name for name in ("test", "validation", "train") if name in parts)
        if part not in parts:
            raise DataError(f"there are no {part} images; there are {' and '.join(parts)} images")
        images, kind = called(model, parts[part], part)
        if kind != part:  # all of them were trained on, or all were held out
            return images, kind, {kind: images}
        return images, part, {**parts, part: images}
    images, part = images_for(model, source, split=split, strict=strict, progress=progress)
    parts = {part: images}
    rows, columns, channels = model.preprocessing.shape
    bits = model.preprocessing.bits
    # Images that will do to evaluate by need not do to train on: then the report is about those that evaluate alone.
    with contextlib.suppress(DataError):
        fit = fit_like(model.preprocessing, source)
        sets = load(source, size=(rows, columns), channels=channels, bits=bits, fit=fit, notes=unheard)
        found = parts_of(sets, model)
        if part in found and all(one.classes == images.classes for one in found.values()):
            parts = found
    return images, part, parts


def parts_of(sets: ImageSets, model: Model) -> dict[str, Images]:
    """The sets by name. Of images that `model` was trained on, those held out are a set, too."""
    if sets.validation is None and sets.test is None:
        sets = split_again(model, sets.train) or sets
    # Compared with those that the model is evaluated by, so on the same scale.
    return {name: scaled(part, model.preprocessing) for name, part in sets.parts.items()}


def report_html(
    model: Model,
    images: Images,
    split: str,
    parts: Mapping[str, Images],
    title: str = "Report",
    progress: FilesProgress | None = None,
) -> str:
    """The report as text.

    Parameters
    ----------
    model : Model
    images : Images
        The evaluation set; `split` says what they are: "test", "validation", "train" or "all".
    parts : mapping of name to Images
        All of the data, for its section.
    title : str
        What the report is about, like the name of the model's file.
    progress : callable, optional
        Called with (images compared with all others, images in all).
    """
    model, _ = scaled_by_labels(model, images)  # said by whoever chose the images
    trained = None if split == "train" else trained_among(model, parts.get("train"))
    evaluated = accuracy_of(model, images, split, trained)
    assert images.labels is not None
    counts = summary(model.graph)
    data = data_figures(parts, split, progress)
    known: dict[str, Any] = {
        "title": title,
        "css": shipped_text(HERE, "page.css"),
        "model": model,
        "split": split,
        "accuracy_titles": TITLES,
        "held_out_curve": any(one.get("validation_loss") is not None for one in model.history),
        "kept": weights_kept(model),
        "data": data,
        "without_known": without(data.known, evaluated.probabilities, images),
        "size": " × ".join(map(str, model.preprocessing.shape)),
        "layers": network_rows(model.graph),
        "straight": all(node.inputs == (n,) for n, node in enumerate(model.graph.nodes[1:])),
        "totals": totals(counts),
        "evaluated": evaluated,
        "compared": 0 if trained is None else len(trained),
        "filters": learned_filters(model),
        "augmented": augmented_images(model, parts),
        "plots": _plots(model, evaluated),
    }
    live = live_section(model, [_example(images, n) for n in choose(images.labels, evaluated.probabilities, OFFERED)])
    page = template(HERE, "page.html.j2", percent=percent, number=number)
    text = ""
    for most in LOOKED_INTO:
        chosen = choose(images.labels, evaluated.probabilities, most) if most else []
        looked = [look(model, images, number) for number in chosen]
        text = page.render(known, looked=looked, live=live, tta=model.tta is not None)
        if len(text.encode("utf-8", "replace")) <= MOST_BYTES:
            break
    return text


def without(known: Sequence[int], probabilities: npt.NDArray[np.float32], images: Images) -> tuple[int, int] | None:
    """Count the images that the model was not trained on, and those of them that are classified correctly.

    Parameters
    ----------
    known : sequence of int
        Positions of images that are also in the training set.
    probabilities : (N, classes) float32
    images : Images
        N labelled images.

    Returns
    -------
    (count, correct) or None
        None if all or none are known.
    """
    if not known or len(known) == len(images):
        return None
    new = np.delete(np.arange(len(images)), known)
    right = probabilities.argmax(axis=1) == images.labels
    return len(new), int(np.count_nonzero(right[new]))


def _example(images: Images, number: int) -> Example:
    assert images.labels is not None
    return Example(images.pixels[number], images.classes[images.labels[number]], images.name(number))


def save_report(text: str, path: str | os.PathLike[str], *, new: bool = False) -> Path:
    """Write the page.

    Parameters
    ----------
    text : str
        HTML.
    path : path
    new : bool
        Choose another name rather than replace a file.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    OptionError
        It cannot be written.
    """
    try:
        # names of files may hold bytes that are no text
        data = text.encode("utf-8", "replace")
        if new:
            return write_new(path, data)
        write_whole(path, data)
        return Path(path)
    except OSError as error:
        raise OptionError(f"the report could not be written to {os.fspath(path)!r}: {error.strerror}") from None


def percent(share: float | None, decimals: int = 1) -> str:
    """A share as "98.3 %", or a dash where there is none. The space does not break."""
    return "–" if share is None else f"{100 * share:.{decimals}f}\u202f%"


def number(value: float) -> str:
    """A count as "81,172", or a dash for none."""
    return f"{value:,}" if value else "–"


def _plots(model: Model, evaluated: Any) -> dict[str, str]:
    from markupsafe import Markup

    drawn = {"reliability": plots.reliability(evaluated.calibration)}
    if len(model.history) > 1 and any(one.get("loss") is not None for one in model.history):
        drawn["loss"] = plots.curves(model.history, "loss", "Loss")
        if any(one.get("accuracy") is not None for one in model.history):
            drawn["accuracy"] = plots.curves(model.history, "accuracy", "Accuracy")
    if evaluated.roc is not None:
        drawn["roc"] = plots.roc_curve(evaluated.roc)
    return {name: Markup(svg) for name, svg in drawn.items()}
