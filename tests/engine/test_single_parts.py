"""One image shared by threads: the bits of one thread, whatever is cut and however many take part."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.engine import memory
from lanewise.engine.single import SingleInference
from lanewise.engine.single_parts import Part, cut, worth
from lanewise.network.layers import Flatten, Softmax
from tests.cases import Case
from tests.engine.support import images_for, network, parameters_for, raw_for, sharing_all

pytestmark = pytest.mark.usefixtures("all_processors")

CASES = [
    Case("rows", "conv 20@3 same stride 2, relu, conv 18@2x3 pad 1:0:2:1, relu6", (3, 15, 12)),
    Case("filters", "conv 80@3 groups 1, conv 97@2", (40, 5, 4)),
    Case("groups", "conv 64@3 same groups 2, conv 96@1 groups 2", (32, 6, 5)),
    Case("depthwise", "conv 35@3 same stride 2 groups 35, relu6, conv 35@3 same groups 35", (35, 21, 9)),
    Case("depthwise_filters", "conv 70@3 same groups 70", (70, 3, 4)),
    Case("products", "conv 40@1, relu, conv 160@1, relu, conv 33@1 stride 2, conv 20@1 pad 1:0:0:1", (5, 11, 7)),
    Case("product_of_a_column", "conv 20@1 stride 1x3, conv 7@1 stride 1x2", (18, 9, 1)),
    Case("winograd_rows", "conv 20@3 same, relu, conv 33@3 pad 1:0:2:1 nobias, relu", (17, 22, 19)),
    Case("winograd_filters", "conv 256@3 same, relu", (128, 5, 3)),
    Case(
        "pools",
        "conv 50@1, max 3 stride 2 pad 1, average 2, batchnorm, prelu, tanh, layernorm, lrn 5",
        (50, 14, 12),
    ),
    Case("sums", "residual(conv 40@1), gate(global average, dense 40, sigmoid), scale, global max", (40, 5, 4)),
    Case("joins", "concat(conv 13@1 | conv 20@1 | ), max 2, flatten, dense 400, relu, dense 37, softmax", (5, 9, 8)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_bits_on_any_number_of_threads(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = case.graph()
    parameters, image = parameters_for(graph), images_for(graph, 1)[0]
    expected = SingleInference(graph, parameters, raw_for(graph), threads=1).run(image)
    monkeypatch.setattr(memory, "worth_sharing", lambda *_: True)  # borders are cleared beside what else is done
    for threads in (2, 3, 8):
        shared = sharing_all(graph, parameters, threads)
        assert shared.threads == threads
        assert any((phase.tasks or 0) > 1 for phase in shared._plan.phases)
        for fewer in (threads, 1, threads):
            came = shared.run(image, threads=fewer)
            np.testing.assert_array_equal(came.view(np.int32), expected.view(np.int32))
            shared._outputs.fill(np.nan)


def test_every_layer_but_two_is_shared() -> None:
    """A layer that is new is shared, or stands here: the sums of these are over all channels of an image, or few."""
    for case in CASES:
        graph = case.graph()
        phases = sharing_all(graph, parameters_for(graph), 2)._plan.phases
        layers = [node.layer for node in graph.nodes if node.inputs]
        serial = sum(isinstance(layer, Softmax | Flatten) for layer in layers)
        alone = [call for phase in phases if phase.tasks == 1 for call in phase.sections[0].calls]
        alone = [call for call in alone if call.program.name != "clear border"]
        assert len(alone) <= serial + 1, [call.program.name for call in alone]  # and the way out


@pytest.mark.parametrize("unit", [1, 2, 4])
def test_parts_are_even_and_cover_all(unit: int) -> None:
    for size in range(1, 60):
        for parts in range(1, 9):
            found = cut(size, parts, unit)
            pieces = [range(p.first + n * p.size, p.first + (n + 1) * p.size) for p in found for n in range(p.count)]
            assert [place for piece in pieces for place in piece] == list(range(size))
            assert len(pieces) == min(parts, -(-size // unit))
            assert all(len(piece) % unit == 0 for piece in pieces[:-1])
            units = [-(-len(piece) // unit) for piece in pieces]
            assert max(units) - min(units) <= 1
            assert len(found) <= 3


def test_filters_of_a_part() -> None:
    assert Part(1, 2, 2).filters() == [slice(16, 48), slice(48, 80)]


def test_a_small_network_is_not_shared() -> None:
    """Threads would take longer to start than it does."""
    graph = network("conv 6@5 same, relu, max 2, conv 16@5, relu, max 2, dense 120, dense 84, dense 10", (1, 28, 28))
    single = SingleInference(graph, parameters_for(graph), raw_for(graph))
    assert single.threads == 1
    assert len(single._plan.phases) == 1


def test_threads_grow_with_the_root_of_the_work() -> None:
    """They start one after the other: 64 of them would take longer to start than a small network takes."""
    graph = network("conv 64@3 same, conv 64@3 same, conv 64@3 same", (64, 32, 32))  # 113 million multiply-adds
    assert [worth(graph, threads) for threads in (1, 2, 3, 4, 64)] == [1, 2, 3, 3, 3]


def test_what_a_fork_left_in_the_middle_of_a_step_is_forgotten() -> None:
    """A child has the memory in which threads of its parent were about to meet, and none of them."""
    graph = network("conv 20@3, relu, dense 5", (3, 8, 8))
    single = sharing_all(graph, parameters_for(graph), 2)
    image = images_for(graph, 1)[0]
    expected = single.run(image)
    for threads in (1, 2):
        single._outputs.fill(np.nan)
        single._schedule._barrier.fill(1)
        np.testing.assert_array_equal(single.run(image, threads=threads), expected)


def test_more_threads_than_processors_do_not_spin() -> None:
    """Whom they wait for may need their core."""
    graph = network("conv 20@3, relu, dense 5", (3, 8, 8))
    single = sharing_all(graph, parameters_for(graph), 3)
    single._schedule._most = 2
    image = images_for(graph, 1)[0]
    for threads, spins in ((2, True), (3, False), (1, True)):
        single.run(image, threads=threads)
        assert bool(single._schedule._waiting[0]) == spins
