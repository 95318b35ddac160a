"""The command line of the benchmarks."""

from __future__ import annotations

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
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
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


def _show(report: Report, circumstances: Circumstances, markdown: bool, json_file: Path | None) -> None:
    show(report, circumstances, markdown=markdown, json_file=json_file)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
