"""Learning rates over the course of training, as a share of the peak.

`fraction` runs from 0 at the first step to 1 at the end, whether the end was given as epochs or as time.
Only additions and multiplications are used, no library cosine, so that the same bits come out everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[float], float]
COOLING = 0.2
"""Training that stops early goes on for this share of its epochs, while the rate falls."""


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


def _half_wave(t: float) -> float:
    """(1 + cos(pi t)) / 2 for t in 0 .. 1, as 1 - sin(pi t / 2)**2 with sine by its Taylor series."""
    x = 1.5707963267948966 * min(max(t, 0.0), 1.0)
    term = total = x
    for n in range(3, 24, 2):
        term *= -x * x / (n * (n - 1))
        total += term
    return max(0.0, 1.0 - total * total)


@dataclass(frozen=True, slots=True)
class Cooling:
    """The end of a training that stops early: its rate falls to 0 in a straight line.

    Weights that a large rate shakes are worth little, and the best of them on a few images are so by luck; the last
    ones of a rate that fell are as good as any, and nobody chose them.
    """

    start: int
    steps: int
    rate: float

    @property
    def end(self) -> int:
        """The step before which training ends."""
        return self.start + self.steps

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        return self.rate * (self.end - step) / self.steps
