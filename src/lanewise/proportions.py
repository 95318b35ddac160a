"""How sure a share is: Wilson's 95 % interval, which stays sensible for few images and near 0 and 100 %.

    (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n),     p = k / n,  z = 1.96

Where the same images also chose the weights among m candidates, the best of m looks better than it is. Then z is that
of m intervals which all hold at once (Bonferroni): the 1 - 0.025 / m quantile of the normal distribution.

Networks of K folds are trained on much the same images, so that their errors go together: the variance of their common
accuracy is taken as 1 + K / (K - 1) times that of independent images, after Nadeau and Bengio 2003, "Inference for the
Generalization Error". The final model is yet another network, so z is as wide as their test has it for five folds:
the quantile of Student's t for four degrees of freedom. It is the same for other K: the variance is that of counting,
which two folds know as well as ten.
"""

from __future__ import annotations

import math
from statistics import NormalDist

Z = 1.959963984540054
"""Half the width of the middle 95 % of a normal distribution, in standard deviations."""
Z_FOLDS = 2.776445105198055
"""The same of Student's t with four degrees of freedom."""


def wilson(correct: float, count: float, candidates: float = 1.0) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927. For the best of several
    candidates, the interval is widened by Bonferroni's correction: 0.025 / candidates lies beyond each end.

    Parameters
    ----------
    correct, count : float
        `correct` of `count` were seen.
    candidates : float
        The number of independent candidates of which this is the best; 1 if nothing was chosen.

    Returns
    -------
    low, high : float
    """
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
    """The 95 % interval of a cross-validation accuracy, for the model that is then trained on all images.

    Parameters
    ----------
    correct, count : int
        Over all folds.
    folds : int

    Returns
    -------
    low, high : float
    """
    fewer = 1 + folds / (folds - 1)
    return _wilson(correct / fewer, count / fewer, Z_FOLDS)
