"""The command line of the benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from benchmarks import environment, options
from benchmarks.learners import LEARNERS, ODD, Recipe
from benchmarks.report import Report, show
from benchmarks.svg import Chart, document
from lanewise.bench.environment import Environment
from lanewise.bench.nets import NETS
from lanewise.bench.peers import FRAMEWORKS, PEERS, Peer, versions_of
from lanewise.bench.race import Settings


def _say(sentence: str) -> None:
    """Progress goes to standard error; figures alone go to standard output."""
    print(sentence, file=sys.stderr, flush=True)


def chosen_peers(names: tuple[str, ...]) -> list[Peer]:
    """The peers called so, or of frameworks called so; the name of a framework stands for all its modes."""
    return [peer for peer in PEERS if peer.name in names or peer.framework in names]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure Lanewise, beside other frameworks where they do the same work."""


@main.command()
@options.nets()
@click.option(
    "--peers",
    type=options.Names(tuple(dict.fromkeys((*FRAMEWORKS, *(peer.name for peer in PEERS))))),
    default=",".join(FRAMEWORKS),
    show_default=True,
    help=f"Frameworks, or single modes: {', '.join(peer.name for peer in PEERS)}.",
)
@options.threads()
@options.batch
@options.rounds()
@options.burst()
@click.option("--install", is_flag=True, help="First install the frameworks chosen, which takes gigabytes.")
@options.peers_env
@options.output
def train(
    nets: tuple[str, ...],
    peers: tuple[str, ...],
    threads: int,
    batch: int,
    rounds: int,
    burst: float,
    install: bool,
    peers_env: Path,
    **output: Any,
) -> None:
    """Full training steps, images/s: Lanewise, PyTorch, Keras and JAX in turn, in one run."""
    from benchmarks import train

    before = Environment.now()
    racers = chosen_peers(peers)
    if install:
        environment.install(peers_env, tuple(dict.fromkeys(peer.framework for peer in racers)), _say)
    report, versions = train.measure(nets, racers, peers_env, Settings(threads, batch, rounds, burst), _say)
    _show(report, before.with_versions(versions), **output)


@main.command()
@options.nets()
@click.option("--batches", type=options.Numbers(), default="128,1024", show_default=True, help="Images a call.")
@options.threads()
@options.rounds(5)
@options.burst(0.3)
@options.output
def infer(
    nets: tuple[str, ...], batches: tuple[int, ...], threads: int, rounds: int, burst: float, **output: Any
) -> None:
    """Predictions of many images, images/s, in turn with ONNX Runtime on the same model file."""
    from benchmarks import infer

    before = _with_onnxruntime()
    settings = Settings(threads, batches[0], rounds, burst, "infer")
    _show(infer.throughput(infer.measure(nets, batches, settings, _say), settings), before, **output)


@main.command()
@options.nets()
@options.threads(1)
@options.rounds(9)
@options.burst(0.3)
@options.output
def latency(nets: tuple[str, ...], threads: int, rounds: int, burst: float, **output: Any) -> None:
    """One image after the other, µs a call, in turn with ONNX Runtime on the same model file."""
    from benchmarks import infer

    before = _with_onnxruntime()
    settings = Settings(threads, 1, rounds, burst, "infer")
    _show(infer.latency(infer.measure(nets, (1,), settings, _say), settings), before, **output)


@main.command()
@click.option("--images", type=click.IntRange(0), default=200_000, show_default=True, help="Small files; 0 for none.")
@click.option(
    "--gigabytes",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Large images, by what they decode to; 0 for none.",
)
@click.option(
    "--place",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/tmp",
    show_default=True,
    help="Folder on a disk with room for all of it, which is removed again.",
)
@click.option("--keep", is_flag=True, help="Leave the images there, and take those that are.")
@options.threads()
@options.peers_env
@options.output
def files(images: int, gigabytes: float, place: Path, keep: bool, threads: int, peers_env: Path, **output: Any) -> None:
    """Folders of many files, and of more than memory holds: time and memory beside torchvision's ImageFolder."""
    from benchmarks import files

    before = Environment.now()
    _show(
        files.measure(images, gigabytes, threads, place, keep, environment.python_of(peers_env), _say), before, **output
    )


@main.command()
@click.option(
    "--files",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the files that torchvision's and timm's networks were exported to.",
)
@click.option("--nets", default="", help="Names separated by commas, like resnet18; all by default.")
@click.option("--export", is_flag=True, help="First export them, in the environment of --peers-env.")
@options.threads()
@click.option(
    "--burst", type=click.FloatRange(0), default=0, show_default=True, help="Seconds a turn; 0 measures no speeds."
)
@click.option(
    "--page",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the table into this page, like docs/foreign.md, in place of the one it has.",
)
@options.peers_env
@options.output
def foreign(
    folder: Path,
    nets: str,
    export: bool,
    threads: int,
    burst: float,
    page: Path | None,
    peers_env: Path,
    **output: Any,
) -> None:
    """Networks from elsewhere: which are read, and how far from ONNX Runtime they are; with --burst, images/s."""
    from benchmarks import foreign

    before, names = _with_onnxruntime(), tuple(filter(None, nets.split(",")))
    if export:
        foreign.export(environment.python_of(peers_env), folder, names)
    report = foreign.measure(folder, names, threads, burst, _say)
    _show(report, before, **output)
    if page:
        foreign.put_into(page, report, before)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--batches", type=options.Numbers(), default="1,8,32", show_default=True, help="Images that ONNX Runtime takes."
)
@click.option("--images", type=click.IntRange(1), default=32, show_default=True, help="Images a turn.")
@options.threads()
@options.rounds()
@options.output
def features(
    files: tuple[Path, ...], batches: tuple[int, ...], images: int, threads: int, rounds: int, **output: Any
) -> None:
    """Photographs through networks of ONNX FILES from elsewhere, many and one, in turn with ONNX Runtime."""
    from benchmarks import features

    if images < max(batches):
        raise click.UsageError(f"a turn of {images} images has no batch of {max(batches)}: give --images or --batches")
    before = _with_onnxruntime()
    _show(features.measure(files, batches, images, threads, rounds, _say), before, **output)


@main.command()
@options.nets()
@options.threads()
@options.batch
@options.rounds()
@options.burst()
@options.output
def threads(nets: tuple[str, ...], threads: int, batch: int, rounds: int, burst: float, **output: Any) -> None:
    """What more threads bring: the same training in turn with one thread and with several."""
    from benchmarks import threads as measuring

    if threads == 1:
        raise click.UsageError("one thread is what the others are compared with: give --threads 2 or more")
    before = Environment.now()
    _show(measuring.measure(nets, Settings(threads, batch, rounds, burst), _say), before, **output)


@main.command()
@click.option("--net", type=click.Choice(list(NETS)), default="lenet", show_default=True)
@click.option(
    "--busy",
    "busy_processes",
    type=options.Numbers(0),
    default="0,2,4,12",
    show_default=True,
    help="Busy processes beside it.",
)
@options.rounds(5)
@click.option("--calls", type=click.IntRange(1), default=6, show_default=True, help="Native calls of 0.1 s a turn.")
@options.output
def busy(net: str, busy_processes: tuple[int, ...], rounds: int, calls: int, **output: Any) -> None:
    """Training beside busy programs, as a multiple of its fair share of the processors' time."""
    from benchmarks import busy

    if not Path("/proc/self/schedstat").exists():
        raise click.UsageError("the processor time of other processes is read from /proc/PID/schedstat, of Linux")
    before = Environment.now()
    _show(busy.measure(net, busy_processes, rounds, calls, _say), before, **output)


@main.command()
@click.option("--nets", type=options.Names(tuple(LEARNERS)), default=",".join(LEARNERS), show_default=True)
@options.data("cifar10_jpeg.npz")
@click.option(
    "--per-class", type=click.IntRange(1), default=1000, show_default=True, help="Training images of a class."
)
@click.option("--epochs", type=click.IntRange(1), default=8, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0), default=0.1, show_default=True, help="The highest.")
@options.seeds
@options.threads()
@options.batch
@options.peers_env
@options.output
def normalisation(
    nets: tuple[str, ...],
    data: Path,
    per_class: int,
    epochs: int,
    learning_rate: float,
    seeds: int,
    threads: int,
    batch: int,
    peers_env: Path,
    **output: Any,
) -> None:
    """Accuracy of networks with batch normalisation, here and in PyTorch with the same recipe."""
    from benchmarks import normalisation

    before = Environment.now()
    recipe = Recipe(epochs, batch, learning_rate)
    report = normalisation.measure(nets, data, per_class, recipe, seeds, threads, peers_env, _say)
    torch = versions_of([peer for peer in PEERS if peer.framework == "torch"], environment.installed(peers_env))
    _show(report, before.with_versions(torch), **output)


@main.command(context_settings={"ignore_unknown_options": True})
@options.data("cifar10_jpeg.npz")
@click.option(
    "--per-class",
    type=options.Numbers(),
    default="5000,1000,100,10",
    show_default=True,
    help="Training images of a class.",
)
@options.seeds
@options.threads()
@click.option("--peers/--no-peers", default=True, show_default=True, help="Also PyTorch, in the same processor time.")
@options.peers_env
@options.output
@click.argument("training", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF lanewise train]...")
def default(
    data: Path,
    per_class: tuple[int, ...],
    seeds: int,
    threads: int,
    peers: bool,
    peers_env: Path,
    training: tuple[str, ...],
    **output: Any,
) -> None:
    """What `lanewise train` reaches untouched, and PyTorch in the same processor time."""
    from benchmarks import default as of_default

    before = Environment.now()
    report = of_default.measure(data, per_class, seeds, training, threads, peers_env if peers else None, _say)
    if peers:
        torch = [peer for peer in PEERS if peer.framework == "torch"]
        before = before.with_versions(versions_of(torch, environment.installed(peers_env)))
    _show(report, before, **output)


@main.command()
@click.option("--nets", type=options.Names(tuple(ODD)), default=",".join(ODD), help="By default all twelve.")
@click.option(
    "--data",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    default=(options.DATA / "cifar10_jpeg.npz", options.DATA / "signboard30.tar.gz"),
    show_default=True,
    help="The images; may come several times.",
)
@click.option("--epochs", type=click.IntRange(1), help="By default as many as 80,000 images make, at most 12.")
@options.seeds
@options.threads()
@click.option("--peers/--no-peers", default=True, show_default=True, help="Also PyTorch, at three rates.")
@click.option(
    "--known",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append PyTorch's accuracies to FILE, and do not measure again what is there.",
)
@options.peers_env
@options.output
def odd(
    nets: tuple[str, ...],
    files: tuple[Path, ...],
    epochs: int | None,
    seeds: int,
    threads: int,
    peers: bool,
    known: Path | None,
    peers_env: Path,
    **output: Any,
) -> None:
    """Odd networks at the default learning rate, beside the best of three rates in PyTorch."""
    from benchmarks import odd as of_odd

    before = Environment.now()
    report = of_odd.measure(nets, files, epochs, seeds, threads, peers_env if peers else None, known, _say)
    if peers:
        torch = [peer for peer in PEERS if peer.framework == "torch"]
        before = before.with_versions(versions_of(torch, environment.installed(peers_env)))
    _show(report, before, **output)


@main.command(name="compile")
@options.nets()
@options.threads()
@options.batch
@options.rounds(2)
@options.peers_env
@options.output
def compile_(nets: tuple[str, ...], threads: int, batch: int, rounds: int, peers_env: Path, **output: Any) -> None:
    """Seconds until a new network learns, cold and cached, and when Lanewise is ahead of PyTorch."""
    from benchmarks import compiling

    before = Environment.now()
    report, versions = compiling.race(nets, peers_env, rounds, batch, threads, _say)
    _show(report, before.with_versions(versions), **output)


@main.command()
@options.nets(("lenet", "mid"))
@options.threads()
@click.option("--curves/--no-curves", default=True, show_default=True, help="Also over batch size and data size.")
@click.option("--photographs", is_flag=True, help="ResNet-18 and MobileNetV2 at 224x224 instead, without curves.")
@options.svg
@options.peers_env
@options.output
def memory(
    nets: tuple[str, ...],
    threads: int,
    curves: bool,
    photographs: bool,
    svg_file: Path | None,
    peers_env: Path,
    **output: Any,
) -> None:
    """Memory that training takes, beside PyTorch, and how it grows with batch and data."""
    from benchmarks import memory

    before = Environment.now()
    if photographs:
        nets, curves = tuple(memory.PHOTOGRAPHS), False
    report, versions, charts = memory.race(nets, peers_env, threads, curves, _say)
    _draw(charts, svg_file)
    _show(report, before.with_versions(versions), **output)


@main.command()
@click.option(
    "--axes",
    type=options.Names(("batch", "image", "filters")),
    default="batch,image,filters",
    show_default=True,
    help="What to vary.",
)
@options.threads()
@options.burst(0.15)
@options.svg
@options.output
def growth(axes: tuple[str, ...], threads: int, burst: float, svg_file: Path | None, **output: Any) -> None:
    """GF/s of a training step over batch, image and filters, and where it suddenly slows."""
    from benchmarks import growth

    before = Environment.now()
    report, charts = growth.measure(axes, threads, burst, _say)
    _draw(charts, svg_file)
    _show(report, before, **output)


@main.command()
@options.nets()
@options.rounds()
@click.option(
    "--target",
    type=click.Choice(["avx512", "avx2", "x86-64"]),
    help="Hold the kernels and the matrix product to these registers.",
)
@options.output
def kernels(nets: tuple[str, ...], rounds: int, target: str | None, **output: Any) -> None:
    """GF/s of each kernel on one thread, beside a large matrix product; which convolutions are slower than wanted."""
    from benchmarks import kernels

    before = Environment.now()
    _show(kernels.measure(nets, rounds, target, _say), before, **output)


@main.command()
@options.data("mnist.npz")
@click.option("--network", default="auto", show_default=True, help="Text of the network.")
@click.option("--epochs", type=click.IntRange(1), help="By default as many as Lanewise finds fit.")
@click.option("--target", type=click.FloatRange(0, 1), default=0.99, show_default=True, help="Accuracy to reach.")
@options.seeds
@options.threads()
@options.output
def mnist(data: Path, network: str, epochs: int | None, target: float, seeds: int, threads: int, **output: Any) -> None:
    """Seconds from the start of a fresh process to 99 % on the test digits."""
    from benchmarks import mnist

    before = Environment.now()
    _show(mnist.measure(data, network, epochs, target, seeds, threads, _say), before, **output)


@main.command()
@options.data("signboard30.tar.gz")
@options.seeds
@options.threads()
@options.output
def signboard(data: Path, seeds: int, threads: int, **output: Any) -> None:
    """Accuracy on photographs: the default network beside a fully connected one."""
    from benchmarks import signboard

    before = Environment.now()
    _show(signboard.measure(data, seeds, threads, _say), before, **output)


@main.command()
@options.data("cifar10.npz")
@click.option("--ratio", type=click.FloatRange(1), default=100.0, show_default=True, help="Most images to fewest.")
@click.option(
    "--ways",
    type=options.Names(
        ("as they come", "weights", "weights up to 10", "square roots of weights", "sampling", "balanced")
    ),
    default="as they come,weights,weights up to 10,square roots of weights,sampling,balanced",
    show_default=True,
    help="How classes are made to count alike.",
)
@click.option("--preset", type=click.Choice(("quick", "good", "best")), default="quick", show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=12, show_default=True)
@options.seeds
@options.threads()
@options.output
def longtail(
    data: Path,
    ratio: float,
    ways: tuple[str, ...],
    preset: str,
    epochs: int,
    seeds: int,
    threads: int,
    **output: Any,
) -> None:
    """Classes of very different numbers of images, and what makes them count alike."""
    from benchmarks import longtail

    before = Environment.now()
    _show(longtail.measure(data, ratio, ways, preset, epochs, seeds, threads, _say), before, **output)


@main.command()
@options.data("flowers500.tar.gz")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which images get which fault.")
@click.option("--start", default="auto", show_default=True, help="As of lanewise check.")
@click.option(
    "--swaps", type=click.IntRange(1), help="Make so many labels wrong instead, without a start and with one."
)
@click.option("--copies", type=click.IntRange(1), help="Only plant altered copies, so many of each kind.")
@options.seeds
@options.output
def check(data: Path, seed: int, start: str, swaps: int | None, copies: int | None, seeds: int, **output: Any) -> None:
    """Faults planted into images, and how many of them are found."""
    from benchmarks import check

    before = Environment.now()
    if swaps is not None:
        measured = check.swaps(data, swaps, tuple(range(seeds)), _say)
    elif copies is not None:
        measured = check.copies(data, copies, start, _say)
    else:
        measured = check.measure(data, seed, start, _say)
    _show(measured, before, **output)


@main.command()
@click.option(
    "--packages",
    type=options.Names(("lanewise", "torch")),
    default="lanewise,torch",
    show_default=True,
    help="What to install, each into an environment that is thrown away.",
)
@options.output
def install(packages: tuple[str, ...], **output: Any) -> None:
    """Size of a fresh install, and seconds of its import."""
    from benchmarks import install

    before = Environment.now()
    _show(install.measure(packages, _say), before, **output)


def _with_onnxruntime() -> Environment:
    versions = environment.installed(Path(sys.prefix))
    return Environment.now().with_versions({n: versions[n] for n in ("onnxruntime",) if n in versions})


def _draw(charts: list[Chart], file: Path | None) -> None:
    if file and charts:
        file.write_text(document(charts, columns=2), encoding="utf-8")


def _show(report: Report, environment: Environment, *, markdown: bool, json_file: Path | None) -> None:
    show(report, environment, markdown=markdown, json_file=json_file)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
