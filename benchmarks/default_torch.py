"""A training in PyTorch that takes so much processor time, where that is installed; see `benchmarks.default`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from torch.nn.functional import cross_entropy, pad  # type: ignore[import-not-found, unused-ignore]

from lanewise.bench import data
from lanewise.bench.ops import steps
from lanewise.bench.peers.with_torch import network as network_of
from lanewise.network.initial import initial_parameters
from lanewise.training.learning_rate import one_cycle
from lanewise.training.recipe import default_batch_size, network_for

SHIFT = 2
PEAK, DECAY, SMOOTHING = 0.2, 5e-4, 0.1


def trained(network: str, images: str, seconds: float, seed: int, threads: int) -> tuple[float, float]:
    """Train, and predict the test images and their mirror images.

    Parameters
    ----------
    network : str
    images : str
        An .npz file with x_train, y_train, x_test and y_test.
    seconds : float
        Processor time; the learning rate falls to 0 at their end.
    seed : int
    threads : int

    Returns
    -------
    accuracy, epochs : float
        The share of test images predicted rightly, and how many epochs there were.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    with np.load(images) as stored:
        x, labels, test, wanted = (stored[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    graph, _ = network_for(network, (x.shape[3], *x.shape[1:3]), int(labels.max()) + 1)
    model: Any = network_of(steps(graph, initial_parameters(graph, seed), channels_last=False))
    model = model.to(memory_format=torch.channels_last).train()
    x, test = (torch.from_numpy(data.prepared(pixels)).permute(0, 3, 1, 2) for pixels in (x, test))
    x, test = (one.contiguous(memory_format=torch.channels_last) for one in (x, test))
    labels = torch.from_numpy(labels.astype(np.int64))
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=PEAK, momentum=0.9, nesterov=True, fused=True)
    batch, done, began = min(default_batch_size(len(x)), len(x)), 0, time.process_time()
    while (fraction := (time.process_time() - began) / seconds) < 1:
        if done % len(x) < batch:
            order = torch.randperm(len(x))
        first = done % len(x)
        chosen = order[first : first + batch]
        done += batch if first + 2 * batch <= len(x) else len(x) - first  # the rest is left out
        part = _augmented(x[chosen])
        for group in optimizer.param_groups:
            group["lr"] = PEAK * one_cycle(fraction)
        loss = cross_entropy(model(part), labels[chosen], label_smoothing=SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        found = torch.cat([(model(part) + model(part.flip(3))).argmax(1) for part in test.split(500)])
    return float((found.numpy() == wanted).mean()), done / len(x)


def _augmented(x: Any) -> Any:
    """The whole batch shifted alike, which costs PyTorch little, and each image mirrored or not."""
    down, right = np.random.randint(0, 2 * SHIFT + 1, 2)
    rows, columns = x.shape[2:]
    moved = pad(x, (SHIFT,) * 4)[:, :, down : down + rows, right : right + columns]
    mirrored = torch.rand(len(x)) < 0.5
    return torch.where(mirrored[:, None, None, None], moved.flip(3), moved)


if __name__ == "__main__":
    accuracy, epochs = trained(**json.loads(sys.argv[1]))
    print(json.dumps({"accuracy": accuracy, "epochs": epochs}))
