"""Training steps against the reference: gradients of every layer, partial batches, updates, losses, dropout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lanewise.engine import trainer
from lanewise.engine.muon import OTHERS
from lanewise.engine.parameters import Floats
from lanewise.engine.share import MOST_SHARDS
from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.errors import NetworkError, TooLargeError
from lanewise.kernels.augmentation import MIX_PLACES, Augment
from lanewise.kernels.random import bits_array
from lanewise.lanes.program import LANES
from lanewise.network import reference
from lanewise.network.graph import Graph, is_frozen
from lanewise.network.layers import Dropout, Sigmoid, Softmax
from tests.cases import LAYER_CASES, NETWORK_CASES, Case
from tests.engine.support import Array, as_values, images_for, network, parameters_for, raw_for, steps_of

pytestmark = pytest.mark.usefixtures("all_processors")

PLAIN = Optimizer(momentum=0.0, nesterov=False)
CLASSES = 3


def trainer_for(graph: Graph, parameters: list[Floats], batch: int, **options: object) -> Trainer:
    options = {"optimizer": PLAIN, "threads": 2} | options
    return Trainer(graph, parameters, raw_for(graph), batch_size=batch, **options)  # type: ignore[arg-type]


def dropout_masks(graph: Graph, numbers: np.ndarray, key: tuple[int, int]) -> dict[int, Array]:
    """What each Dropout node keeps of each image, by the formula of its random numbers."""
    masks: dict[int, Array] = {}
    place = 0
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, Dropout):
            places = place + np.arange(np.prod(node.shape))
            drawn = bits_array(key[0], key[1], numbers[:, None], places[None, :])
            kept = (drawn >> np.uint32(8)) * 2.0**-24 >= node.layer.rate
            masks[number] = kept.reshape(len(numbers), *node.shape).astype(np.float64)
            place += int(np.prod(node.shape))
    return masks


def evaluated(
    graph: Graph,
    parameters: list[Floats],
    images: Floats,
    numbers: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    label_smoothing: float = 0.0,
    key: tuple[int, int] = (0, 0),
) -> tuple[Array, list[Array]]:
    """Losses (without weights) and gradients by the reference. The graph's last node turns logits into the output."""
    masks = dropout_masks(graph, numbers, key)
    values = reference.forward(graph, parameters, as_values(images[numbers]), dropout_masks=masks, group=LANES)
    ends = isinstance(graph.nodes[-1].layer, Softmax | Sigmoid)
    logits = values[-2] if ends else values[-1]
    loss = reference.sigmoid_cross_entropy if isinstance(graph.nodes[-1].layer, Sigmoid) else None
    loss = loss or reference.softmax_cross_entropy
    losses, _ = loss(logits, labels, np.ones(len(labels)), label_smoothing)
    _, dlogits = loss(logits, labels, weights, label_smoothing)
    headless = Graph(graph.nodes[:-1], graph.parameters) if ends else graph
    expected_gradients, _ = reference.backward(
        headless, parameters, values[: len(headless.nodes)], dlogits, dropout_masks=masks, group=LANES
    )
    return losses, expected_gradients


def assert_close(came: list[Floats], expected: list[Array], tolerance: float = 3e-5, least: float = 1e-6) -> None:
    for a, b in zip(came, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(least, float(np.abs(b).max())))


# Gradients of every layer


def _trainable(case: Case) -> Graph:
    """A convolution before it, so that its input gradient is needed, and a head that can be learned from."""
    if case in NETWORK_CASES:
        return case.graph()
    return network(f"conv {case.input_shape[0]}@1, relu, {case.text}, dense {CLASSES}, softmax", case.input_shape)


@pytest.mark.parametrize("case", LAYER_CASES + NETWORK_CASES, ids=str)
def test_gradients(case: Case) -> None:
    graph = _trainable(case)
    classes = max(2, graph.output_shape[0])
    parameters, images = parameters_for(graph), images_for(graph, 40)
    numbers = np.random.default_rng(2).permutation(40)
    numbers[37:] = -1
    weights = np.where(numbers >= 0, np.random.default_rng(3).uniform(0, 0.05, 40), 0).astype(np.float32)
    steps = steps_of(numbers, classes, weights=weights, key=(8, 3))
    trainer = trainer_for(graph, parameters, 40)
    losses, correct = trainer.run(images, steps)
    expected, expected_gradients = evaluated(
        graph, parameters, images, numbers[:37], steps.labels[0, :37], weights[:37], key=(8, 3)
    )
    norms = any(parameter.is_statistic for parameter in graph.parameters)
    least = 0.02 if norms else 1e-6  # a bias before a batch normalisation has a gradient of rounding alone
    assert_close(trainer.gradients, expected_gradients, least=least)
    np.testing.assert_allclose(losses[0, :37], expected, rtol=2e-5, atol=2e-6)
    assert (losses[0, 37:] == 0).all()
    assert (correct[0, 37:] == 0).all()
    assert set(np.unique(correct)) <= {0.0, 1.0}
    for parameter, a, b in zip(graph.parameters, trainer.parameters, parameters, strict=True):
        frozen = is_frozen(graph.nodes[parameter.node].layer)
        assert (a == b).all() or (parameter.is_statistic and not frozen), "the rate was 0"


# Batches

LITTLE = "conv 5@3 same, relu, max 2, dense 6, relu, dropout 0.25, dense 4, softmax"


@pytest.mark.parametrize("batch", [1, 5, 16, 17, 40, 128, 300])
@pytest.mark.parametrize("present", [1.0, 0.6])
def test_batch_sizes(batch: int, present: float) -> None:
    """Whole and partial batches; those not full leave groups, and shards, without an image."""
    graph = network(LITTLE, (2, 5, 6))
    parameters, images = parameters_for(graph), images_for(graph, batch)
    count = max(1, int(batch * present))
    numbers = np.where(np.arange(batch) < count, np.arange(batch), -1)
    steps = steps_of(numbers, 4)
    trainer = trainer_for(graph, parameters, batch)
    share = trainer.share
    assert share.shards <= MOST_SHARDS
    assert share.groups <= share.shards * share.groups_per_shard < share.groups + share.groups_per_shard
    losses, _ = trainer.run(images, steps)
    assert losses.shape == (1, batch)
    expected, expected_gradients = evaluated(
        graph, parameters, images, numbers[:count], steps.labels[0, :count], steps.weights[0, :count]
    )
    np.testing.assert_allclose(losses[0, :count], expected, rtol=2e-5, atol=2e-6)
    assert_close(trainer.gradients, expected_gradients)


def test_neighbours_and_absent_images_change_nothing() -> None:
    """An image's loss has the same bits in any company; NaNs in images that are not in the batch do no harm."""
    graph = network(LITTLE, (2, 5, 6))
    parameters, images = parameters_for(graph), images_for(graph, 60)
    trainer = trainer_for(graph, parameters, 40)
    together, _ = trainer.run(images, steps_of(np.arange(1, 41), 4))
    spoiled = images.copy()
    spoiled[[0, *range(4, 60)]] = np.nan
    alone = np.full(40, -1)
    alone[:3] = [1, 2, 3]
    losses, _ = trainer.run(spoiled, steps_of(alone, 4))
    assert (losses[0, :3] == together[0, :3]).all()
    assert all(np.isfinite(gradient).all() for gradient in trainer.gradients)
    moved = trainer.run(images, steps_of(np.roll(np.arange(1, 41), 7), 4))[0]
    np.testing.assert_array_equal(moved[0], np.roll(together[0], 7))


def test_absent_images_add_nothing_to_gradients() -> None:
    """The same three numbers in batches of 3 and of 40: the same bits, as their group is summed in the same order."""
    graph = network(LITTLE, (2, 5, 6))
    parameters, images = parameters_for(graph), images_for(graph, 60)
    gradients = []
    for batch in (3, 40):
        numbers = np.full(batch, -1)
        numbers[:3] = [11, 12, 13]
        trainer = trainer_for(graph, parameters, batch)
        trainer.run(images, steps_of(numbers, 4, weights=np.where(numbers >= 0, 0.5, 0)))
        gradients.append(trainer.gradients)
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("batch", [40, 300])
def test_a_short_step_forgets_the_full_one_before(batch: int) -> None:
    """Groups and shards that a step has not count as nothing, whatever they held before."""
    graph = network(LITTLE, (2, 5, 6))
    parameters, images = parameters_for(graph), images_for(graph, batch)
    short = steps_of(np.where(np.arange(batch) < 3, np.arange(batch), -1), 4)
    after, alone = trainer_for(graph, parameters, batch), trainer_for(graph, parameters, batch)
    after.run(images, steps_of(np.arange(batch), 4))
    for one in (after, alone):
        one.run(images, short)
    for a, b in zip(after.gradients, alone.gradients, strict=True):
        np.testing.assert_array_equal(a, b)


def test_many_steps_in_one_call_or_in_many() -> None:
    graph = network(LITTLE, (2, 5, 6))
    parameters, images = parameters_for(graph), images_for(graph, 60)
    numbers = np.arange(120).reshape(6, 20) % 60
    at_once, one_by_one = (
        trainer_for(graph, parameters, 20, optimizer=Optimizer("adamw", weight_decay=0.01)) for _ in range(2)
    )
    losses, _ = at_once.run(images, steps_of(numbers, 4, learning_rate=0.01))
    singly = [one_by_one.run(images, steps_of(row, 4, learning_rate=0.01))[0][0] for row in numbers]
    np.testing.assert_array_equal(losses, singly)
    np.testing.assert_array_equal(at_once.vector, one_by_one.vector)


def test_bytes_are_scaled() -> None:
    """Images of uint8: raw * scale + offset, by channel."""
    graph = network("conv 3@3, dense 4, softmax", (2, 5, 6))
    raw = (images_for(graph, 20) * 16 + 32).astype(np.uint8)
    preprocessing = replace(raw_for(graph, "uint8"), scale=(1 / 64, 1 / 32), offset=(-0.5, 0.25))
    trainer = Trainer(graph, parameters_for(graph), preprocessing, batch_size=20, optimizer=PLAIN, threads=1)
    steps = steps_of(np.arange(20), 4)
    losses, _ = trainer.run(raw, steps)
    scaled = raw * preprocessing.constants["scale"] + preprocessing.constants["offset"]
    expected, _ = evaluated(graph, parameters_for(graph), scaled, np.arange(20), steps.labels[0], steps.weights[0])
    np.testing.assert_allclose(losses[0], expected, rtol=2e-5)


# Losses


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("text", ["dense 5, softmax", "dense 5", "dense 1, sigmoid"])
def test_losses(text: str, label_smoothing: float) -> None:
    graph = network(f"conv 3@2, tanh, {text}", (1, 4, 5))
    parameters, images = parameters_for(graph), images_for(graph, 24)
    classes = max(2, graph.output_shape[0])
    steps = steps_of(np.arange(24), classes)
    trainer = trainer_for(graph, parameters, 24, label_smoothing=label_smoothing)
    losses, correct = trainer.run(images, steps)
    expected, expected_gradients = evaluated(
        graph, parameters, images, np.arange(24), steps.labels[0], steps.weights[0], label_smoothing
    )
    np.testing.assert_allclose(losses[0], expected, rtol=2e-5, atol=2e-6)
    assert_close(trainer.gradients, expected_gradients)
    output = reference.forward(graph, parameters, as_values(images))[-1]
    guessed = output.argmax(axis=1) if classes > 2 else output[:, 0] > 0.5
    np.testing.assert_array_equal(correct[0], guessed == steps.labels[0])


@pytest.mark.parametrize("text", ["conv 4@3 same, relu, dense 4, softmax", "conv 4@3 same, relu, dense 1, sigmoid"])
@pytest.mark.parametrize(("batch", "count"), [(40, 37), (300, 290), (20, 17)])
def test_mixed_images(text: str, batch: int, count: int) -> None:
    """Each is mixed with the next of its group, the last with the first; that of a group not full with the batch's."""
    graph = network(text, (2, 5, 6))
    parameters, images = parameters_for(graph), images_for(graph, batch)
    numbers = np.random.default_rng(4).permutation(batch)
    numbers[count:] = -1
    steps, augment = steps_of(numbers, max(2, graph.output_shape[0]), key=(8, 3)), Augment(mixup=0.5)
    filled, labels = (
        np.append(np.where(numbers < 0, one[0], one), [one[0]] * (-batch % LANES)) for one in (numbers, steps.labels[0])
    )
    following = np.arange(len(filled)).reshape(-1, LANES)[:, np.arange(1, LANES + 1) % LANES].ravel()[:count]
    t = 0.5 * ((bits_array(8, 3, numbers[:count], MIX_PLACES[0]) >> np.uint32(8)) / 2**24)[:, None]
    pixels = images.astype(np.float64)
    shape = (count, 1, 1, 1)
    x = pixels[numbers[:count]] + t.reshape(shape) * (pixels[filled[following]] - pixels[numbers[:count]])
    one_hot = np.eye(graph.output_shape[0]) if graph.output_shape[0] > 1 else np.arange(2.0)[:, None]
    targets = (1 - t) * one_hot[labels[:count]] + t * one_hot[labels[following]]
    values = reference.forward(graph, parameters, as_values(x))  # type: ignore[arg-type]
    loss = reference.softmax_cross_entropy if graph.output_shape[0] > 1 else reference.sigmoid_cross_entropy
    expected, _ = loss(values[-2], targets, np.ones(count))
    _, dlogits = loss(values[-2], targets, steps.weights[0, :count])
    headless = Graph(graph.nodes[:-1], graph.parameters)
    expected_gradients, _ = reference.backward(headless, parameters, values[:-1], dlogits)
    trainer = trainer_for(graph, parameters, batch, augment=augment)
    losses, _ = trainer.run(images, steps)
    np.testing.assert_allclose(losses[0, :count], expected, rtol=2e-5, atol=2e-6)
    assert_close(trainer.gradients, expected_gradients)


def test_sigmoid_has_one_output() -> None:
    graph = network("dense 2, sigmoid", (1, 2, 2))
    with pytest.raises(NetworkError, match="ends in sigmoid has one output to learn from, not 2"):
        trainer_for(graph, parameters_for(graph), 16)


# Updates


@pytest.mark.parametrize("batch", [10, 40])
@pytest.mark.parametrize(
    "optimizer",
    [
        Optimizer(momentum=0.0, nesterov=False),
        Optimizer(momentum=0.9, nesterov=False, weight_decay=0.1),
        Optimizer(momentum=0.9, nesterov=True, weight_decay=0.1),
        Optimizer("adamw", weight_decay=0.1),
        Optimizer("adamw", momentum=0.8, beta2=0.9, epsilon=1e-3),
        Optimizer("muon", weight_decay=0.1),
    ],
    ids=["sgd", "momentum", "nesterov", "adamw", "adamw options", "muon"],
)
def test_updates(optimizer: Optimizer, batch: int) -> None:
    """Several steps by the reference from the engine's own gradients; weight decay spares biases."""
    graph = network("conv 4@3, relu, dense 5, tanh, dense 3, softmax", (2, 5, 6))
    images = images_for(graph, 60)
    trainer = trainer_for(graph, parameters_for(graph), batch, optimizer=optimizer)
    expected = [np.asarray(p, np.float64) for p in trainer.parameters]
    states = [[np.zeros(p.shape), np.zeros(p.shape)] for p in expected]
    for step in range(1, 5):
        rate = 0.05 / step
        numbers = (np.arange(batch) + 7 * step) % 60
        trainer.run(images, steps_of(numbers, 3, learning_rate=rate))
        for n, (parameter, gradient) in enumerate(zip(graph.parameters, trainer.gradients, strict=True)):
            decay = optimizer.weight_decay if parameter.role == "weight" else 0.0
            if optimizer.name == "muon" and n == 0:
                expected[n], states[n][0] = reference.muon(
                    expected[n], gradient, states[n][0], learning_rate=rate, weight_decay=decay
                )
            elif optimizer.name in ("sgd", "muon"):
                others = OTHERS if optimizer.name == "muon" else 1
                decay = 0.0 if optimizer.name == "muon" else decay
                expected[n], states[n][0] = reference.sgd(
                    expected[n],
                    gradient,
                    states[n][0],
                    learning_rate=others * rate,
                    momentum=optimizer.momentum,
                    nesterov=optimizer.nesterov,
                    weight_decay=decay,
                )
            else:
                expected[n], *states[n] = reference.adamw(  # type: ignore[misc]
                    expected[n],
                    gradient,
                    *states[n],
                    step,
                    learning_rate=rate,
                    beta1=optimizer.momentum,
                    beta2=optimizer.beta2,
                    epsilon=optimizer.epsilon,
                    weight_decay=decay,
                )
    for came, wanted in zip(trainer.parameters, expected, strict=True):
        np.testing.assert_allclose(came, wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_shifts_of_normalisations_have_a_rate_of_their_own(name: str) -> None:
    graph = network("conv 4@3 nobias, batchnorm, relu, conv 3@1, scale, relu, dense 60, dense 3, softmax", (2, 9, 9))
    images, moved = images_for(graph, 40), []
    for scaler in (1.0, 8.0):
        optimizer = Optimizer(name, weight_decay=0.1, bias_scaler=scaler)
        trainer = trainer_for(graph, parameters_for(graph), 40, optimizer=optimizer)
        trainer.run(images, steps_of(np.arange(40), 3, learning_rate=0.001))
        moved.append([a - b for a, b in zip(trainer.parameters, parameters_for(graph), strict=True)])
    assert sum(parameter.role == "shift" for parameter in graph.parameters) == 2
    for parameter, one, other in zip(graph.parameters, *moved, strict=True):
        times = 8 if parameter.role == "shift" else 1
        np.testing.assert_allclose(other, times * one, atol=2e-6, err_msg=str(parameter))


def test_weight_decay_spares_biases_scales_and_shifts() -> None:
    graph = network("conv 4@3, batchnorm, scale, prelu, dense 3, softmax", (2, 5, 5))
    flat = trainer_for(graph, parameters_for(graph), 20).flat
    decayed = [decays.all() for decays in flat.views(flat.decay())]
    roles = ["weight", "bias", "scale", "shift", "mean", "variance", "scale", "shift", "slope", "weight", "bias"]
    assert [parameter.role for parameter in graph.parameters] == roles
    assert decayed == [role == "weight" for role in roles]


def test_moving_average() -> None:
    """Of weights and running statistics alike, after each step; what is frozen is its own average."""
    graph = network("conv 4@3 frozen, relu, conv 3@3 nobias, batchnorm, relu, dense 60, dense 3, softmax", (2, 9, 9))
    start, images = parameters_for(graph), images_for(graph, 40)
    trainer = trainer_for(graph, start, 40, optimizer=Optimizer(ema=0.4))
    expected = [np.asarray(p, np.float64) for p in start]
    for step in range(6):
        trainer.run(images, steps_of(np.arange(40), 3, learning_rate=0.05))
        decay = min(0.4, (1 + step) / (10 + step))
        expected = [decay * a + (1 - decay) * p for a, p in zip(expected, trainer.parameters, strict=True)]
    average = trainer.flat.unpack(trainer.averaged)
    for parameter, came, wanted, now in zip(graph.parameters, average, expected, trainer.parameters, strict=True):
        np.testing.assert_allclose(came, wanted, atol=2e-7 * max(1.0, float(np.abs(wanted).max())))
        assert (came == now).all() == is_frozen(graph.nodes[parameter.node].layer), parameter
    with_none = trainer_for(graph, start, 40)
    assert with_none.averaged is with_none.vector


def test_padding_of_the_vector_stays_zero() -> None:
    graph = network("dense 5, relu, dense 3, softmax", (1, 3, 3))
    trainer = trainer_for(graph, parameters_for(graph), 20, optimizer=Optimizer("adamw", weight_decay=0.1))
    trainer.run(images_for(graph, 20), steps_of(np.tile(np.arange(20), (5, 1)), 3, learning_rate=0.05))
    padding = trainer.flat.pack([np.ones(p.shape, np.float32) for p in graph.parameters]) == 0
    assert padding.sum() > 1000
    assert not trainer.vector[padding].any()
    assert np.isfinite(trainer.vector).all()


def test_training_learns() -> None:
    """All parts together: training overfits a handful of images."""
    graph = network("conv 6@3 same, relu, max 2, dense 16, relu, dense 4, softmax", (1, 6, 6))
    images = images_for(graph, 32)
    trainer = trainer_for(graph, parameters_for(graph), 32, optimizer=Optimizer())
    losses, correct = trainer.run(images, steps_of(np.tile(np.arange(32), (150, 1)), 4, learning_rate=0.05))
    assert losses[0].mean() > 1.0
    assert losses[-1].mean() < 0.05
    assert correct[-1].all()


# Dropout


def test_dropout_differs_by_image_epoch_and_seed_and_node() -> None:
    graph = network("dropout 0.5, dropout 0.5, dense 2, softmax", (1, 6, 6))
    numbers = np.arange(16)
    masks = [dropout_masks(graph, numbers, key) for key in ((1, 1), (1, 2), (2, 1))]
    drawn = [mask[n].reshape(16, -1) for mask in masks for n in (1, 2)]
    assert len({d.tobytes() for d in drawn}) == len(drawn)
    assert len(np.unique(drawn[0], axis=0)) == 16


def test_dropout_scales() -> None:
    """What is kept is divided by 1 - rate: the mean stays. With a weight of 1 for all, the logit is the mean."""
    graph = network("dropout 0.25, dense 1 nobias, sigmoid", (1, 20, 20))
    weight = np.full((1, 400), 1 / 400, np.float32)
    trainer = trainer_for(graph, [weight], 64)
    images = np.ones((64, 20, 20, 1), np.float32)
    losses, _ = trainer.run(images, steps_of(np.arange(64), 2, key=(4, 2)))
    labels = np.arange(64) * 7 % 2
    logits = -np.log(np.expm1(losses[0])) * np.where(labels == 1, 1, -1)
    kept = dropout_masks(graph, np.arange(64), (4, 2))[1].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(logits, kept / 0.75, rtol=1e-3)
    assert abs(logits.mean() - 1) < 0.01


# Memory and options


def test_memory_is_checked_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(what: str, needed: int, batch_size: int | None = None) -> None:
        asked.append(needed)
        raise TooLargeError(what)

    monkeypatch.setattr(trainer, "check_memory", refuse)
    monkeypatch.setattr(trainer, "aligned", lambda *_: pytest.fail("memory was taken before the check"))
    graph = network("dense 4, softmax", (1, 3, 3))
    with pytest.raises(TooLargeError):
        trainer_for(graph, parameters_for(graph), 16)
    assert asked[0] > 4 * graph.parameter_count


def test_live_vector_and_copies() -> None:
    graph = network("dense 4, softmax", (1, 3, 3))
    trainer = trainer_for(graph, parameters_for(graph), 16)
    copies = trainer.parameters
    trainer.vector[:] = 0
    assert all(p.any() for p in copies)
    assert not any(p.any() for p in trainer.parameters)
    assert trainer.cache.hits + trainer.cache.misses > 0


def test_a_layer_of_many_branches() -> None:
    """Each branch is a pointer of one call; more than fit are refused by name before anything is planned."""
    from lanewise.errors import ShapeError

    def branches(count: int) -> str:
        return f"concat({' | '.join(['conv 1@1'] * count)}), dense 3, softmax"

    graph = network(branches(60), (2, 3, 3))
    parameters, images = parameters_for(graph), images_for(graph, 20)
    trainer = trainer_for(graph, parameters, 20)
    losses, _ = trainer.run(images, steps_of(np.arange(20)[None], 3))
    assert np.isfinite(losses).all()
    with pytest.raises(ShapeError, match="61 inputs; up to 60 fit"):
        network(branches(61), (2, 3, 3))


# State


def taught(trainer: Trainer, images: Floats, first: int, last: int) -> None:
    """Train with steps `first` to `last` - 1 of a long training."""
    for step in range(first, last):
        numbers = np.random.default_rng(step).permutation(40)[:37]
        trainer.run(images, steps_of(numbers, 4, learning_rate=0.01, key=(8, step)))


@pytest.mark.parametrize(
    "optimizer",
    [Optimizer("sgd", weight_decay=1e-3, ema=0.9), Optimizer("adamw"), Optimizer("muon")],
    ids=lambda o: o.name,
)
def test_training_goes_on_from_its_state_with_the_same_bits(optimizer: Optimizer, tmp_path: Path) -> None:
    graph = network(LITTLE.replace("dense 6", "dense 150"), (2, 22, 22))  # large enough for deferred gradients
    parameters, images = parameters_for(graph), images_for(graph, 40)
    whole, first = (trainer_for(graph, parameters, 37, optimizer=optimizer) for _ in range(2))
    taught(whole, images, 0, 6)
    taught(first, images, 0, 3)
    np.savez(tmp_path / "state.npz", **first.state())
    second = trainer_for(graph, parameters_for(graph, seed=5), 37, optimizer=optimizer)
    taught(second, images, 7, 8)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as saved:
        second.restore(saved)
    taught(second, images, 3, 6)
    for name, array in whole.state().items():
        assert array.tobytes() == second.state()[name].tobytes(), name
    taught(first, images, 3, 4)
    assert first.vector.tobytes() != second.vector.tobytes(), "a state is a copy"


def test_a_state_of_another_network_or_optimizer_is_refused() -> None:
    graph, other = network(LITTLE, (2, 8, 8)), network(LITTLE, (1, 8, 8))
    trainer = trainer_for(graph, parameters_for(graph), 16, optimizer=Optimizer("adamw"))
    before = trainer.vector.tobytes()
    for wrong in (
        trainer_for(other, parameters_for(other), 16, optimizer=Optimizer("adamw")).state(),
        trainer_for(graph, parameters_for(graph, 1), 16).state(),
        trainer_for(graph, parameters_for(graph), 16, optimizer=Optimizer("adamw", ema=0.9)).state(),
        trainer.state() | {"more": np.zeros(2)},
        trainer.state() | {"parameters": trainer.vector.astype(np.float64)},
    ):
        with pytest.raises(NetworkError, match="does not fit this network and optimizer"):
            trainer.restore(wrong)
    assert trainer.vector.tobytes() == before
