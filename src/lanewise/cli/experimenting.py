"""What `vary` and `compare` share: their options, their images, where their journal lies."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.table import Table

from lanewise.caching import cache_folder
from lanewise.cli import evaluating
from lanewise.cli.options import INTERRUPTED, check_apart, check_place, image_files, passed_on
from lanewise.cli.output import Output, laid_out, open_output, with_former_keys
from lanewise.data.images import ImageSets
from lanewise.data.load import load
from lanewise.data.source import ImageFiles
from lanewise.errors import MissingPackageError, OptionError
from lanewise.experiments.compare import Comparison
from lanewise.experiments.trial import Roles, images_to_evaluate, prepared, settings_of
from lanewise.experiments.vary import Grid
from lanewise.figures import format_of, require_matplotlib
from lanewise.model_file.metadata import to_json
from lanewise.notes import unheard
from lanewise.saving import write_whole
from lanewise.training.options import FitOptions
from lanewise.wording import plural, shape, shown

F = TypeVar("F", Comparison, Grid)

HEADS = (b'{"images": ', b'{"pictures": ')
"""How results begin: those of today, and of version 0.1.0."""


def conduct(
    name: str,
    images: str,
    options: Mapping[str, Any],
    run: Callable[..., F],
    watch: Callable[[Output, int], AbstractContextManager[Callable[[Any], None]]],
    show: Callable[[Output, F], None],
    networks: str = "",
    **asked: Any,
) -> None:
    """Run an experiment as a command: read the images, keep a journal, show what was found, and write what was asked.

    Parameters
    ----------
    name : str
        "compare" or "vary": files are called so.
    images : str
        As the user named them.
    options : mapping
        Those of `experiment_options`, `--json` and `--quiet`.
    run : callable
        The experiment: takes images, `seeds`, `folder`, `progress` and options of training.
    watch : callable
        Given the output and how many images evaluate, shows progress; what it enters is handed to `run`.
    show : callable
        Shows what was found.
    networks : str
        What is said of them before they are trained.
    **asked
        What the record for JSON says besides.
    """
    output, plot, force = options["output"], options["plot"], options["force"]
    check_apart(output=output, plot=plot)
    if plot is not None:  # what could not be drawn after hours of training is refused before them
        format_of(plot)
        require_matplotlib()
        check_place(plot, force)
    check_folder(output, name, force)
    out = open_output(options["as_json"], quiet=options["quiet"])
    options = dict(options)
    sets, roles = read(out, image_files(images, options), options)
    chosen = passed_on(options, FitOptions)
    folder = journal_folder(output, sets, chosen)
    if networks:
        out.tell("Networks", networks)
    try:
        with nullcontext() if out.quiet else watch(out, roles.count) as say:
            found = run(sets, seeds=range(options["seeds"]), folder=folder, progress=say, **chosen)
    except KeyboardInterrupt:
        where = f": {shown(folder)} keeps what is done, and the same command resumes" if folder else ""
        click.echo(f"lanewise: stopped{where}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    found = replace(found, evaluating=roles)
    if found.recalled:
        out.tell("Kept", f"{plural(found.recalled, 'training')} had been done before: not repeated")
    if found.rows:
        out.blank()
    show(out, found)
    record = {"images": images, **asked, **found.to_json()}
    image = keep(out, name, None if output is None else folder, plot, record, found.save_plot) if found.rows else None
    out.finish({**record, "folder": None if folder is None else str(folder), "image": image})


def check_folder(output: str | None, name: str, force: bool) -> None:
    """Refuse, before any work, a folder that holds files of the same names from elsewhere.

    Parameters
    ----------
    output : str or None
        The folder that was asked for.
    name : str
        "compare" or "vary", of which the files are named.
    force : bool
        Let files be replaced.

    Raises
    ------
    OptionError
        It is a file, or files in it would be replaced.
    """
    if output is None:
        return
    folder = Path(output)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise OptionError(f"{shown(output)} is a file: -o takes a folder, which is made where there is none")
    if force or os.path.exists(folder / f"{name}.jsonl") or _begins_as_results(folder / f"{name}.json"):
        return
    for path in (folder / f"{name}.json", folder / f"{name}.svg"):
        if os.path.lexists(path):
            raise OptionError(
                f"{shown(path)} exists and is not of an earlier run: give another folder, or --force to replace it"
            )


def _begins_as_results(path: Path) -> bool:
    """Whether a file is one that `keep` wrote."""
    try:
        with open(path, "rb") as file:
            return file.read(max(map(len, HEADS))).startswith(HEADS)
    except OSError:
        return False


def read(out: Output, name: str | ImageFiles, options: Mapping[str, Any]) -> tuple[ImageSets, Roles]:
    """Read the images, print what there is, and choose the evaluation set.

    Parameters
    ----------
    out : Output
    name : str or ImageFiles
        The images, as `lanewise.train` takes them.
    options : mapping
        Those of the command; those on reading and "validation_fraction" are used.

    Returns
    -------
    sets : ImageSets
        With the evaluation set as the test set.
    roles : Roles
    """
    how = {one: options[one] for one in ("size", "channels", "fit", "group_by")}
    with out.reading() as progress:
        loaded = load(name, **how, progress=progress, notes=unheard)
    said: list[str] = []
    sets, roles = prepared(loaded, None, None, options["validation_fraction"], say=said.append)
    train, test = sets.train, images_to_evaluate(sets)
    images = shape((train.channels, *train.size))
    out.tell("Images", f"{shown(name)}: {images}, {plural(len(train.classes), 'class')}")
    chosen = f", {len(sets.validation):,} for validation" if sets.validation is not None else ""
    part = {"test": "test", "validation": "validation", "kept back": "held-out"}[roles.evaluated_by]
    out.tell("", f"{len(train):,} training images{chosen}, evaluated on {len(test):,} {part} images")
    out.notes([*evaluating.without_lists(sets.notes), *said])
    out.skipped(sets.skipped)
    return sets, roles


def journal_folder(output: str | None, sets: ImageSets, options: Mapping[str, Any]) -> Path | None:
    """Choose the folder of the journal and make it.

    Parameters
    ----------
    output : str or None
        The folder that was asked for; by default one in the cache that belongs to the images and options.
    sets : ImageSets
    options : mapping
        Those that go to `lanewise.train`.

    Returns
    -------
    Path or None
        None if the cache is not writable.

    Raises
    ------
    OptionError
        The folder that was asked for cannot be made.
    """
    if output is None:
        key = hashlib.sha256(json.dumps(settings_of(sets, options)).encode()).hexdigest()[:16]
        folder, mode = cache_folder("experiments") / key, 0o700
    else:
        folder, mode = Path(output), 0o777
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        if output is None:
            return None
        raise OptionError(f"{shown(output)} cannot be made: {error.strerror}") from None
    return folder


def fitting(
    out: Output,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: Sequence[str],
    narrow: Sequence[Sequence[str]],
) -> Iterator[Table]:
    """Lay out one table of all columns, or on a narrow terminal several of some columns.

    Parameters
    ----------
    out : Output
    heads, rows, words
        As for `laid_out`.
    narrow : sequence of sequences of str
        The heads of each table on a narrow terminal.
    """
    whole = laid_out(heads, rows, words)
    if out.fits(whole):
        yield whole
        return
    for wanted in narrow:
        kept = [heads.index(head) for head in wanted]
        yield laid_out(wanted, [[row[n] for n in kept] for row in rows], words)


def keep(
    out: Output,
    name: str,
    folder: Path | None,
    plot: str | None,
    record: Mapping[str, Any],
    draw: Callable[[Path], None],
) -> str | None:
    """Write the results as JSON, and draw the plot.

    Parameters
    ----------
    out : Output
    name : str
        "compare" or "vary", of which the files are named.
    folder : Path or None
        Where the results go; None unless a folder was asked for.
    plot : str or None
        The file of the plot; by default `name`.svg in the folder, if Matplotlib is installed.
    record : mapping
        The results, as values that JSON can hold.
    draw : callable
        Draws the plot into a file.

    Returns
    -------
    str or None
        The file of the plot, if one was drawn.

    Raises
    ------
    OptionError
        A file cannot be written.
    """
    image = Path(plot) if plot is not None else None
    if folder is not None:
        try:
            write_whole(folder / f"{name}.json", (to_json(with_former_keys(record)) + "\n").encode())
        except OSError as error:
            raise OptionError(f"{shown(folder / name)}.json cannot be written: {error.strerror}") from None
        out.result("Results", shown(folder / f"{name}.json"))
        try:
            require_matplotlib()
            image = image or folder / f"{name}.svg"
        except MissingPackageError as error:
            out.tell("Image", f"not drawn: {error}")
    if image is None:
        return None
    draw(image)
    out.result("Image", shown(image))
    return str(image)
