"""One training in PyTorch, in a process of its own where that is installed; see `benchmarks.normalisation`."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]

from benchmarks.learners import LEARNERS, Recipe
from lanewise.bench import data
from lanewise.bench.ops import steps
from lanewise.bench.peers.with_torch import network
from lanewise.network.initial import initial_parameters


def accuracy(net: str, recipe: Recipe, images: str, seed: int, threads: int) -> float:
    """Train, and predict the test images.

    Parameters
    ----------
    net : str
        Name of one of `LEARNERS`.
    recipe : Recipe
    images : str
        An .npz file with train, train_labels, test and test_labels.
    seed : int
        Of weights and batches.
    threads : int

    Returns
    -------
    float
        The share of test images predicted rightly.
    """
    torch.set_num_threads(threads)
    graph = LEARNERS[net].graph
    model: Any = network(steps(graph, initial_parameters(graph, seed), channels_last=False))
    model = model.to(memory_format=torch.channels_last)
    with np.load(images) as stored:
        x, labels, test, wanted = (stored[name] for name in ("train", "train_labels", "test", "test_labels"))
    x, test = (torch.from_numpy(data.prepared(pixels)).permute(0, 3, 1, 2) for pixels in (x, test))
    labels = torch.from_numpy(labels.astype(np.int64))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=data.MOMENTUM, fused=True)
    batches = recipe.batches(len(x), seed)
    for numbers, rate in zip(batches, recipe.learning_rates(len(batches)), strict=True):
        chosen = torch.from_numpy(numbers)
        optimizer.param_groups[0]["lr"] = float(rate)
        loss = torch.nn.functional.cross_entropy(model(x[chosen]), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(part).argmax(1) for part in test.split(500)])
    return float((found.numpy() == wanted).mean())


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps({"accuracy": accuracy(**asked | {"recipe": Recipe(**asked["recipe"])})}))
