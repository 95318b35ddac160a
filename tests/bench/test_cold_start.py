"""First trainings: what is timed, and who is ahead when."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.compiling import break_even

from lanewise.bench.cold_start import First, measure
from lanewise.bench.nets import Net
from lanewise.bench.process import WorkerError
from lanewise.bench.workload import Task

TINY = Task(Net("tiny", "dense 3", (1, 4, 4), 3), "train", "float32", batch=16, threads=1, images=32)


@pytest.mark.parametrize(
    ("own", "other", "seconds"),
    [
        ((1.0, 0.1), (3.0, 0.2), 0.0),
        ((3.0, 0.1), (1.0, 0.2), 5.0),  # after 20 steps: 3 + 20 * 0.1 = 1 + 20 * 0.2
        ((1.0, 0.1), (1.0, 0.1), 0.0),
        ((3.0, 0.2), (1.0, 0.2), None),
        ((1.0, 0.3), (3.0, 0.2), None),
    ],
)
def test_break_even(own: tuple[float, float], other: tuple[float, float], seconds: float | None) -> None:
    assert break_even(*own, *other) == (None if seconds is None else pytest.approx(seconds))


def test_what_a_training_takes_beside_its_steps() -> None:
    assert First(1.0, 2.0, 3.0, 0.5, 0.1, 0, 0).ahead == pytest.approx(6.4)
    assert First(1.0, 2.0, 3.0, 0.1, 0.5, 0, 0).ahead == pytest.approx(6.0)


def test_a_fresh_process_is_measured_and_fills_the_cache(tmp_path: Path) -> None:
    first = measure("lanewise", TINY, burst=0.01, cache=str(tmp_path))
    assert min(first.start, first.load, first.build, first.first, first.step) > 0
    assert 10e6 < first.loaded <= first.peak < 2e9
    assert list(tmp_path.rglob("*.o"))


def test_one_that_fails_says_why_in_one_line() -> None:
    with pytest.raises(WorkerError, match=r"nosuch on tiny: .*with_nosuch"):
        measure("nosuch", TINY)
