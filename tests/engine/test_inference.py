"""Prediction against the reference, for any number of images, and a network's plan: who shares memory with whom."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.engine import inference
from lanewise.engine.fuse import Fused, fuse
from lanewise.engine.gradients import Gradients
from lanewise.engine.inference import Inference
from lanewise.engine.parameters import CHUNK, FlatParameters
from lanewise.engine.plan import Planner
from lanewise.engine.schedule import Place
from lanewise.engine.trainer import Trainer
from lanewise.kernels.layout import Layout
from lanewise.network import reference
from lanewise.network.graph import assemble
from lanewise.network.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU
from tests.cases import LAYER_CASES, NETWORK_CASES, Case
from tests.engine.support import as_values, images_for, network, parameters_for, raw_for

pytestmark = pytest.mark.usefixtures("all_processors")


@pytest.mark.parametrize("case", LAYER_CASES + NETWORK_CASES, ids=str)
def test_outputs(case: Case) -> None:
    """Each layer as the whole network: its output is the network's, its input the images."""
    graph = case.graph()
    parameters, images = parameters_for(graph), images_for(graph, 21)
    came = Inference(graph, parameters, raw_for(graph), threads=2).run(images)
    expected = reference.forward(graph, parameters, as_values(images))[-1]
    assert came.shape == (21, *graph.output_shape)
    np.testing.assert_allclose(came, expected, rtol=1e-5, atol=1e-5)


TEXT = "conv 5@3 same, relu, max 2, dropout 0.5, dense 6, relu, dense 4, softmax"


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 100])
@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_images(count: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also more than one native call takes: an image's result has the same bits in any company."""
    graph = network(TEXT, (2, 5, 6))
    parameters, images = parameters_for(graph), images_for(graph, 101)
    evaluate = Inference(graph, parameters, raw_for(graph), threads=threads)
    whole = evaluate.run(images)
    monkeypatch.setattr(inference, "BLOCK", 2)
    np.testing.assert_array_equal(evaluate.run(images[:count]), whole[:count])


def test_chosen_images() -> None:
    graph = network(TEXT, (2, 5, 6))
    parameters, images = parameters_for(graph), images_for(graph, 50)
    evaluate = Inference(graph, parameters, raw_for(graph))
    order = np.array([49, 0, 7, 7, 3])
    np.testing.assert_array_equal(evaluate.run(images, order), evaluate.run(images)[order])


def test_live_vector_of_a_trainer() -> None:
    graph = network(TEXT, (2, 5, 6))
    images = images_for(graph, 20)
    trainer = Trainer(graph, parameters_for(graph), raw_for(graph), batch_size=16, threads=1)
    evaluate = Inference(graph, trainer.vector, raw_for(graph))
    before = evaluate.run(images)
    trainer.vector[:] *= 2
    after = evaluate.run(images)
    assert (before != after).any()
    np.testing.assert_array_equal(after, Inference(graph, trainer.parameters, raw_for(graph)).run(images))


# Plans


def planner_for(text: str, shape: tuple[int, int, int], *, training: bool) -> Planner:
    graph = network(text, shape)
    planner = Planner(
        graph,
        training=training,
        registers=32,
        images=Place("images"),
        key=Place("keys"),
        gradients=Gradients.of(graph, 1, 1) if training else None,
    )
    planner.forward()
    return planner


def pools(fused: Fused) -> dict[int, int]:
    """Convolutions that do a max pool, and that pool."""
    return {op.number: op.pool for op in fused.operations.values() if op.pool is not None}


def sums(fused: Fused) -> dict[int, int]:
    """Convolutions that do a sum, and that sum."""
    return {op.number: op.result for op in fused.operations.values() if op.plus is not None}


def unpooled(fused: Fused) -> dict[int, Layout]:
    """Convolutions whose gradient before their pool is not in memory, and how that behind it lies."""
    return {op.number: op.unpooled for op in fused.operations.values() if op.unpooled is not None}


DEEP = ", ".join(["conv 8@3, relu"] * 12)


def test_arena_of_a_deep_network_is_small() -> None:
    """Only two neighbours are alive at a time when predicting; values without borders share their places."""
    planner = planner_for(DEEP, (8, 40, 40), training=False)
    every = sum(4 * planner.operands.layouts[slot].scalars for slot in planner.operands.layouts)
    two = 2 * 4 * 16 * 8 * 40 * 40
    assert planner.finish().arena <= two < every / 3


def test_arena_while_training_shares_gradients() -> None:
    """Values must last until their gradients are there; gradients need not."""
    planner = planner_for("conv 8@1, " + ", ".join(["tanh"] * 20), (8, 20, 20), training=True)
    nodes = len(planner.graph.nodes)
    planner.operands.gradient(nodes - 1)
    planner.written(nodes - 1)
    planner.backward()
    one = 4 * 16 * 8 * 20 * 20
    assert nodes * one <= planner.finish().arena <= (nodes + 2) * one


def test_values_that_share() -> None:
    graph = network("conv 4@3 same, relu, dropout 0.5, flatten, dense 5, relu, dense 3", (2, 4, 4))
    at = {type(node.layer): number for number, node in reversed(list(enumerate(graph.nodes)))}
    predicting, training = fuse(graph, training=False), fuse(graph, training=True)
    conv, relu, dropout, flatten = (at[kind] for kind in (Conv2D, ReLU, Dropout, Flatten))
    assert predicting.of_node[conv] == predicting.of_node[relu] == predicting.of_node[dropout] == conv
    assert predicting.of_node[flatten] == conv
    assert training.of_node[relu] == conv
    assert training.of_node[dropout] == training.of_node[flatten] == dropout
    assert {number for number, value in training.values.items() if value.rectified} == {conv, at[Dense]}
    assert not training.values[0].trained
    assert predicting.values[0].layout.border == (1, 1, 1, 1)


def test_relu_that_is_not_the_only_reader_has_a_value_of_its_own() -> None:
    graph = network("conv 4@1, concat(relu | )", (2, 3, 3))
    fused = fuse(graph, training=True)
    assert not any(value.rectified for value in fused.values.values())
    assert len(set(fused.of_node)) == len(graph.nodes)


@pytest.mark.parametrize(
    ("text", "pooled"),
    [
        ("conv 4@3, relu, max 2, dense 3", {1: 3}),
        ("conv 4@3, max 2, relu, conv 4@1, relu, max 3x2, dense 3", {1: 2, 4: 6}),
        (
            "conv 64@3 same, relu, conv 64@3 same, relu, max 2, conv 64@3 same, max 3x2",
            {3: 5},
        ),  # 3 fits no tile
        ("conv 4@3, relu, max 3 stride 2", {}),
        ("conv 4@3, relu, max 3", {}),
        ("conv 4@3, tanh, max 2", {}),
        ("conv 4@3, relu, residual(max 2 | average 2)", {}),
        ("conv 4@3, relu, residual(max 1)", {}),
        ("relu, max 2", {}),
    ],
)
def test_max_pools_that_the_convolution_does(text: str, pooled: dict[int, int]) -> None:
    graph = network(text, (2, 12, 12))
    for training in (False, True):
        assert pools(fuse(graph, training=training)) == pooled


@pytest.mark.parametrize(
    ("text", "summed"),
    [
        ("residual(conv 2@3 same), relu", {1: 2}),
        ("residual(conv 2@3 same, relu, conv 2@3 same | conv 2@1)", {4: 5}),
        ("residual(conv 2@3 same | tanh)", {}),  # the convolution comes first
        ("residual(conv 2@3 same, relu)", {}),
        ("residual(conv 2@3 same, dropout 0.5)", {1: 3}),
    ],
)
def test_sums_that_the_convolution_does(text: str, summed: dict[int, int]) -> None:
    """Where dropout does something, it stands between the two."""
    graph = network(text, (2, 4, 4))
    assert sums(fuse(graph, training=False)) == summed
    assert sums(fuse(graph, training=True)) == ({} if "dropout" in text else summed)


@pytest.mark.parametrize(
    ("text", "gaps"),
    [
        ("residual(conv 2@3 same stride 2, relu, conv 2@3 same | conv 2@1 stride 2)", {4: 1}),
        ("residual(conv 2@3 same stride 2 | conv 2@3 same stride 2)", {2: 1}),
        ("residual(conv 2@3 same stride 2 | average 2)", {}),
        ("residual(conv 2@3 same stride 2 | conv 2@1x2 stride 2, relu)", {2: 1}),
        ("residual(conv 2@3 same | conv 2@1)", {}),
        ("concat(conv 2@1 stride 2 | relu, average 2)", {}),
    ],
)
def test_gradients_with_gaps(text: str, gaps: dict[int, int]) -> None:
    """The convolution that writes first leaves gaps only where the next one to add knows of them."""
    operations = fuse(network(text, (2, 8, 8)), training=True).operations
    assert {op.onto: op.number for op in operations.values() if op.onto is not None} == gaps
    assert {op.number for op in operations.values() if op.gaps} == gaps.keys()


def test_a_pooled_convolution_that_is_the_output_stays() -> None:
    steps = [(Conv2D(4, (3, 3)), (0,)), (MaxPool2D((2, 2)), (1,)), (Dropout(0.5), (1,))]
    assert pools(fuse(assemble(steps, (2, 6, 6)), training=False)) == {}


def test_gradients_before_a_pool_that_nobody_needs_spelled_out() -> None:
    graph = network("conv 4@3, relu, max 2, conv 4@3, relu, max 2, dense 3", (2, 24, 24))
    assert unpooled(fuse(graph, training=True)).keys() == {1}, "the input of the other needs a gradient"
    graph = network("relu, conv 4@3 same, max 2, dense 3", (16, 24, 24))
    assert unpooled(fuse(graph, training=True)).keys() == {2}
    text = "conv 64@3 same, max 2, conv 64@3 same, max 2, dense 3"
    fused = fuse(network(text, (64, 26, 26)), training=True)
    bordered = Layout((64, 13, 13), (1, 1, 2, 2))  # 26 rows in 7 tiles, which read 15 windows from -1 on
    assert unpooled(fused) == {1: bordered, 3: Layout((64, 6, 6), (1, 1, 3, 3))}
    assert fused.values[2].gradient == bordered
    assert fused.values[4].gradient.plain, "as Flatten needs it, so what Winograd's kernels read is a copy"
    assert unpooled(fuse(network(text, (64, 26, 26)), training=True, fast_convolution=False)).keys() == {1}


def test_the_map_before_a_max_pool_is_not_in_memory() -> None:
    """Of 16 images: what comes in, and what the pool leaves."""
    planner = planner_for("conv 8@1, relu, max 2", (1, 40, 40), training=False)
    assert planner.finish().arena == 64 * (40 * 40 + 8 * 20 * 20)


# The flat vector


def test_flat_parameters() -> None:
    graph = network("conv 4@2 groups 2, dense 5, dense 2", (2, 3, 4))
    flat = FlatParameters.of(graph)
    parameters = parameters_for(graph)
    vector = flat.pack(parameters)
    assert flat.total % CHUNK == 0
    assert all(start % 16 == 0 for start in flat.starts)
    for given, back, view in zip(parameters, flat.unpack(vector), flat.views(vector), strict=True):
        np.testing.assert_array_equal(given, back)
        assert np.shares_memory(view, vector)
        assert not np.shares_memory(back, vector)
    assert np.count_nonzero(vector) == sum(map(np.count_nonzero, parameters))
    weights = sum(p.size for p, q in zip(parameters, graph.parameters, strict=True) if q.role == "weight")
    assert flat.decay().sum() == weights
    assert set(np.unique(flat.decay())) == {0.0, 1.0}
