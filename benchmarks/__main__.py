"""The command line of the benchmarks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks import environment
from benchmarks.nets import NETS
from benchmarks.peers import FRAMEWORKS, PEERS, Peer
from benchmarks.race import Settings
from benchmarks.report import Circumstances, Report, show

DATA = Path("../shared/data")


def _say(sentence: str) -> None:
    """Progress goes to standard error; figures alone go to standard output."""
    print(sentence, file=sys.stderr, flush=True)


def _output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--markdown", is_flag=True, help="Print tables for a document.")(command)
    return click.option(
        "--json",
        "json_file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write the figures to FILE.",
    )(command)


def _seeds(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--seeds", type=click.IntRange(1), default=3, show_default=True, help="How many seeds, from 0 on."
    )(command)


def _threads(command: Callable[..., Any]) -> Callable[..., Any]:
    most = os.cpu_count() or 1
    return click.option("--threads", type=click.IntRange(1, most), default=min(2, most), show_default=True)(command)


def _data(name: str) -> Callable[..., Any]:
    return click.option(
        "--data",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        default=DATA / name,
        show_default=True,
        help="The pictures.",
    )


class _Names(click.ParamType[tuple[str, ...]]):
    """Names separated by commas, out of those known."""

    name = "names"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Turn "a,b" into ("a", "b")."""
        names = tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else tuple(value)
        for name in names:
            if name not in self.known:
                self.fail(f'"{name}" is none of {", ".join(self.known)}', param, ctx)
        return names


def chosen_peers(names: tuple[str, ...]) -> list[Peer]:
    """The peers called so, or of frameworks called so; the name of a framework stands for all its modes."""
    return [peer for peer in PEERS if peer.name in names or peer.framework in names]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure Lanewise, beside other frameworks where they do the same work."""


@main.command()
@click.option("--nets", type=_Names(tuple(NETS)), default=",".join(NETS), show_default=True, help="Networks to train.")
@click.option(
    "--peers",
    type=_Names(tuple(dict.fromkeys((*FRAMEWORKS, *(peer.name for peer in PEERS))))),
    default=",".join(FRAMEWORKS),
    show_default=True,
    help=f"Frameworks, or single modes: {', '.join(peer.name for peer in PEERS)}.",
)
@_threads
@click.option("--batch", type=click.IntRange(1), default=128, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--burst", type=click.FloatRange(0.01), default=0.5, show_default=True, help="Seconds a turn.")
@click.option("--install", is_flag=True, help="First install the frameworks chosen, which takes gigabytes.")
@click.option(
    "--peers-env",
    type=click.Path(file_okay=False, path_type=Path),
    default=environment.default_folder,
    metavar="DIR",
    help="Virtual environment of the other frameworks; by default in the user's cache folder.",
)
@_output_options
def train(
    nets: tuple[str, ...],
    peers: tuple[str, ...],
    threads: int,
    batch: int,
    rounds: int,
    burst: float,
    install: bool,
    peers_env: Path,
    markdown: bool,
    json_file: Path | None,
) -> None:
    """Full training steps, images/s: Lanewise, PyTorch, Keras and JAX in turn, in one run."""
    from benchmarks import train

    before = Circumstances.now()
    racers = chosen_peers(peers)
    if install:
        environment.install(peers_env, tuple(dict.fromkeys(peer.framework for peer in racers)), _say)
    report, versions = train.measure(nets, racers, peers_env, Settings(threads, batch, rounds, burst), _say)
    _show(report, before.with_versions(versions), markdown, json_file)


@main.command()
@click.option("--nets", type=_Names(tuple(NETS)), default=",".join(NETS), show_default=True, help="Whose layers.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@_output_options
def kernels(nets: tuple[str, ...], rounds: int, markdown: bool, json_file: Path | None) -> None:
    """GF/s of each kernel on one thread, beside a large matrix product."""
    from benchmarks import kernels

    before = Circumstances.now()
    _show(kernels.measure(nets, rounds, _say), before, markdown, json_file)


@main.command()
@_data("mnist.npz")
@click.option("--network", default=NETS["lenet"].text, show_default="lenet", help='Text of the network, or "auto".')
@click.option("--epochs", type=click.IntRange(1), default=4, show_default=True)
@click.option("--target", type=click.FloatRange(0, 1), default=0.99, show_default=True, help="Accuracy to reach.")
@_seeds
@_threads
@_output_options
def mnist(
    data: Path,
    network: str,
    epochs: int,
    target: float,
    seeds: int,
    threads: int,
    markdown: bool,
    json_file: Path | None,
) -> None:
    """Seconds from the start of a fresh process to 99 % on the test digits."""
    from benchmarks import mnist

    before = Circumstances.now()
    _show(mnist.measure(data, network, epochs, target, seeds, threads, _say), before, markdown, json_file)


@main.command()
@_data("signboard30.tar.gz")
@_seeds
@_threads
@_output_options
def signboard(data: Path, seeds: int, threads: int, markdown: bool, json_file: Path | None) -> None:
    """Accuracy on photographs: the default network beside a fully connected one."""
    from benchmarks import signboard

    before = Circumstances.now()
    _show(signboard.measure(data, seeds, threads, _say), before, markdown, json_file)


@main.command()
@click.option(
    "--packages",
    type=_Names(("lanewise", "torch")),
    default="lanewise,torch",
    show_default=True,
    help="What to install, each into an environment that is thrown away.",
)
@_output_options
def install(packages: tuple[str, ...], markdown: bool, json_file: Path | None) -> None:
    """Size of a fresh install, and seconds of its import."""
    from benchmarks import install

    before = Circumstances.now()
    _show(install.measure(packages, _say), before, markdown, json_file)


def _show(report: Report, circumstances: Circumstances, markdown: bool, json_file: Path | None) -> None:
    show(report, circumstances, markdown=markdown, json_file=json_file)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
