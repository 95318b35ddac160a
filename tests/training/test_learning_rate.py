import math

import pytest

from lanewise.training.learning_rate import SCHEDULES, cosine, one_cycle


@pytest.mark.parametrize(("schedule", "warm"), [(one_cycle, 0.25), (cosine, 0.05)])
def test_rises_along_a_line_and_falls_along_half_a_cosine(schedule, warm):
    assert schedule(0.0) == pytest.approx(0.1)
    assert schedule(warm / 2) == pytest.approx(0.55)
    assert schedule(warm) == pytest.approx(1.0)
    for t in (0.1, 0.5, 0.77, 1.0):
        expected = (1 + math.cos(math.pi * t)) / 2
        assert schedule(warm + t * (1 - warm)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_stays_between_nothing_and_the_peak(name):
    schedule = SCHEDULES[name]
    assert all(0 <= schedule(n / 1000) <= 1 + 1e-12 for n in range(1001))
