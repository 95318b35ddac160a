"""Many networks in one text: braces hold alternatives.

    expand("conv {8,16}@{3x3,5x5}, relu, dense 10")  ->  four texts, the last brace varying fastest

What stands between the commas of a brace is put into its place as it is: numbers, sizes, names of layers, options.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import product

from lanewise.errors import NetworkError, NetworkTextError
from lanewise.network.graph import Graph
from lanewise.training.recipe import network_for

MOST_NETWORKS = 1000
"""More are a slip of the pen rather than an experiment."""

_NOTHING = "\0"
"""Stands for an alternative that is nothing until it is known whether a whole layer is nothing."""


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

    An alternative that is nothing leaves out an option, "conv 8@3x3 {same,}", or a layer, "conv 8@3x3, {relu,}, max 2".

    Raises
    ------
    NetworkTextError
        Braces that do not close, are empty or lie within one another.
    NetworkError
        More than 1,000 networks.
    """
    parts, start = [], 0
    for brace in _braces(text):
        parts += [[text[start : brace.start()]], [one.strip() or _NOTHING for one in brace.group(1).split(",")]]
        start = brace.end()
    parts.append([text[start:]])
    count = math.prod(map(len, parts))
    if count > MOST_NETWORKS:
        raise NetworkError(
            f"the braces stand for {count:,} networks, but at most {MOST_NETWORKS:,} are allowed: leave some out"
        )
    return list(dict.fromkeys(_tidy("".join(one)) for one in product(*parts)))


def _tidy(text: str) -> str:
    """Leave out layers that are nothing, with a comma of theirs, and the spaces around options that are."""
    text = re.sub(rf"(^|[,(|])(?:[\s{_NOTHING}]*{_NOTHING}\s*,)+", r"\1", text)
    text = re.sub(rf",[\s{_NOTHING}]*{_NOTHING}(?=\s*(?:[)|]|$))", "", text)
    return re.sub(r"\s+(?=[\s,)]|$)", "", text.replace(_NOTHING, "")).strip()


def _braces(text: str) -> list[re.Match[str]]:
    opened: int | None = None
    for place, sign in enumerate(text):
        if sign == "{" and opened is not None:
            raise NetworkTextError(
                "braces cannot be nested: write all alternatives in one pair", text, place, place + 1
            )
        if sign == "}" and opened is None:
            raise NetworkTextError("this brace has no opening brace", text, place, place + 1)
        if sign == "{":
            opened = place
        elif sign == "}":
            assert opened is not None
            if not text[opened + 1 : place].strip(" ,"):
                raise NetworkTextError("these braces hold nothing; write {8,16}", text, opened, place + 1)
            opened = None
    if opened is not None:
        raise NetworkTextError("this brace is not closed", text, opened, opened + 1)
    return list(re.finditer(r"\{([^{}]*)\}", text))


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
