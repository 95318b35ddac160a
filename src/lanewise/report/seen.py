"""What a report shows of the inside: learned filters beside fixed ones, feature maps, gradient and occlusion maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lanewise.data.encode import Drawn, photograph
from lanewise.data.images import Images
from lanewise.evaluation.evaluate import worst_mistakes
from lanewise.explain.maps import feature_maps, gradient_map, occlusion_map
from lanewise.model import Model
from lanewise.network.filters import resembles
from lanewise.network.graph import is_frozen
from lanewise.network.layers import Conv2D, Dropout, Input
from lanewise.report.drawing import shape_text
from lanewise.report.sheets import coloured, smaller

MOST_FILTERS, MOST_MAPS, ACROSS = 32, 32, 8
"""Filters and maps that are shown, and how many of the maps side by side."""

LARGEST_MAP = 56
"""Rows or columns of a map in the page; larger ones are averaged down."""

CHANCE = {3: 0.83, 5: 0.64}
"""Score that one in twenty random kernels of so many rows reaches (see `resembles`): less tells nothing."""

SHARES = (0.5, 0.25, 0.75, 0.05)
"""Where in the order of their confidence images of a class are taken: first what is usual, then clearer and less."""

LEAST_LOST = 0.4
"""Log-odds lost that an occlusion map shows in full colour at the least, or it would blow up what hardly matters."""


@dataclass(frozen=True, slots=True)
class FilterRow:
    """One learned filter: in colour if it sees red, green and blue, its weights, and the fixed filter it is like."""

    name: str
    colour: Drawn | None
    kernel: Drawn
    fixed: Drawn
    resembles: str
    score: float
    telling: bool


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of the first layer that learned some: of `count` in all, of which each sees `channels`."""

    layer: str
    count: int
    channels: int
    rows: tuple[FilterRow, ...]

    @property
    def telling(self) -> int:
        """How many of them are more like a fixed filter than chance would make them."""
        return sum(row.telling for row in self.rows)


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps of one layer: a sheet of the first `shown` of `count`, and the value of the strongest colour."""

    name: str
    text: str
    shape: str
    count: int
    shown: int
    strongest: float
    sheet: Drawn


@dataclass(frozen=True, slots=True)
class Seen:
    """One image, what came out, what every layer made of it and which parts of it mattered."""

    name: str
    true: str
    answer: str
    probability: float
    image: Drawn
    gradient: Drawn
    occlusion: Drawn
    most_lost: float
    layers: tuple[Maps, ...]


def learned_filters(model: Model) -> Filters | None:
    """The filters of the first convolution that learns and looks at neighbours; None if there is none."""
    for number, node in enumerate(model.graph.nodes):
        layer = node.layer
        if isinstance(layer, Conv2D) and not is_frozen(layer) and max(layer.kernel) > 1:
            weights = model.parameters[model.graph.parameters_of(number)[0]].astype(np.float64)
            return Filters(node.name, len(weights), weights.shape[1], tuple(_filter_rows(weights[:MOST_FILTERS])))
    return None


def _filter_rows(weights: npt.NDArray[np.float64]) -> list[FilterRow]:
    kernels = _one_channel(weights)
    found = []
    for n, (kernel, like) in enumerate(zip(kernels, resembles(kernels), strict=True)):
        strongest = float(np.abs(weights[n]).max()) or 1.0
        rgb = np.rint(127.5 + 127.5 * weights[n].transpose(1, 2, 0) / strongest).astype(np.uint8)
        found.append(
            FilterRow(
                name=f"filter {n + 1}",
                colour=photograph(rgb) if weights.shape[1] == 3 else None,
                kernel=_signed(kernel),
                fixed=_signed(like.filter.astype(np.float64)),
                resembles=str(like),
                score=like.score,
                telling=like.score >= CHANCE[3 if min(kernel.shape) < 5 else 5],
            )
        )
    return found


def _one_channel(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One kernel a filter: what it does with grey images; of many channels, with the one it weighs most."""
    if weights.shape[1] <= 3:
        return np.asarray(weights.sum(axis=1))
    strongest = np.square(weights).sum(axis=(2, 3)).argmax(axis=1)
    return np.asarray(weights[np.arange(len(weights)), strongest])


def _signed(values: npt.NDArray[np.float64]) -> Drawn:
    return coloured(values[None] / (np.abs(values).max() or 1.0), 1)


def choose(labels: npt.NDArray[np.int32], probabilities: npt.NDArray[np.float32], most: int) -> list[int]:
    """Choose images to look into: some of each class that are classified correctly, and the most confident mistake.

    Parameters
    ----------
    labels : (N,) int32
    probabilities : (N, classes) float32
    most : int
        How many at most.

    Returns
    -------
    list of int
        Positions; the mistake is the last.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    worst: list[int] = worst_mistakes(probabilities, labels, 1).tolist()
    right = []
    for share in SHARES:
        for label in np.unique(labels):
            found = np.flatnonzero((labels == label) & (predicted == label))
            if len(found):
                right.append(int(found[np.argsort(confidence[found], kind="stable")[int(share * len(found))]]))
    return list(dict.fromkeys(right))[: most - len(worst)] + worst


def look(model: Model, images: Images, number: int) -> Seen:
    """Explain the prediction for one image: feature maps, gradient map and occlusion map.

    Parameters
    ----------
    model : Model
    images : Images
    number : int
        Position of the image.

    Returns
    -------
    Seen
    """
    assert images.labels is not None
    raw = images.pixels[number]
    probabilities = model.predict_proba(raw[None])[0]
    answer = int(probabilities.argmax())
    lost = occlusion_map(model, raw)
    return Seen(
        name=images.name(number),
        true=images.classes[images.labels[number]],
        answer=images.classes[answer],
        probability=float(probabilities[answer]),
        image=photograph(raw),
        gradient=_overlay(gradient_map(model, raw), 0.0),
        occlusion=_overlay(lost, LEAST_LOST),
        most_lost=float(lost.max()),
        layers=tuple(
            _maps(one.name, one.text, one.values)
            for one in feature_maps(model, raw)
            if len(one.shape) == 3 and not isinstance(one.layer, Input | Dropout)
        ),
    )


def _overlay(values: npt.NDArray[np.float64], least: float) -> Drawn:
    """Values in the colours that lie over the image; the strongest colour stands for `least` or more."""
    return coloured(values[None] / (max(least, float(np.abs(values).max())) or 1.0), 1, faint=False)


def _maps(name: str, text: str, values: npt.NDArray[np.float64]) -> Maps:
    strongest = float(np.abs(values).max())
    shown = smaller(values[:MOST_MAPS], LARGEST_MAP) / (strongest or 1.0)
    sheet = coloured(shown, ACROSS)
    return Maps(name, text, shape_text(values.shape), len(values), len(shown), strongest, sheet)
