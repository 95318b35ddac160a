"""Training that does not fit into memory is refused before it begins, with what does fit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise import limits
from lanewise.engine import trainer
from lanewise.errors import TooLargeError
from lanewise.network.graph import Graph
from lanewise.training import memory
from lanewise.training.memory import check_training_fits, needed
from lanewise.training.recipe import network_for

pytestmark = pytest.mark.usefixtures("all_processors")

NETWORKS = (
    "conv 8@3x3 same, relu, max 2, dense 4",
    "conv 16@5x5 same stride 2, relu, conv 8@3x3, relu, max 2, dense 30, relu, dense 4",
    "conv 8@3x3 same, batchnorm, relu, residual(conv 8@3x3 same, relu, conv 8@3x3 same), global average, dense 4",
    "max 4, dense 200, relu, dense 4",
    "auto",
)


def graph_of(text: str, size: tuple[int, int]) -> Graph:
    return network_for(text, (3, *size), 4)[0]


def limit(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: available)


@pytest.mark.parametrize("text", NETWORKS)
@pytest.mark.parametrize(("size", "batch_size"), [((64, 64), 100), ((96, 72), 512)])
def test_what_is_suggested_fits(
    text: str, size: tuple[int, int], batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever memory there is: all fits that would, and each suggestion passes the same check."""
    graph = graph_of(text, size)
    most = needed(graph, "uint8", batch_size)

    def check(graph: Graph, batch_size: int, threads: int | None = None, resized: Any = None) -> None:
        check_training_fits("uint8", batch_size, threads, True, graph, resized)

    limit(monkeypatch, most)
    check(graph, batch_size)
    told = 0
    for share in (0.99, 0.6, 0.2):
        limit(monkeypatch, int(share * most))
        with pytest.raises(TooLargeError, match=r"training this network on images of .* are free; ") as caught:
            check(graph, batch_size, resized=lambda size: graph_of(text, size))
        said = str(caught.value)
        if found := re.search(r"--batch-size (\d+)", said):
            assert int(found[1]) < batch_size
            check(graph, int(found[1]))
        if found := re.search(r"--size (\d+)x(\d+)", said):
            check(graph_of(text, (int(found[1]), int(found[2]))), batch_size)
        if "--threads 1" in said:
            check(graph, batch_size, threads=1)
        told += "--" in said
    assert told


def test_less_memory_is_never_enough_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger batch, larger images and more threads never need less."""
    for text in NETWORKS:
        graph = graph_of(text, (64, 64))
        batches = [needed(graph, "uint8", n) for n in (16, 32, 64, 512)]
        assert batches == sorted(batches)
        sizes = [needed(graph_of(text, (side, side)), "uint8", 64) for side in (32, 64, 96)]
        assert sizes == sorted(sizes)
        assert needed(graph, "uint8", 64, 1) <= needed(graph, "uint8", 64, 2)


def test_nothing_is_compiled_or_drawn_before_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        path = tmp_path / "images" / "ab"[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 40 * n, np.uint8)).save(path)
    monkeypatch.setattr(trainer, "Executable", lambda *_: pytest.fail("compiled"))
    monkeypatch.setattr("lanewise.training.start.initial_parameters", lambda *_: pytest.fail("drawn"))
    limit(monkeypatch, 2**24)
    with pytest.raises(TooLargeError, match=r"images of 256x256 needs .* what fits is .*images of \d+x\d+ \(--size"):
        lanewise.train(tmp_path / "images", size=256, folds=0, notes=lambda _: None)
    with pytest.raises(TooLargeError) as caught:  # arrays are not resized
        lanewise.train(np.zeros((4, 256, 256, 3), np.uint8), np.arange(4) % 2, folds=0, notes=lambda _: None)
    assert "--size" not in str(caught.value)


def test_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    check_training_fits("uint8", 512, None, True, graph_of("auto", (512, 512)), None)
    assert limits.available_memory() is not None


MEASURED = """
import re, sys
from pathlib import Path
import numpy as np
import lanewise
from lanewise.notes import unheard
from lanewise.training.memory import needed
from lanewise.training.recipe import network_for

def peak():  # of this program: getrusage counts what its parent had, too
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

text, side, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
x = np.random.default_rng(0).integers(0, 256, (max(batch, 32), side, side, 3), np.uint8)
y = np.arange(len(x)) % 4
options = dict(network=text, epochs=1, batch_size=batch, folds=0, notes=unheard, threads=2)
lanewise.train(x[:, :8, :8].copy(), y, **{**options, "network": "dense 4"})  # what Python and LLVM take
before = peak()
lanewise.train(x, y, **options)
print(peak() - before, needed(network_for(text, (3, side, side), 4)[0], "uint8", batch, 2))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(
    ("text", "side", "batch"),
    [
        ("conv 32@3x3 same, relu, conv 32@3x3 same, relu, max 2, global average, dense 4", 256, 32),
        ("auto", 256, 64),
        ("auto", 512, 32),
        ("max 4, dense 4000, relu, dense 4", 64, 64),
    ],
)
def test_the_bound_holds_and_is_of_the_right_size(text: str, side: int, batch: int) -> None:
    """Against the peak of a process: never less than what was taken, but for 64 MB of code, nor four times as much."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, text, str(side), str(batch)], capture_output=True, text=True, check=True
    )
    taken, bound = map(int, done.stdout.split())
    assert taken <= bound + 2**26
    assert bound <= 4 * taken + 2**26
