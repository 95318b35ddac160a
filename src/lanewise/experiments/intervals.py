"""How sure a mean over images and seeds is.

right[s, n] tells whether the network of seed s recognised image n; differences between two networks are -1, 0 or 1 on
the same images. All seeds see the same images, so seeds times images are not that many independent trials. What
would come out otherwise another time is which images there are, and how training went:

    variance of the mean = variance over images of the mean over seeds / images
                         + variance over seeds of the mean over images / seeds

The interval is Student's, with the degrees of freedom of such a sum (Satterthwaite 1946, "An Approximate Distribution
of Estimates of Variance Components"). A few imagined images are added, as many for as against, so that it stays
sensible where hardly any image differs: two and two for a share (Agresti and Coull 1998, "Approximate Is Better than
'Exact' for Interval Estimation of Binomial Proportions"), one and one for a difference (Bonett and Price 2012,
"Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired Data").
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
MOST_FREEDOM = 2000.0
"""From here on Student's distribution is the normal one."""


def share_interval(right: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of an accuracy, from `right` (seeds, images)."""
    low, high = _interval(np.asarray(right, np.float64), (1.0, 1.0, 0.0, 0.0), confidence)
    return max(low, 0.0), min(high, 1.0)


def difference_interval(first: ArrayLike, second: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The confidence interval of the first accuracy minus the second, both on the same images.

    Parameters
    ----------
    first, second : (seeds, images) bool
        Whether each image was classified correctly.
    confidence : float

    Returns
    -------
    low, high : float
        Between -1 and 1.
    """
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    low, high = _interval(differences, (1.0, -1.0), confidence)
    return max(low, -1.0), min(high, 1.0)


def _interval(values: NDArray[np.float64], imagined: tuple[float, ...], confidence: float) -> tuple[float, float]:
    seeds = len(values)
    by_image = np.concatenate([values.mean(axis=0), imagined])
    images = len(by_image)
    parts = [(by_image.var(ddof=1) / images, images - 1)]
    if seeds > 1:
        parts.append((values.mean(axis=1).var(ddof=1) / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    spread = student_quantile((1 + confidence) / 2, freedom) * math.sqrt(variance)
    middle = float(by_image.mean())
    return middle - spread, middle + spread


def student_quantile(share: float, freedom: float) -> float:
    """The value below which `share` of Student's distribution lies.

    With t = sqrt(freedom) tan(angle), its density is proportional to cos(angle) ** (freedom - 1).
    """
    freedom = min(freedom, MOST_FREEDOM)
    edges = np.linspace(-math.pi / 2, math.pi / 2, 200_001)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(np.cos(middles) ** (freedom - 1))
    return math.sqrt(freedom) * math.tan(float(np.interp(share * below[-1], below, edges[1:])))
