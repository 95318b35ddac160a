"""Deferred gradients are the gradients, bit for bit; and where gradients lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lanewise.engine import gradients
from lanewise.engine.gradients import Gradients, even, pieces
from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.kernels.augmentation import Augment
from lanewise.lanes.program import LANES
from lanewise.network.graph import Graph, is_frozen
from tests.engine.support import images_for, network, parameters_for, raw_for, steps_of

NETWORKS = {
    "two layers": ("conv 5@3 same, relu, max 2, dense 20, relu, dropout 0.25, dense 4, softmax", (2, 8, 7)),
    "behind a border": ("conv 3@3, concat(conv 2@3 same | max 3 same stride 1), dense 7, softmax", (1, 6, 6)),
    "one input, two users": ("conv 3@3, flatten, concat(dense 5 nobias | dense 8), dense 3, softmax", (2, 5, 5)),
    "images themselves": ("dense 33, sigmoid, residual(dense 33, relu), dense 1, sigmoid", (3, 7, 5)),
    "sums": ("dense 33, residual(dense 33), residual(dense 33, tanh, dense 33), dense 2, softmax", (3, 7, 5)),
    "a sum of dense layers": ("dense 33, residual(dense 33, tanh, dense 33), dense 2, softmax", (3, 7, 5)),
    "nothing but weights": ("dense 64 nobias, softmax", (2, 16, 16)),
}

NORMALISED = ("conv 5@3 same nobias, batchnorm, relu, max 2, dense 20, relu, dense 4, softmax", (2, 6, 6))


def train(name: str, batch: int, optimizer: Optimizer, **options: object) -> Trainer:
    """Some steps, of which not all are full."""
    graph = network(*(NETWORKS | {"normalised": NORMALISED})[name])
    images = np.arange(4 * batch).reshape(4, batch) % 60
    images[1, batch // 3 + 1 :] = -1
    images[3, batch - batch // 5 :] = -1
    trainer = Trainer(
        graph,
        parameters_for(graph),
        raw_for(graph),
        batch_size=batch,
        optimizer=optimizer,
        augment=Augment(1, 1, False, True),
        **options,  # type: ignore[arg-type]
    )
    trainer.run(images_for(graph, 60), steps_of(images, max(2, graph.output_shape[0]), learning_rate=0.02))
    return trainer


@pytest.mark.parametrize("late", [False, True], ids=["at once", "deferred"])
@pytest.mark.parametrize("batch", [300, 1100])
def test_rounds_change_no_bits(batch: int, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards that go in rounds, for want of memory, are added by the same tree; also where steps are not full."""
    monkeypatch.setattr(gradients, "_pays", lambda *_: late)
    monkeypatch.setattr(gradients, "FEWEST_ROWS", 3)
    trained = {}
    for enough in (2**26, 0):
        monkeypatch.setattr(gradients, "ENOUGH", enough)
        for threads in (1, 3):
            trainer = train("normalised", batch, Optimizer(clip_norm=0.5), threads=threads)
            trained[len(trainer.layout.rounds), threads] = trainer
    assert {rounds for rounds, _ in trained} == {1, 4 if batch == 300 else 8}
    first = trained[1, 1]
    for trainer in trained.values():
        assert trainer.vector.tobytes() == first.vector.tobytes()
        assert trainer.norms.tobytes() == first.norms.tobytes()
        assert [g.tobytes() for g in trainer.gradients] == [g.tobytes() for g in first.gradients]


def test_rounds_bound_memory() -> None:
    """A batch of 1,024 takes 64 rows of a small network, and no more than twice eight of a large one."""
    text = "conv {0}@3 same, conv {0}@3, global average, dense 4, softmax"
    small, large = (network(text.format(filters), (2, 9, 9)) for filters in (9, 800))
    for graph, rows in ((small, 64), (large, 8 + 3)):
        layout = Gradients.of(graph, 64, 1)
        assert layout.scalars == rows * layout.shared
        assert len(Gradients.of(graph, 64, 1, threads=64).rounds) == 1, "a shard for each thread"


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [10, 40, 128, 300])
def test_deferring_changes_no_bits(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for one group a shard nor for several, nor in steps that are not full."""
    optimizer = Optimizer(weight_decay=1e-3) if batch % 3 else Optimizer("adamw", weight_decay=1e-3)
    trained = []
    for deferred in (False, True):
        monkeypatch.setattr(gradients, "_pays", lambda *_, deferred=deferred: deferred)
        trainer = train(name, batch, optimizer, threads=1 + 2 * deferred)
        assert bool(trainer.layout.deferred) == deferred
        trained.append((trainer.vector, *trainer.gradients))
    for plain, late in zip(*trained, strict=True):
        assert plain.any()
        np.testing.assert_array_equal(plain, late)


CLIPPED = {
    "a batch in one shard": 10,
    "shards": 40,
    "shards of several groups": 300,
}


@pytest.mark.parametrize("batch", CLIPPED.values(), ids=CLIPPED)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "deferred"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_norm_is_that_of_the_whole_gradient(
    name: str, batch: int, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "_pays", lambda *_: late)
    trainer = train(name, batch, Optimizer())
    assert len(trainer.norms) == 4
    squares = sum(float((gradient.astype(np.float64) ** 2).sum()) for gradient in trainer.gradients)
    assert trainer.norms[-1] == pytest.approx(squares**0.5, rel=1e-5)
    few, many = (train(name, batch, Optimizer(), threads=threads) for threads in (1, 3))
    assert few.norms.tobytes() == many.norms.tobytes() == trainer.norms.tobytes()


WITH_MORE = "conv 3@3 same frozen, batchnorm, relu, conv 4@3 same, batchnorm, prelu, dense 40, relu, dense 3, softmax"


@pytest.mark.parametrize("late", [False, True], ids=["at once", "deferred"])
def test_frozen_parameters_and_running_statistics_have_no_part_in_the_norm(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "_pays", lambda *_: late)
    graph = network(WITH_MORE, (2, 9, 7))
    trainer = Trainer(graph, parameters_for(graph), raw_for(graph), batch_size=40, optimizer=Optimizer())
    trainer.run(images_for(graph, 60), steps_of(np.arange(40), 3))
    learned = [g for g, p in zip(trainer.gradients, graph.parameters, strict=True) if graph_learns(graph, p.node)]
    assert trainer.norms[0] == pytest.approx(sum((g.astype(np.float64) ** 2).sum() for g in learned) ** 0.5, rel=1e-5)
    statistics = [n for n, p in enumerate(graph.parameters) if p.is_statistic]
    assert any(trainer.parameters[n].any() for n in statistics), "running statistics are updated all the same"


def graph_learns(graph: Graph, node: int) -> bool:
    return not is_frozen(graph.nodes[node].layer)


@pytest.mark.parametrize("late", [False, True], ids=["at once", "deferred"])
@pytest.mark.parametrize(
    "optimizer", [Optimizer(momentum=0.0, nesterov=False), Optimizer("adamw")], ids=["sgd", "adamw"]
)
def test_clipping_scales_the_whole_gradient(optimizer: Optimizer, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the norm as the limit is half the gradient; the norm itself, or more, changes no bit."""
    monkeypatch.setattr(gradients, "_pays", lambda *_: late)
    graph = network(*NETWORKS["two layers"])
    images, start = images_for(graph, 60), parameters_for(graph)
    steps = steps_of(np.arange(40), 4, learning_rate=0.5)

    def step(limit: float) -> Trainer:
        one = replace(optimizer, clip_norm=limit)
        trainer = Trainer(graph, start, raw_for(graph), batch_size=40, optimizer=one, threads=2)
        trainer.run(images, steps)
        return trainer

    free = step(np.inf)
    norm = float(free.norms[0])
    at_the_limit, half = step(norm), step(norm / 2)
    assert at_the_limit.vector.tobytes() == free.vector.tobytes()
    assert half.norms[0] == free.norms[0], "what is told is the norm before clipping"
    np.testing.assert_array_equal(half.gradients[0], free.gradients[0])
    for name, share in (("state0", 0.5), ("state1", 0.25)):  # momentum, or means of the gradient and of its square
        if name in free.state():
            np.testing.assert_allclose(half.state()[name], share * free.state()[name], rtol=1e-5, atol=1e-12)
    if optimizer.name == "sgd":
        moved = [trainer.vector - trainer.flat.pack(start) for trainer in (half, free)]
        np.testing.assert_allclose(moved[0], moved[1] / 2, atol=1e-6)


def test_clipping_stops_an_explosion() -> None:
    """At a rate that sends the loss to infinity, clipped steps stay finite: each moves by rate times limit at most."""
    graph = network("conv 5@3 same, max 2, dense 20, dense 20, dense 4, softmax", (2, 8, 7))
    images = images_for(graph, 60)
    steps = steps_of(np.tile(np.arange(40), (60, 1)), 4, learning_rate=30.0)
    finite = []
    for limit in (np.inf, 0.01):
        one = Optimizer(momentum=0.0, nesterov=False, clip_norm=limit)
        trainer = Trainer(graph, parameters_for(graph), raw_for(graph), batch_size=40, optimizer=one)
        losses, _ = trainer.run(images, steps)
        finite.append(bool(np.isfinite(losses).all()))
    assert finite == [False, True]


def test_what_a_group_left_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups that a step has not count as nothing, even if their operands were no numbers."""
    monkeypatch.setattr(gradients, "_pays", lambda *_: True)
    graph = network(*NETWORKS["images themselves"])
    images, parameters = images_for(graph, 80), parameters_for(graph)
    short = steps_of(np.where(np.arange(40) < 3, np.arange(40), -1), 2)
    after, alone = (
        Trainer(graph, parameters, raw_for(graph), batch_size=40, optimizer=Optimizer(momentum=0.0)) for _ in range(2)
    )
    spoiled = images.copy()
    spoiled[20:] = np.inf
    after.run(spoiled, steps_of(np.arange(40), 2))
    assert np.isnan(after.gradients[0]).any()
    after.vector[:] = alone.vector
    for trainer in (after, alone):
        trainer.run(images, short)
    for a, b in zip(after.gradients, alone.gradients, strict=True):
        np.testing.assert_array_equal(a, b)


LENET = "conv 6@5 same, relu, max 2, conv 16@5, relu, max 2, dense 120, relu, dense 84, relu, dense 10, softmax"


@pytest.mark.parametrize(
    ("shards", "groups", "layers"),
    [(8, 1, [400]), (8, 4, [400]), (8, 128, []), (2, 1, [400]), (1, 1, [400])],
)
def test_large_layers_are_deferred_where_that_saves_memory(shards: int, groups: int, layers: list[int]) -> None:
    layout = Gradients.of(network(LENET, (1, 28, 28)), shards, groups)
    parameters = layout.flat.parameters
    assert [p.shape[1] for p in parameters if p.node in layout.deferred and p.role == "weight"] == layers


def _layout(name: str, monkeypatch: pytest.MonkeyPatch) -> Gradients:
    monkeypatch.setattr(gradients, "_pays", lambda units, *_: units > 4)
    return Gradients.of(network(*NETWORKS[name]), 3, 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_places_do_not_meet(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gradient of each shard has a place of its own inside the array, and `total` reads those of the first."""
    layout = _layout(name, monkeypatch)
    array, expected = np.zeros(layout.scalars, np.float32), np.zeros(layout.flat.total, np.float32)
    for number, place in enumerate(layout.places(range(len(layout.flat.parameters)))):
        size, start = layout.flat.size(number), layout.flat.starts[number]
        late = layout.flat.parameters[number].node in layout.deferred and place.by_task == 0
        for shard in range(1 if late else layout.shards):
            first = (place.offset + shard * place.by_task) // 4
            assert not array[first : first + size].any()
            array[first : first + size] = number + 1 + 100 * shard
        expected[start : start + size] = number + 1
    np.testing.assert_array_equal(layout.total(array), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_segments_cover_the_vector(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = _layout(name, monkeypatch)
    end = 0
    for segment in layout.segments:
        assert segment.start == end
        assert segment.scalars % LANES == 0
        assert segment.place % LANES == 0
        end += segment.scalars
    assert end == layout.flat.total
    assert layout.scalars < layout.shards * layout.flat.total


@pytest.mark.parametrize("most", [1, 2, 7, 16])
def test_pieces(most: int) -> None:
    for count in range(200):
        size = even(count, most)
        assert size <= most
        covered = [first + n * width for first, width, many in pieces(count, size or 1) for n in range(many)]
        assert covered == list(range(0, count, size or 1))
        assert sum(width * many for _, width, many in pieces(count, size or 1)) == count
    assert (even(98, 16), even(97, 16), even(5, 16)) == (14, 16, 5)
