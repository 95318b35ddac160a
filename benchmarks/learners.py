"""What `python -m benchmarks normalisation` and `odd` train, and how: for the process of either framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.bench.nets import NETS, Net


def _plain(filters: Sequence[int]) -> str:
    """Convolutions one behind the other, with a pool wherever their number of filters grows."""
    parts = []
    for number, count in enumerate(filters):
        if number and count > filters[number - 1]:
            parts.append("max 2")
        parts.append(f"conv {count}@3x3 same nobias, batchnorm, relu")
    return ", ".join([*parts, "global average, dense 10"])


LEARNERS = {
    net.name: net
    for net in (
        Net("plain4", _plain((32, 32, 64, 64)), (3, 32, 32)),
        Net("plain12", _plain((16,) * 4 + (32,) * 4 + (64,) * 4), (3, 32, 32)),
        NETS["resnet20"],
    )
}
"""Networks to learn with: a shallow one, a deep one without residual blocks, and a deep one with them."""


_NORMALISED = "conv 12@3x3 same nobias, batchnorm"

ODD = {
    "wide": "conv 128@5x5 pad 2 stride 2, relu, max 2",
    "one large": "conv 32@7x7, relu, max 2",
    "large": "conv 32@9x9 pad 4 stride 2, relu, max 2, conv 32@5x5 same, relu, max 2",
    "deep": "4 * (conv 8@3x3 same, relu), max 2, 4 * (conv 16@3x3 same, relu), max 2, "
    "4 * (conv 32@3x3 same, relu), max 2",
    "deeper": "conv 8@3x3 pad 1 stride 2, relu, 19 * (conv 8@3x3 same, relu), max 2",
    "strides": "conv 24@3x3 stride 2, relu, conv 48@3x3 stride 2, relu, conv 96@3x3 stride 2, relu",
    "tanh": "conv 8@5x5, tanh, average 2, conv 16@5x5, tanh, average 2, dense 80, tanh",
    "depthwise": "conv 24@3x3 pad 1 stride 2, relu, 3 * (conv 24@3x3 same groups 24, relu, conv 24@1x1, relu), max 2, "
    "conv 24@3x3 same groups 24, relu, conv 48@1x1, relu, max 2",
    "concat": "conv 16@3x3 pad 1 stride 2, relu, concat(conv 8@1x1 | conv 12@3x3 same | conv 12@5x5 same), relu, "
    "max 2, concat(conv 8@1x1 | conv 16@3x3 same | conv 16@5x5 same), relu, global average",
    "residual": "conv 12@3x3 pad 1 stride 2, relu, 6 * (residual(conv 12@3x3 same, relu, conv 12@3x3 same), relu), "
    "global average",
    "batchnorm": f"conv 12@3x3 pad 1 stride 2 nobias, batchnorm, relu, "
    f"6 * (residual({_NORMALISED}, relu, {_NORMALISED}), relu), global average",
    "dense": "6 * (dense 128, relu)",
}
"""Each network without its last layer, which is dense, with an output for each class."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How both learn: SGD with momentum 0.9, its learning rate rising for a fifth of the steps, then falling to 0."""

    epochs: int
    batch: int = 128
    peak: float = 0.1

    def learning_rates(self, steps: int) -> NDArray[np.float32]:
        """The learning rate of each step, (steps,)."""
        return np.interp(np.arange(steps), [0, steps / 5, steps], [0, self.peak, 0]).astype(np.float32)

    def batches(self, images: int, seed: int) -> NDArray[np.int32]:
        """Whole batches of all epochs, (steps, batch): the numbers of their images."""
        numbers = np.random.default_rng(seed)
        whole = images // self.batch * self.batch
        order = [numbers.permutation(images)[:whole] for _ in range(self.epochs)]
        return np.concatenate(order).reshape(-1, self.batch).astype(np.int32)
