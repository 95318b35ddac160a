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
from lanewise.training.whitening import TrainingPixels, whiten

SHIFT = 2
MOMENTUM, DECAY, SMOOTHING = 0.9, 5e-4, 0.1
PEAK = 0.2
MATRIX_PEAK, MATRIX_DECAY, OTHERS = 0.06, 0.1, 10 / 3  # as the default is here


class Muon(torch.optim.Optimizer):  # type: ignore[misc, unused-ignore]
    """PyTorch's own is for matrices alone: this one is for convolutions, and computes what `kernels/muon.py` does."""

    def __init__(self, weights: list[Any]) -> None:
        super().__init__(weights, {"lr": MATRIX_PEAK})

    @torch.no_grad()  # type: ignore[untyped-decorator, unused-ignore]
    def step(self, closure: None = None) -> None:
        """Update the weights by their gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                velocity = self.state[weight].setdefault("velocity", torch.zeros_like(weight))
                velocity.mul_(MOMENTUM).add_(weight.grad)
                matrix = weight.grad.add(velocity, alpha=MOMENTUM).flatten(1)
                step = _orthogonal(matrix) * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * MATRIX_DECAY).sub_(step.view(weight.shape), alpha=group["lr"])


def _orthogonal(x: Any) -> Any:
    x = x / (x.norm() + 1e-7)
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    a, b, c = 3.4445, -4.7750, 2.0315
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.T


def trained(
    network: str, images: str, seconds: float, seed: int, threads: int, optimizer: str = "sgd"
) -> tuple[float, float]:
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
    optimizer : {"sgd", "muon"}
        For the weights of convolutions; all others are SGD's.

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
    seen = TrainingPixels(x, np.arange(len(x)), x.mean((0, 1, 2)), x.std((0, 1, 2)))
    parameters = whiten(graph, initial_parameters(graph, seed), seen, lambda note: None)
    model: Any = network_of(steps(graph, parameters, channels_last=False))
    model = model.to(memory_format=torch.channels_last).train()
    x, test = (torch.from_numpy(data.prepared(pixels)).permute(0, 3, 1, 2) for pixels in (x, test))
    x, test = (one.contiguous(memory_format=torch.channels_last) for one in (x, test))
    labels = torch.from_numpy(labels.astype(np.int64))
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in learned if parameter.ndim > 1]
    others = [parameter for parameter in learned if parameter.ndim <= 1]
    optimizers, peak = [], PEAK
    if optimizer == "muon":
        matrices = [parameter for parameter in weights if parameter.ndim == 4]
        weights = [parameter for parameter in weights if parameter.ndim == 2]
        optimizers.append(Muon(matrices))
        peak = MATRIX_PEAK * OTHERS
    groups = [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizers.append(torch.optim.SGD(groups, lr=peak, momentum=MOMENTUM, nesterov=True, fused=True))
    for one in optimizers:
        for group in one.param_groups:
            group["peak"] = group["lr"]
    batch, done, began = min(default_batch_size(len(x)), len(x)), 0, time.process_time()
    while (fraction := (time.process_time() - began) / seconds) < 1:
        if done % len(x) < batch:
            order = torch.randperm(len(x))
        first = done % len(x)
        chosen = order[first : first + batch]
        done += batch if first + 2 * batch <= len(x) else len(x) - first  # the rest is left out
        part = _augmented(x[chosen])
        loss = cross_entropy(model(part), labels[chosen], label_smoothing=SMOOTHING)
        model.zero_grad(set_to_none=True)
        loss.backward()
        for one in optimizers:
            for group in one.param_groups:
                group["lr"] = group["peak"] * one_cycle(fraction)
            one.step()
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
