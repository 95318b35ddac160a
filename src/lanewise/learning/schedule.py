"""Learning rates over the course of training, as a share of the peak.

`fraction` runs from 0 at the first step to 1 at the end, whether the end was given as epochs or as time.
Only additions and multiplications are used, no library cosine, so that the same bits come out everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from lanewise.errors import OptionError

Schedule = Callable[[float], float]


def one_cycle(fraction: float) -> float:
    """A quarter of the way up along a line from a tenth, then down to nothing along half a cosine wave.

    After Smith and Topin 2017, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates".
    """
    warm = 0.25
    if fraction < warm:
        return 0.1 + 0.9 * fraction / warm
    return _half_wave((fraction - warm) / (1 - warm))


def cosine(fraction: float) -> float:
    """A short warm-up over the first twentieth, then down to nothing along half a cosine wave.

    After Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", without restarts.
    """
    warm = 0.05
    if fraction < warm:
        return 0.1 + 0.9 * fraction / warm
    return _half_wave((fraction - warm) / (1 - warm))


def constant(fraction: float) -> float:
    """The peak all along."""
    return 1.0


SCHEDULES: dict[str, Schedule] = {"one-cycle": one_cycle, "cosine": cosine, "constant": constant}


def schedule_named(name: str) -> Schedule:
    """The schedule called `name`."""
    if name not in SCHEDULES:
        raise OptionError(f'unknown schedule "{name}"; there are {", ".join(SCHEDULES)}')
    return SCHEDULES[name]


def _half_wave(t: float) -> float:
    """(1 + cos(pi t)) / 2 for t in 0 .. 1, as 1 - sin(pi t / 2)**2 with sine by its Taylor series."""
    x = 1.5707963267948966 * min(max(t, 0.0), 1.0)
    term = total = x
    for n in range(3, 24, 2):
        term *= -x * x / (n * (n - 1))
        total += term
    return max(0.0, 1.0 - total * total)
