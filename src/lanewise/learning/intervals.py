"""How sure a share is: Wilson's 95 % interval, which stays sensible for few images and near 0 and 100 %.

    (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n),     p = k / n,  z = 1.96

Where the same images also chose the weights among m candidates, the best of m looks better than it is. Then z is that
of m intervals which all hold at once (Bonferroni): the 1 - 0.025 / m quantile of the normal distribution.

Networks of K folds are trained on much the same images, so that their errors go together: the variance of their common
accuracy is taken as 1 + K / (K - 1) times that of independent images, and z is the quantile of Student's t for K - 1
degrees of freedom, since no more than K networks were seen and the final one is yet another: Nadeau and Bengio 2003,
"Inference for the Generalization Error".
"""

from __future__ import annotations

import math
from statistics import NormalDist

Z = 1.959963984540054
"""Half the width of the middle 95 % of a normal distribution, in standard deviations."""
STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
"""The same of Student's t distributions with 1, 2, ... degrees of freedom."""


def wilson(correct: float, count: float, candidates: float = 1.0) -> tuple[float, float]:
    """The 95 % interval of a share of which `correct` of `count` were seen, by the best of so many candidates."""
    return _wilson(correct, count, Z if candidates <= 1 else NormalDist().inv_cdf(1 - 0.025 / candidates))


def _wilson(correct: float, count: float, z: float) -> tuple[float, float]:
    p = correct / count
    middle = p + z * z / (2 * count)
    spread = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # At the ends the bound is 0 or 1 exactly; rounding must not push it past them.
    low = 0.0 if correct == 0 else (middle - spread) / scale
    high = 1.0 if correct == count else (middle + spread) / scale
    return low, high


def over_folds(correct: int, count: int, folds: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy by cross-validation, for the model that is then trained on all images."""
    fewer = 1 + folds / (folds - 1)
    return _wilson(correct / fewer, count / fewer, student(folds - 1))


def student(freedom: int) -> float:
    """Half the width of the middle 95 % of Student's t distribution.

    From ten degrees on by the first terms of its expansion: Abramowitz and Stegun 1964, "Handbook of Mathematical
    Functions", 26.7.5; within 0.003.
    """
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    return Z + (Z**3 + Z) / (4 * freedom) + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * freedom**2)
