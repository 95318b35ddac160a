"""What a competitor is given: the network, the weights it starts from, images, and how to go about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lanewise.bench import data
from lanewise.bench.nets import Net
from lanewise.network.channelwise import BatchNorm
from lanewise.network.graph import Graph
from lanewise.network.initial import initial_parameters
from lanewise.network.layers import Dropout, Sigmoid

Kind = Literal["train", "infer"]


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of a competitor, small enough to be sent to its process.

    Attributes
    ----------
    net : Net
    kind : {"train", "infer"}
    mode : str
        Which of a framework's modes.
    batch, threads : int
    images : int
        How many there are; 0 for as many as `data.image_count` finds sensible.
    model : str
        The saved model file that predicts; training needs none.
    """

    net: Net
    kind: Kind
    mode: str
    batch: int
    threads: int
    images: int = 0
    model: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(record: dict[str, Any]) -> Task:
        """Put together what came through a pipe."""
        net = record["net"]
        return Task(**record | {"net": Net(**net | {"shape": tuple(net["shape"])})})


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A task with everything that it takes: raw pixels (N, rows, columns, channels), labels (N,) and weights."""

    task: Task
    graph: Graph
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    weights: tuple[NDArray[np.float32], ...]

    @staticmethod
    def of(task: Task) -> Workload:
        """Draw the images, and for training the weights."""
        graph = task.net.graph
        pixels, labels = data.images(task.net, task.images or data.image_count(task.net, task.batch))
        weights = initial_parameters(graph, data.SEED) if task.kind == "train" else ()
        return Workload(task, graph, pixels, labels, tuple(weights))

    @property
    def binary(self) -> bool:
        """Whether one output says which of two classes it is."""
        return isinstance(self.graph.nodes[-1].layer, Sigmoid)


class Learner(Protocol):
    """A network that is trained step by step."""

    def __call__(self, batches: Sequence[NDArray[np.int32]]) -> float:
        """Do one step for each batch, wait until all is done, and return the mean loss of the last batch."""


class Predictor(Protocol):
    """A network that predicts."""

    def __call__(self, parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Predict part after part of (n, rows, columns, channels) raw pixels; probabilities of the last, (n, ...)."""


def save_model(net: Net, path: Path) -> None:
    """Write the model file that everybody predicts with: untrained weights take as long as trained ones."""
    from lanewise.model_file import Contents, write
    from lanewise.preprocessing import Preprocessing

    channels, rows, columns = net.shape
    scaling = Preprocessing(rows, columns, channels, "uint8", (data.SCALE,) * channels, (data.OFFSET,) * channels)
    graph = net.graph
    write(Contents(graph, tuple(initial_parameters(graph, data.SEED)), tuple(range(net.classes)), scaling), path)


def agrees_roughly(net: Net) -> bool:
    """Whether losses agree only roughly: dropout drops other values for each, and batch normalisation takes its
    statistics over 16 images here, and elsewhere over the whole batch."""
    return any(isinstance(node.layer, Dropout | BatchNorm) for node in net.graph.nodes)
