"""Trainings in PyTorch, in a process of its own where that is installed; see `benchmarks.odd`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from torch.nn.functional import (  # type: ignore[import-not-found, unused-ignore]
    binary_cross_entropy_with_logits,
    cross_entropy,
)

from lanewise.bench.ops import steps
from lanewise.bench.peers.with_torch import network as network_of
from lanewise.network.initial import initial_parameters
from lanewise.training.learning_rate import one_cycle
from lanewise.training.recipe import network_for

DECAY = 5e-4


def accuracies(
    network: str, images: str, rates: Sequence[float], epochs: int, batch: int, seed: int, threads: int
) -> list[float]:
    """Train at each rate, and predict the test images.

    Parameters
    ----------
    network : str
    images : str
        An .npz file with x_train, y_train, x_test and y_test.
    rates : sequence of float
        The highest of the schedule.
    epochs, batch : int
    seed : int
        Of weights and batches.
    threads : int

    Returns
    -------
    list of float
        The share of test images predicted rightly, for each rate.
    """
    torch.set_num_threads(threads)
    with np.load(images) as stored:
        pixels, labels, test, wanted = (stored[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    graph, _ = network_for(network, (pixels.shape[3], *pixels.shape[1:3]), int(labels.max()) + 1)
    center, spread = (value.astype(np.float32) for value in (pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))))
    x, tested = (_prepared((part - center) / spread) for part in (pixels, test))
    found = []
    for rate in rates:
        torch.manual_seed(seed)
        model: Any = network_of(steps(graph, initial_parameters(graph, seed), channels_last=False))
        model = model.to(memory_format=torch.channels_last).train()
        _train(model, x, torch.from_numpy(labels.astype(np.int64)), rate, epochs, batch)
        model.eval()
        with torch.no_grad():
            outputs = torch.cat([model(part) for part in tested.split(500)])
        answers = outputs.argmax(1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).long()
        found.append(float((answers.numpy() == wanted).mean()))
    return found


def _prepared(pixels: Any) -> Any:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _train(model: Any, x: Any, labels: Any, rate: float, epochs: int, batch: int) -> None:
    """SGD with Nesterov momentum; weights decay, biases do not."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    done, total = 0, epochs * -(-len(x) // batch)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(batch):
            for group in optimizer.param_groups:
                group["lr"] = rate * one_cycle(done / total)
            logits = model(x[chosen])
            binary = logits.shape[1] == 1
            loss = (
                binary_cross_entropy_with_logits(logits[:, 0], labels[chosen].float())
                if binary
                else cross_entropy(logits, labels[chosen])
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            done += 1


if __name__ == "__main__":
    print(json.dumps(accuracies(**json.loads(sys.argv[1]))))
