"""Networks made from the grammar of their text: what parses and can be built trains, with the reference's gradients.

    python -m tests.reliability.networks --count 2000

Each case draws a small image, layers with odd options, a batch of 1 to 130 and a target; a layer that does not fit what
comes before it is drawn again. Gradients of the fused plan, outputs in batches, one image at a time, and every value of
the plain plan are compared with the reference in NumPy.
"""

from __future__ import annotations

from unittest.mock import patch

import numpy as np

from lanewise.engine import memory
from lanewise.engine.inference import Inference
from lanewise.engine.parameters import FlatParameters, Floats
from lanewise.engine.single import SingleInference
from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.engine.unfused import plain_plan
from lanewise.errors import NetworkError
from lanewise.lanes.program import LANES
from lanewise.model_file import to_onnx
from lanewise.model_file.read import read_own
from lanewise.network import reference
from lanewise.network.activations import ACTIVATIONS
from lanewise.network.channelwise import CHANNELWISE
from lanewise.network.filters import HAND_MADE
from lanewise.network.graph import Graph, build
from lanewise.network.layers import BatchNorm, Elementwise, LayerNorm, MaxPool2D, Sigmoid, Softmax
from lanewise.network.text import parse, to_text
from lanewise.target import named
from tests.engine.support import Array, as_values, images_for, parameters_for, raw_for, steps_of
from tests.engine.test_trainer import dropout_masks, evaluated
from tests.kernels.support import buffer, from_lanes, run_native
from tests.model_file.models import contents
from tests.reliability.running import main

TARGETS = ("host", "avx2", "x86-64")
MOST_CHANNELS = 40
MOST_VALUES = 2_000
TOLERANCE = 2e-4
"""Of the largest gradient: Winograd's transforms of 5x5 kernels lose the most."""

RATE = 0.25
"""The learning rate of the one step."""

NEAR = 1e-5
"""Inputs of a ReLU, or of a max pool, this close to one another may fall on either side of a tie."""


KINKS = {"relu": (0,), "leaky": (0,), "hardsigmoid": (-3, 3), "hardswish": (-3, 3), "prelu": (0,), "relu6": (0, 6)}
"""Where the derivative of an activation jumps."""


def trial(number: int) -> str | None:
    """Build, train and run one network; what differs from the reference, or None."""
    random = np.random.default_rng(number)
    text, shape = made_up(random)
    with patch.object(memory, "worth_sharing", lambda *_: number % 2 == 0):
        return compare(text, shape, batch=int(random.integers(1, 131)), target=TARGETS[number % len(TARGETS)])


def made_up(random: np.random.Generator) -> tuple[str, tuple[int, int, int]]:
    """The text of a network that can be built, and the (channels, rows, columns) of its images."""
    while True:
        sides = random.choice([1, 2, 3, 4, 5, 7, 8, 11, 16], 2)
        shape = (int(random.choice([1, 2, 3, 5])), int(sides[0]), int(sides[1]))
        parts: list[str] = []
        for _ in range(random.integers(1, 6)):
            for _attempt in range(8):
                wanted = [*parts, _layer(random)]
                if _fits(", ".join(wanted), shape):
                    parts = wanted
                    break
        end = random.choice(["dense 3, softmax", "dense 1, sigmoid", "dense 2 nobias, softmax"])
        text = ", ".join([*parts, str(end)])
        whitening = text.replace(parts[0], f"{parts[0]} whiten", 1) if parts and random.random() < 0.2 else text
        text = whitening if _fits(whitening, shape) else text
        if _fits(text, shape) and any(build(parse(text), shape).trainable):
            return text, shape


def _fits(text: str, shape: tuple[int, int, int]) -> bool:
    try:
        graph = build(parse(text), shape)
    except NetworkError:
        return False
    # Of one channel or two, a layer normalisation makes 0 or 1, and what comes back is rounding.
    if any(isinstance(node.layer, LayerNorm) and node.shape[0] < 3 for node in graph.nodes):
        return False
    small = all(node.shape[0] <= MOST_CHANNELS for node in graph.nodes if len(node.shape) == 3)
    return small and all(np.prod(node.shape) <= MOST_VALUES for node in graph.nodes)


def _layer(random: np.random.Generator, depth: int = 0) -> str:
    kinds = ["conv"] * 6 + ["max"] * 3 + ["average"] * 2 + ["relu"] * 4
    kinds += ["batchnorm"] * 2 + ["batchnorm 0.125", "batchnorm frozen"]
    kinds += ["layernorm", "lrn 5 alpha 2 k 2"]
    kinds += ["fixed", "dropout 0.25", "global average", "global max", "dense", "flatten", *ACTIVATIONS, *CHANNELWISE]
    kinds += ["residual", "gate", "concat", "repeat"] if depth < 2 else []
    kind = str(random.choice(kinds))
    if kind == "conv":
        text = f"conv {random.choice([1, 2, 3, 4, 7, 16, 17, 32])}@{_pair(random, [1, 2, 3, 3, 5, 7])}{_window(random)}"
        text += f" dilation {_pair(random, [1, 2, 3])}" if random.random() < 0.2 else ""
        text += f" groups {random.choice([2, 3, 4])}" if random.random() < 0.2 else ""
        return text + _sometimes(random, " nobias", " identity", " frozen")
    if kind in ("max", "average"):
        text = f"{kind} {_pair(random, [1, 2, 2, 3, 4])}{_window(random)}"
        return text + (_sometimes(random, " count-padding") if kind == "average" else "")
    if kind == "fixed":
        return f"fixed {'+'.join(random.choice([*HAND_MADE], random.integers(1, 3), replace=False))}{_window(random)}"
    if kind == "dense":
        return f"dense {random.choice([1, 5, 16, 33])}{_sometimes(random, ' nobias', ' frozen')}"
    if kind == "residual":
        return f"residual({_items(random, depth)}{random.choice(['', ' | ' + _items(random, depth)])})"
    if kind == "gate":
        squeezed = f"global average, {_sometimes(random, 'dense 3, relu, ') or 'tanh, '}"
        return f"gate({random.choice([squeezed, ''])}dense {random.choice([1, 2, 3, 4, 16, 17])}, sigmoid)"
    if kind == "concat":
        return f"concat({_items(random, depth)} | {random.choice(['', _items(random, depth)])})"
    if kind == "repeat":
        return f"{random.integers(2, 4)} * ({_items(random, depth)})"
    return kind


def _items(random: np.random.Generator, depth: int) -> str:
    return ", ".join(_layer(random, depth + 1) for _ in range(random.integers(1, 3)))


def _pair(random: np.random.Generator, sizes: list[int]) -> str:
    rows, columns = random.choice(sizes, 2)
    return f"{rows}x{columns}" if random.random() < 0.5 else f"{rows}"


def _window(random: np.random.Generator) -> str:
    sides = ":".join(map(str, random.integers(0, 4, 4)))
    padding = random.choice(["", " same", " same", " same", f" pad {_pair(random, [0, 1, 2])}", f" pad {sides}"])
    return f"{padding} stride {_pair(random, [1, 2, 2, 3, 5])}" if random.random() < 0.5 else str(padding)


def _sometimes(random: np.random.Generator, *words: str) -> str:
    return "".join(word for word in words if random.random() < 0.25)


def compare(text: str, shape: tuple[int, int, int], batch: int, target: str = "host") -> str | None:
    """Train and run a network on a batch of made-up images; what differs from the reference, or None."""
    graph = build(parse(text), shape)
    where = f"{text} on {shape}, batch {batch}, {target}: "
    if build(parse(to_text(parse(text))), shape) != graph:
        return where + "its text does not read back as the same network"
    parameters, images = parameters_for(graph), images_for(graph, batch + 3)
    numbers = np.random.default_rng(batch).permutation(batch + 3)[:batch]
    classes = max(2, graph.output_shape[0])
    present = max(1, batch - batch // 5)
    steps = steps_of(np.where(np.arange(batch) < present, numbers, -1), classes, learning_rate=RATE, key=(8, 3))
    trainer = Trainer(
        graph,
        parameters,
        raw_for(graph),
        batch_size=batch,
        optimizer=Optimizer(momentum=0.0, nesterov=False),
        threads=1 + batch % 2,
        target=named(target),
    )
    losses, _ = trainer.run(images, steps)
    seen, labels, weights = numbers[:present], steps.labels[0, :present], steps.weights[0, :present]
    expected, gradients = evaluated(graph, parameters, images, seen, labels, weights, key=(8, 3))
    if not np.allclose(losses[0, :present], expected, rtol=TOLERANCE, atol=TOLERANCE):
        return where + f"losses differ by {np.abs(losses[0, :present] - expected).max():.2g}"
    values = reference.forward(graph, parameters, as_values(images[numbers]))
    masks = dropout_masks(graph, seen, (8, 3))
    learned_from = reference.forward(graph, parameters, as_values(images[seen]), dropout_masks=masks, group=LANES)
    if not _tied(graph, learned_from):
        # what a normalisation takes away again has no gradient but the rounding errors of those behind it
        normalised = any(isinstance(node.layer, BatchNorm) for node in graph.nodes)
        common = max(float(np.abs(right).max()) for right in gradients) if normalised and gradients else 1e-3
        for came, right, trainable in zip(trainer.gradients, gradients, graph.trainable, strict=True):
            off = np.abs(came - right).max() if trainable else np.abs(came).max()
            if off > TOLERANCE * max(1e-3, common, float(np.abs(right).max())):
                return where + f"a gradient of shape {came.shape} differs by {off:.2g}"
    for parameter, came, before, gradient in zip(
        graph.parameters, trainer.parameters, parameters, trainer.gradients, strict=True
    ):
        if parameter.is_statistic:
            continue
        off = np.abs(came - (before - RATE * gradient)).max()
        if off > 1e-6 * max(1.0, float(np.abs(before).max()), RATE * float(np.abs(gradient).max())):
            return where + f"weights of shape {came.shape} are off by {off:.2g} after a step"
    outputs = Inference(graph, parameters, raw_for(graph), target=named(target)).run(images, numbers)
    if not np.allclose(outputs, values[-1], atol=TOLERANCE):
        return where + f"outputs in batches differ by {np.abs(outputs - values[-1]).max():.2g}"
    single = SingleInference(graph, parameters, raw_for(graph), target=named(target)).run(images[numbers[0]])
    if not np.allclose(single, values[-1][0], atol=TOLERANCE):
        return where + f"outputs of one image differ by {np.abs(single - values[-1][0]).max():.2g}"
    wrong = _plain(graph, parameters, images[numbers[:LANES]], values, target) or _saved(text, shape)
    return wrong and where + wrong


def _plain(graph: Graph, parameters: list[Floats], images: Floats, values: list[Array], target: str) -> str | None:
    """Whether the plan that keeps every value has the reference's, node by node."""
    plan, flat, channels = plain_plan(graph, "f32"), FlatParameters.of(graph), graph.input_shape[0]
    vector = flat.pack(parameters)
    buffers = {("value", n): buffer(np.zeros(layout.scalars)) for n, layout in enumerate(plan.layouts)}
    buffers |= {("parameter", n): vector[start:] for n, start in enumerate(flat.starts)}
    numbers = np.minimum(np.arange(LANES), len(images) - 1)
    buffers |= {("pixels", 0): buffer(images), ("images", 0): buffer(numbers, np.int32)}
    buffers |= {("scale", 0): buffer(np.ones(channels)), ("offset", 0): buffer(np.zeros(channels))}
    for call in plan.calls:
        buffers[call.buffers[-1]] = run_native(call.program, [buffers[slot] for slot in call.buffers], target)[-1]
    for n, (node, layout) in enumerate(zip(graph.nodes, plan.layouts, strict=True)):
        right = values[n][: len(images)]
        came = from_lanes(buffers["value", n], layout, len(images)).reshape(right.shape)
        if not np.allclose(came, right, rtol=TOLERANCE, atol=TOLERANCE):
            return f"the plain plan's {node.name} differs by {np.abs(came - right).max():.2g}"
    return None


def _saved(text: str, shape: tuple[int, int, int]) -> str | None:
    """Whether a model with this network comes back from its file."""
    made = contents(text, shape)
    back = read_own(to_onnx(made))
    if back.graph != made.graph:
        return "its file does not read back as the same network"
    same = all(a.tobytes() == b.tobytes() for a, b in zip(back.parameters, made.parameters, strict=True))
    return None if same else "its weights do not come back from a file"


def _tied(graph: Graph, values: list[np.ndarray]) -> bool:
    """Whether rounding may decide a ReLU or the argmax of a pool: its gradient is then anybody's."""
    for node in graph.nodes:
        source, gaps = values[node.inputs[0] if node.inputs else 0], []
        if isinstance(node.layer, MaxPool2D):
            gaps = [np.diff(np.sort(source.reshape(len(source), -1), axis=1), axis=1)]
        elif isinstance(node.layer, Elementwise):
            gaps = [np.abs(source - kink) for kink in KINKS.get(node.layer.word, ())]
        rounded = bool(node.inputs) and isinstance(graph.nodes[node.inputs[0]].layer, BatchNorm)  # 0 may be nearly 0
        if any(((gap < NEAR) & ((gap != 0) | rounded)).any() for gap in gaps):
            return True
    return not isinstance(graph.nodes[-1].layer, Softmax | Sigmoid)


if __name__ == "__main__":
    main("networks", trial, 500)
