"""Many networks in one text with braces (braces.py): all of them.

expand("conv {8,16}@{3x3,5x5}, relu, dense 10")  ->  four texts, the last brace varying fastest
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from lanewise.errors import NetworkError, NetworkTextError
from lanewise.experiments.braces import Alternatives, Choices, template
from lanewise.network.graph import Graph
from lanewise.training.recipe import network_for

MOST_NETWORKS = 1000
"""More are a slip of the pen rather than an experiment."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One network to try: what tables call it (one of a grid is called by its text), its full text, and its graph."""

    name: str
    network: str
    graph: Graph


@dataclass(frozen=True, slots=True)
class Impossible:
    """One network of a grid that cannot be built, and why."""

    text: str
    reason: str


def expand(text: str) -> list[str]:
    """All texts that a text with braces stands for, each once, in order.

    Raises
    ------
    NetworkTextError
        Braces that are not well-formed (braces.py), or a range without an end of values.
    NetworkError
        More than 1,000 networks.
    """
    found = template(text)
    for brace in found.braces:
        if not isinstance(brace.alternatives, Choices) and (brace.alternatives.step is None or brace.alternatives.log):
            problem = "there is no end of numbers in this range: give steps, like 0.1..0.5 by 0.1, or search it"
            raise NetworkTextError(problem, found.text, brace.start, brace.stop)
    count = math.prod(brace.alternatives.count() for brace in found.braces)
    if count > MOST_NETWORKS:
        raise NetworkError(
            f"the braces stand for {count:,} networks, but at most {MOST_NETWORKS:,} are allowed: leave some out"
        )
    values = [_values(brace.alternatives) for brace in found.braces]
    return list(dict.fromkeys(found.filled(one) for one in product(*values)))


def _values(alternatives: Alternatives) -> Sequence[object]:
    """All that may stand in a brace, of which there is an end."""
    if isinstance(alternatives, Choices):
        return alternatives.values
    return [alternatives.rounded(value) for value in alternatives.values() or ()]


def candidates(texts: list[str], shape: tuple[int, int, int], classes: int) -> tuple[list[Candidate], list[Impossible]]:
    """Sort texts into networks that can be built and texts that cannot.

    Parameters
    ----------
    texts : list of str
        Without braces.
    shape : (channels, rows, columns)
        Of the images.
    classes : int
        Number of classes.

    Returns
    -------
    possible : list of Candidate
        Networks that come out the same are kept once.
    impossible : list of Impossible

    Raises
    ------
    NetworkError
        None can be built.
    """
    possible: dict[str, Candidate] = {}
    impossible = []
    first: NetworkError | None = None
    for text in texts:
        try:
            graph, network = network_for(text, shape, classes)
        except NetworkError as error:
            first = first or error
            impossible.append(Impossible(text, str(error).splitlines()[0]))
            continue
        possible.setdefault(network, Candidate(text, network, graph))
    if not possible and first is not None:
        if len(texts) == 1 or isinstance(first, NetworkTextError):
            raise first  # a mistake in the text is shown with a caret under it
        raise NetworkError(
            f"none of the {len(texts)} networks can be built; {impossible[0].text}: {impossible[0].reason}"
        )
    return list(possible.values()), impossible
