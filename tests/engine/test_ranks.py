"""Ranks that share each batch come to the bits of one: processes that `mpiexec` starts."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lanewise.engine.schedule import Executable, Phase
from lanewise.engine.share import nodes_of
from lanewise.errors import OptionError
from lanewise.target import host
from tests.engine.ranks_worker import CASES
from tests.mpi import ROOT, needs_mpiexec, run

pytestmark = pytest.mark.usefixtures("all_processors")


@cache
def hashes(ranks: int, names: tuple[str, ...]) -> dict[str, str]:
    """What all ranks came to, by network and number of threads."""
    done = run((ranks, "tests.engine.ranks_worker", list(names)), folder=Path(ROOT))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == ranks
    assert len(set(lines)) == 1, "every rank has the same"
    found: dict[str, str] = json.loads(lines[0])
    return found


def check(ranks: int, names: tuple[str, ...]) -> None:
    """One hash for a network, whatever the threads and ranks."""
    found, alone = hashes(ranks, names), hashes(1, names)
    assert found == alone
    assert len(set(found.values())) == len(names), "threads change nothing, and networks do"


@needs_mpiexec
def test_two_ranks_have_the_bits_of_one() -> None:
    check(2, ("normalised",))


@needs_mpiexec
@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_any_number_of_ranks_has_the_bits_of_one(ranks: int) -> None:
    """With batch normalisation, clipped gradients, deferred ones, partial batches, one group a shard and several."""
    check(ranks, tuple(CASES))


def test_shards_of_ranks() -> None:
    assert nodes_of(8, 4, 128) == ((0, 2), (2, 2), (4, 2), (6, 2))
    assert nodes_of(5, 4, 80) == ((0, 2), (2, 1), (3, 1), (4, 1)), "nobody is without work"
    with pytest.raises(OptionError, match=r"128 images is cut into 8 shards.*16 ranks: start 8 ranks.*batch-size 256"):
        nodes_of(8, 16, 128)
    with pytest.raises(OptionError, match="cut into 1 shard, too few for 2 ranks: start one process, without mpiexec"):
        nodes_of(1, 2, 16)
    with pytest.raises(OptionError, match=r"64 shards, too few for 128 ranks: start 64 ranks .mpiexec -n 64.$"):
        nodes_of(64, 128, 4096)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_phase_calls_may_fail(threads: int) -> None:
    """Its error is raised behind the steps, and it is called no more; the next run is as if nothing had been."""
    calls = []

    def function() -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            raise ZeroDivisionError("the third time")

    executable = Executable([Phase(1, (), function)], host())
    with pytest.raises(ZeroDivisionError, match="third"):
        executable.run({}, steps=10, threads=threads)
    assert calls == [0, 1, 2]
    executable.run({}, steps=2, threads=threads)
    assert calls == [0, 1, 2, 3, 4]


def test_a_function_computes_as_kernels_do() -> None:
    """Denormal numbers are zero there, too: what ranks add has the bits of what shards add."""
    found = []
    tiny = np.full(16, 1e-39, np.float32)
    Executable([Phase(1, (), lambda: found.append((tiny + tiny).any()))], host()).run({})
    assert found == [False]
    assert (tiny + tiny).any()
