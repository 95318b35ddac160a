"""An evaluation as people read it: the accuracy, a table of classes, the confusion matrix, the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from lanewise.cli.output import Output, laid_out
from lanewise.data.images import Images
from lanewise.evaluation.result import TITLES as ACCURACIES
from lanewise.evaluation.result import ClassFigures, Evaluation, Group, TopFigures
from lanewise.model import Model
from lanewise.wording import interval, percent, plural, shown

TITLES = ACCURACIES | {"folds": "Cross-validated"}  # as long as the column of labels has room for
"""What a figure is called, after the images that gave it."""

MOST_ROWS = 30
MOST_MATRIX = 12
MOST_SHOWN = 5


def accuracy(out: Output, evaluation: Evaluation, label: str | None = None) -> None:
    """Print the accuracy with its interval, and below it the top-N accuracy if there is one.

    Parameters
    ----------
    out : Output
    evaluation : Evaluation
    label : str, optional
        By default the name of the accuracy, like "Test accuracy".
    """
    out.result(label or TITLES[evaluation.split], figures(evaluation), "bold green")
    if evaluation.top is not None:
        out.result(f"Top-{evaluation.top.n} accuracy", figures(evaluation.top, evaluation.count), "green")


def figures(evaluation: Evaluation | Group | TopFigures, of: int = 0) -> str:
    """The accuracy in one line, like "98.3 %  (353 of 359; 95 % interval 96.4 to 99.2 %)"."""
    count = of if isinstance(evaluation, TopFigures) else evaluation.count
    return (
        f"{percent(evaluation.accuracy, count)}  ({evaluation.correct:,} of {count:,}; "
        f"95 % interval {interval(evaluation.interval, count)})"
    )


def abstention(out: Output, evaluation: Evaluation) -> None:
    """Say how many images are named if a model may abstain, how many of those are wrong, and what was promised."""
    found, count = evaluation.abstention, evaluation.count
    if found is None:
        return
    left = count - found.named
    out.result("Named", f"{percent(found.named / count, count)}  ({found.named:,} of {count:,}; {left:,} not named)")
    if found.named:
        out.result(
            "Wrong of those",
            f"{percent(found.error, found.named)}  ({found.wrong:,} of {found.named:,}; 95 % interval "
            f"{interval(found.interval, found.named)}; promised: at most {100 * found.promised:.2g} % on average)",
        )


def groups(out: Output, evaluation: Evaluation) -> None:
    """Say how many of the images that were held out, of new ones and of those trained on are right."""
    for group in evaluation.groups:
        out.result(f"  {group.name}", figures(group))
        if group.top is not None:
            out.result(f"    top {group.top.n}", figures(group.top, group.count))


def tell_images(
    out: Output, name: str, model: Model, images: Images, part: str, matching: str = "", more: Sequence[str] = ()
) -> list[str]:
    """Say which images evaluate a model, what is to be noted of both, and which files could not be used.

    Parameters
    ----------
    out : Output
    name : str
        What the user called the images.
    model : Model
    images : Images
    part : {"test", "validation", "train", "all"}
        The set that they are of.
    matching : str
        Which of them were chosen, as the end of a sentence.
    more : sequence of str
        Further notes.

    Returns
    -------
    list of str
        All notes.
    """
    what = {"all": "", "train": "training "}.get(part, f"{part} ")
    out.tell("Images", f"{shown(name)}: {plural(len(images), f'{what}image')}{matching}")
    notes = [*model.notes, *without_lists(images.notes), *more]
    out.notes(notes)
    out.skipped(images.skipped)
    return notes


def without_lists(notes: Sequence[str]) -> list[str]:
    """Notes about images, but for those on skipped files: they are listed apart, and all of them."""
    return [note for note in notes if " skipped: " not in note]


def details(out: Output, evaluation: Evaluation) -> None:
    """Show what is behind the accuracy."""
    if out.as_json or out.quiet:
        return
    _show(out, *_classes(evaluation))
    if evaluation.correct == evaluation.count:
        out.blank()
        out.result("Mistakes", "none")
        return
    matrix = _matrix(evaluation) if len(evaluation.classes) <= MOST_MATRIX else None
    if matrix is not None and out.fits(matrix):
        _show(out, "Confusion matrix: rows are true classes, columns are predicted classes", matrix)
    else:
        _show(out, *_confusions(evaluation))
    if evaluation.mistakes:
        _show(out, *_mistakes(evaluation))


def _show(out: Output, title: str, table: Table) -> None:
    out.blank()
    out.console.print(title, style="bold")
    out.table(table)


def _classes(evaluation: Evaluation) -> tuple[str, Table]:
    rows, title = list(evaluation.per_class), "Classes"
    if len(rows) > MOST_ROWS:
        title = f"Classes: the {MOST_ROWS} hardest of {len(rows):,}"
        rows = sorted((row for row in rows if row.count), key=lambda row: row.f1 or 0.0)[:MOST_ROWS]
    cells = [(shown(row.label), f"{row.count:,}", *_shares(row)) for row in rows]
    return title, laid_out(("class", "images", "precision", "recall", "F1"), cells, words=("class",))


def _shares(row: ClassFigures) -> tuple[str, ...]:
    return tuple("-" if share is None else f"{100 * share:.1f} %" for share in (row.precision, row.recall, row.f1))


def _matrix(evaluation: Evaluation) -> Table:
    names = list(map(shown, evaluation.classes))
    rows: list[list[str | Text]] = [
        [name, *(_cell(int(count), n == m) for m, count in enumerate(evaluation.confusion[n]))]
        for n, name in enumerate(names)
    ]
    return laid_out(("", *names), rows, words=("",))


def _cell(count: int, right: bool) -> Text:
    if right:
        return Text(f"{count:,}", "green")
    return Text(f"{count:,}", "bold red") if count else Text(".", "dim")


def _confusions(evaluation: Evaluation) -> tuple[str, Table]:
    found = evaluation.confusions()
    rows = [(shown(true), shown(taken), f"{count:,}") for true, taken, count in found[:MOST_MATRIX]]
    words = ("true class", "predicted")
    return f"The most frequent of {plural(len(found), 'confusion')}", laid_out((*words, "times"), rows, words)


def _mistakes(evaluation: Evaluation) -> tuple[str, Table]:
    wrong, worst = evaluation.count - evaluation.correct, evaluation.mistakes[:MOST_SHOWN]
    title = f"The {len(worst)} most confident of {wrong:,} mistakes" if wrong > len(worst) else "Mistakes"
    words, numbers = ("image", "true class", "predicted"), ["probability"]
    if evaluation.top is not None:
        numbers.append("rank of true class")
    rows = []
    for one in worst:
        name = f"number {one.image}" if isinstance(one.image, int) else shown(one.image)
        rank = [] if evaluation.top is None else [f"{one.rank:,}"]
        rows.append((name, shown(one.true), shown(one.predicted), f"{100 * one.probability:.1f} %", *rank))
    return title, laid_out((*words, *numbers), rows, words)
