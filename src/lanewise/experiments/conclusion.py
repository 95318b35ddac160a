"""What may be concluded from a comparison: a sentence made from the intervals, by rule.

A difference is claimed if its interval leaves out 0, and the sentence says how large it may be; otherwise it says that
these images cannot tell, and what the difference may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lanewise.wording import listed

FEW_SEEDS = 3

LONG = {
    "fully connected": "the fully connected network",
    "hand-made features": "hand-made features",
    "first layer fixed": "the same network with its first layer fixed",
    "harmonic": "the same network of harmonic blocks",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """The accuracy of the convolutional network less that of another method.

    Attributes
    ----------
    against : str
    accuracy : float
        The difference of the means, as a share: 0.01 is a point.
    interval : (low, high)
    """

    against: str
    accuracy: float
    interval: tuple[float, float]

    @property
    def verdict(self) -> str:
        """Whether the convolutional network is "better" or "worse", or the images "cannot tell"."""
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "cannot tell"


def conclusion(differences: Sequence[Difference], seeds: int) -> str:
    """Say what learned filters are worth, and no more than the intervals allow."""
    by_verdict = {
        verdict: [one for one in differences if one.verdict == verdict]
        for verdict in ("better", "worse", "cannot tell")
    }
    sentences = []
    claims = [
        f"{verdict} than {listed([f'{_long(one)} by {_points(one, verdict)} points' for one in by_verdict[verdict]])}"
        for verdict in ("better", "worse")
        if by_verdict[verdict]
    ]
    if claims:
        sentences.append(f"The network that learns all its filters is {', and '.join(claims)}.")
    unsure = by_verdict["cannot tell"]
    if unsure:
        about = listed([f"{_long(one)} ({_signed(one)} points)" for one in unsure])
        subject = "it" if claims else "the network that learns all its filters"
        sentences.append(
            f"These images cannot tell whether {subject} is better or worse than {about}; "
            "more test images or seeds could."
        )
    if seeds < FEW_SEEDS:
        trained = "trained once" if seeds == 1 else "trained twice"
        luck = "ignore" if seeds == 1 else "hardly reflect"
        sentences.append(
            f"Each was {trained}, so the intervals {luck} the variation between seeds: use at least three."
        )
    return " ".join(sentences)


def _long(one: Difference) -> str:
    return LONG.get(one.against, one.against)


def _points(one: Difference, verdict: str) -> str:
    low, high = one.interval if verdict == "better" else (-one.interval[1], -one.interval[0])
    return f"{_figure(low)} to {_figure(high)}"


def _signed(one: Difference) -> str:
    low, high = (f"{'-' if bound < 0 else '+'}{_figure(abs(bound))}" for bound in one.interval)
    return f"{low} to {high}"


def _figure(share: float) -> str:
    """Points: one decimal, or two where one would be 0."""
    points = 100 * share
    return f"{points:.1f}" if points >= 0.95 or points == 0 else f"{points:.2f}"
