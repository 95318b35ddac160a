"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks import environment
from lanewise.bench.nets import NETS

DATA = Path("../shared/data")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Names(click.ParamType[tuple[str, ...]]):
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


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers from `least` on, separated by commas."""

    name = "numbers"

    def __init__(self, least: int = 1) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Turn "1,2" into (1, 2)."""
        if not isinstance(value, str):
            return tuple(value)
        words = [word.strip() for word in value.split(",")]
        if not all(word.isdecimal() and int(word) >= self.least for word in words):
            self.fail(f'"{value}" is no list of numbers from {self.least} on, like 128,1024', param, ctx)
        return tuple(map(int, words))


def output(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say how the figures are printed."""
    command = click.option("--markdown", is_flag=True, help="Print tables for a document.")(command)
    return click.option(
        "--json",
        "json_file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write the figures to FILE.",
    )(command)


def nets(default: tuple[str, ...] = tuple(NETS)) -> Decorator:
    """Choose networks."""
    return click.option("--nets", type=Names(tuple(NETS)), default=",".join(default), show_default=True)


def threads(default: int = 2) -> Decorator:
    """Choose how many threads, at most as many as there are processors."""
    most = os.cpu_count() or 1
    return click.option("--threads", type=click.IntRange(1, most), default=min(default, most), show_default=True)


def batch(command: Callable[..., Any]) -> Callable[..., Any]:
    """Choose the images of a step."""
    return click.option("--batch", type=click.IntRange(1), default=128, show_default=True)(command)


def rounds(default: int = 7) -> Decorator:
    """Choose how often everybody takes a turn."""
    return click.option("--rounds", type=click.IntRange(1), default=default, show_default=True)


def burst(default: float = 0.5) -> Decorator:
    """Choose how long a turn is."""
    return click.option(
        "--burst", type=click.FloatRange(0.01), default=default, show_default=True, help="Seconds a turn."
    )


peers_env: Decorator = click.option(
    "--peers-env",
    type=click.Path(file_okay=False, path_type=Path),
    default=environment.default_folder,
    metavar="DIR",
    help="Virtual environment of the other frameworks; by default in the user's cache folder.",
)

svg: Decorator = click.option(
    "--svg",
    "svg_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the curves into FILE.",
)

seeds: Decorator = click.option(
    "--seeds", type=click.IntRange(1), default=3, show_default=True, help="How many seeds, from 0 on."
)


def data(name: str) -> Decorator:
    """Choose the file of images."""
    return click.option(
        "--data",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        default=DATA / name,
        show_default=True,
        help="The images.",
    )
