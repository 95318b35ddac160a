"""`lanewise bench`: compare speeds with other frameworks, on the user's processor and with the user's network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from lanewise.cli.options import image_shape, json_option, seconds

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from lanewise.bench.nets import Net
    from lanewise.bench.race import Entry
    from lanewise.bench.tables import Table
    from lanewise.bench.versus import Versus
    from lanewise.cli.output import Output

IMAGE = (3, 32, 32)

DISTRIBUTIONS = {"torch": "torch", "keras": "keras tensorflow", "jax": "jax", "onnxruntime": "onnxruntime"}
"""What pip is asked for."""


@click.command()
@click.argument("network", default="auto")
@click.option(
    "--input",
    "image",
    callback=image_shape,
    metavar="SHAPE",
    help="Shape of the images, like 30x30x3.  [default: 32x32x3]",
)
@click.option(
    "--classes", type=click.IntRange(2), default=10, metavar="N", show_default=True, help="Number of classes."
)
@click.option("--batch", type=click.IntRange(1), default=128, metavar="N", show_default=True, help="Batch size.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Number of threads.  [default: all processors]")
@click.option(
    "--seconds",
    "budget",
    callback=seconds,
    default="30s",
    metavar="TIME",
    show_default=True,
    help="How long to measure, not counting the start-up of the frameworks.",
)
@json_option
def bench(
    network: str,
    image: tuple[int, int, int] | None,
    classes: int,
    batch: int,
    threads: int | None,
    budget: float,
    as_json: bool,
) -> None:
    """Compare the speed of Lanewise with that of the frameworks installed on this computer.

    NETWORK is the text of a network, or "auto" for the default network, or one of lenet, signboard, mid, wide, resnet8,
    resnet8bn, resnet20, mobile, photo and airbench.
    PyTorch, Keras on TensorFlow and JAX, if installed, run the same training steps from the same weights, and ONNX
    Runtime predicts with the same model file. They take turns, so that other load on the computer slows all of them
    alike. Where Lanewise is slower, it says so. The images are random: only speed is measured.
    """
    from lanewise.bench import versus
    from lanewise.bench.environment import Environment
    from lanewise.cli.output import open_output
    from lanewise.target import default_threads

    net = chosen_net(network, image, classes)
    most = default_threads()
    if threads is not None and threads > most:
        raise click.BadParameter(f"{threads} is more than the {most} processors there are.", param_hint="--threads")
    threads = threads or most
    out = open_output(as_json)
    out.tell("Network", net.text)
    channels, rows, columns = net.shape
    out.tell("", f"images {rows}x{columns}x{channels}, {net.classes} classes, batch {batch}, threads: {threads}")
    environment = Environment.now()
    with _progress(out) as say:
        found = versus.measure(net, batch=batch, threads=threads, seconds=budget, say=say)
    environment = environment.with_versions(found.versions)
    for n, sentence in enumerate(environment.sentences):
        out.tell("" if n else "Machine", sentence)
    show(out, found, threads)
    given = {"threads": threads, "batch": batch, "machine": environment.machine, "versions": environment.versions}
    out.finish(given | to_json(found))


def chosen_net(network: str, image: tuple[int, int, int] | None, classes: int) -> Net:
    """Find the net of a name, or build the one described by a text.

    Parameters
    ----------
    network : str
        A name of `NETS`, "auto", or the text of a network.
    image : (channels, rows, columns), optional
    classes : int

    Raises
    ------
    NetworkError
        The text is not a valid network for such images.
    """
    from lanewise.bench.nets import NETS, Net
    from lanewise.training.recipe import network_for

    name = network.strip()
    known = NETS.get(name)
    text, shape = (known.text, image or known.shape) if known else (network, image or IMAGE)
    _, full = network_for(text, shape, classes)
    return Net(name if known or name == "auto" else "network", full, shape, classes)


@contextmanager
def _progress(out: Output) -> Iterator[Any]:
    """Show what is being measured, on a terminal."""
    if not out.live:
        yield lambda sentence: None
        return
    with out.console.status("") as status:
        yield status.update


def show(out: Output, found: Versus, threads: int) -> None:
    """Print a table for each race, Lanewise's own figures, and the verdicts.

    Parameters
    ----------
    out : Output
    found : Versus
    threads : int
    """
    from lanewise.bench.tables import figure, latency_table, race_table, verdicts
    from lanewise.wording import duration

    for entries, table in (
        (found.train, race_table(found.train, found.net.name, "Training")),
        (found.infer, race_table(found.infer, found.net.name, "Predicting")),
        (found.latency, latency_table(found.latency, found.net.name, "One image")),
    ):
        if len(entries) > 1:
            out.blank()
            out.result(table.title, "on one thread" if found.latency is entries else f"threads: {threads}")
            out.table(drawn(table))
    out.blank()
    speeds = [found.images_per_second(entries) for entries in (found.train, found.infer, found.latency)]
    out.result("Lanewise", f"training {figure(speeds[0])} images/s")
    out.result("", f"predicting {figure(speeds[1])} images/s; one image in {figure(1e6 / speeds[2])} µs")
    again = duration(found.cached.build)
    out.result("", f"compiling {duration(found.cold.build)} the first time, {again} from then on")
    said = [sentence for doing, entries in _races(found) for sentence in verdicts(entries, doing)]
    for n, sentence in enumerate(said):
        out.result("" if n else "Verdict", sentence, "yellow" if "LOSES" in sentence else None)
    if any(not entry.peer.exact for entry in found.train):
        out.result("", "bfloat16 keeps 8 bits of every factor instead of 24, and is not counted as best.")
    if found.absent:
        out.tell("Not installed", f"{', '.join(found.absent)}; to compare with one: {_advice(found.absent)}")


def _races(found: Versus) -> list[tuple[str, list[Entry]]]:
    return [("training", found.train), ("predicting", found.infer), ("one image", found.latency)]


def _advice(absent: tuple[str, ...]) -> str:
    return " or ".join(f"pip install {DISTRIBUTIONS[framework]}" for framework in absent[:2])


def drawn(table: Table) -> RichTable:
    """The table for a terminal."""
    from lanewise.cli.output import laid_out

    result = laid_out(table.columns, table.rows, words=table.columns[:1])
    result.columns[-1].no_wrap = False  # for who could not run, it says why
    return result


def to_json(found: Versus) -> dict[str, Any]:
    """The same as JSON."""
    from lanewise.bench.race import as_record, lines
    from lanewise.bench.tables import loses_to

    record: dict[str, Any] = {
        "network": found.net.text,
        "input": [*found.net.shape[1:], found.net.shape[0]],
        "classes": found.net.classes,
        "absent": found.absent,
        "compile_seconds": {"cold": found.cold.build, "cached": found.cached.build},
        "first_training": {"cold": asdict(found.cold), "cached": asdict(found.cached)},
    }
    for doing, entries in _races(found):
        by_entry = {line.entry: line for line in lines(entries, found.net.name)}
        record[doing.replace(" ", "_")] = {
            "images_per_second": found.images_per_second(entries),
            "results": [as_record(entry, by_entry.get(entry)) for entry in entries],
            "loses_to": loses_to(entries),
        }
    return record
