"""One image at a time: every case of the shared table against the reference, and what callers rely on besides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.engine.inference import Inference
from lanewise.engine.single import SingleInference
from lanewise.engine.single_plan import SinglePlanner
from lanewise.kernels import activations
from lanewise.network import reference
from lanewise.network.activations import ACTIVATIONS
from lanewise.network.graph import Graph, assemble
from lanewise.network.layers import Conv2D, Dropout
from lanewise.target import missing_features, named
from tests.cases import LAYER_CASES, NETWORK_CASES, Case
from tests.engine.support import as_values, images_for, network, parameters_for, raw_for

ODD_CASES = [
    Case(
        "blocks_of_channels", "conv 37@3 same, relu, conv 18@2x3 stride 2, max 2, dense 50, relu, dense 19", (19, 9, 11)
    ),
    Case("grey_plain", "conv 16@3, relu, flatten, dense 3", (1, 5, 6)),
    Case("narrow_row", "conv 4@1x2, relu", (2, 3, 4)),
    Case("sixteen_channels", "conv 5@3 pad 0:1:2:0", (16, 4, 5)),
    Case("input_read_by_pool_and_conv", "concat(conv 3@3 same | max 3 same stride 1), dense 4", (3, 5, 6)),
    Case("input_read_by_dense_and_conv", "concat(flatten, dense 5 | conv 2@3, flatten, dense 7)", (3, 5, 6)),
    Case("groups_of_blocks", "conv 64@3 same groups 2, relu", (32, 4, 5)),
    Case("groups_of_blocks_many", "conv 48@1 groups 3 nobias", (48, 3, 2)),
    Case("groups_across_blocks", "conv 33@3 same groups 3", (18, 4, 5)),
    Case("depthwise_blocks", "conv 35@3 same stride 2 groups 35, relu, conv 7@1", (35, 6, 9)),
    Case("depthwise_large_kernel", "conv 3@9 same groups 3, relu", (3, 9, 12)),
    Case("pointwise_in_two_parts", "conv 20@1, relu", (400, 3, 5)),
    Case("pointwise_in_many_parts", "conv 40@1 stride 1x2 nobias", (1037, 2, 9)),
    Case("winograd_4", "conv 16@3 same, conv 32@3 same, relu, conv 17@3 same", (16, 16, 16)),
    Case("winograd_4_ragged", "conv 20@3 same, relu, conv 33@3 pad 1:0:2:1 nobias, max 2", (17, 14, 19)),
    Case("winograd_2", "conv 256@3 same", (128, 4, 4)),
    Case("winograd_2_ragged", "conv 256@3 same, relu", (128, 5, 3)),
    Case("winograd_valid", "conv 32@3, relu, global average, dense 3", (32, 13, 15)),
    Case("join_across_blocks", "concat(conv 13@1 | conv 20@1 | ), relu, conv 3@3 same", (5, 4, 3)),
    Case("join_of_blocks", "concat(conv 16@1 | conv 32@1 | conv 7@1), conv 9@1", (3, 4, 3)),
    Case(
        "join_in_place",
        "concat(conv 16@1 | conv 32@1, max 3 stride 1 pad 1 | conv 7@3 same, tanh), conv 9@3 same",
        (3, 4, 5),
    ),
    Case(
        "joins_in_place",
        "concat(conv 16@1 | concat(conv 16@1 | conv 16@1, concat(conv 32@1 | conv 5@1)) | ), dropout 0.5, conv 4@2",
        (16, 4, 3),
    ),
    Case(
        "join_of_features_in_place", "conv 20@2, global average, concat(dense 16, relu | dense 7), dense 3", (2, 4, 3)
    ),
    Case("flatten_is_last", "conv 18@2, flatten", (3, 4, 5)),
    Case("flatten_read_by_softmax", "conv 18@2, flatten, softmax", (3, 3, 2)),
    Case("flatten_read_by_join", "conv 18@2, flatten, concat(relu | dense 3)", (3, 3, 2)),
    Case("flatten_dropped", "conv 18@2, flatten, dropout 0.5, dense 21, tanh, dense 4, sigmoid", (3, 3, 4)),
    Case("dropout_is_all", "dropout 0.5", (5, 1, 1)),
    Case("flatten_then_dropout", "conv 3@2, flatten, dropout 0.5", (3, 3, 4)),
    Case("dropout_is_last", "conv 3@2, dropout 0.5", (3, 3, 4)),
    Case("softmax_33", "dense 33, softmax", (1, 2, 3)),
    Case("softmax_32", "dense 32, softmax", (1, 2, 3)),
    Case("dense_chains_2", "dense 48, relu, dense 40", (3, 3, 7)),
    Case("dense_chains_4", "dense 32", (3, 3, 7)),
    Case("dense_many", "dense 400, relu, dense 5", (2, 3, 3)),
    Case("relu_read_twice", "conv 5@3 same, concat(relu | tanh)", (2, 4, 3)),
]

Array = npt.NDArray[np.float64]


def evaluated(graph: Graph, count: int = 2) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]], Array]:
    """Images, parameters, and what the reference says of them."""
    images, parameters = images_for(graph, count), parameters_for(graph)
    return images, parameters, reference.forward(graph, parameters, as_values(images) * 0.5 - 0.25)[-1]


@pytest.mark.parametrize("case", [*LAYER_CASES, *NETWORK_CASES, *ODD_CASES], ids=str)
def test_agrees_with_the_reference(case: Case) -> None:
    graph = case.graph()
    images, parameters, expected = evaluated(graph)
    single = SingleInference(graph, parameters, raw_for(graph, scale=0.5, offset=-0.25))
    for image, values in zip(images, expected, strict=True):
        came = single.run(image)
        assert came.shape == graph.output_shape
        assert came.dtype == np.float32
        np.testing.assert_allclose(came, values, rtol=1e-5, atol=3e-6 * np.abs(values).max())


BITS_CASES = [
    *(case for case in NETWORK_CASES if case.name in ("dropouts", "residuals")),
    *(case for case in ODD_CASES if case.name in ("blocks_of_channels", "groups_across_blocks")),
    Case("winograd_small", "conv 16@3 same, relu", (16, 6, 7)),
    Case(
        "large_sums",
        "conv 6@5 same, relu, max 2, conv 16@5, relu, max 2, dense 120, tanh, dense 10, softmax",
        (1, 28, 28),
    ),
]


@pytest.mark.parametrize("case", BITS_CASES, ids=str)
@pytest.mark.parametrize("target", ["avx2", "x86-64"])
def test_same_bits_on_every_target(case: Case, target: str) -> None:
    if missing := missing_features(named(target)):
        pytest.skip(f"this machine has no {', '.join(missing)}")
    graph = case.graph()
    image, parameters = images_for(graph, 1)[0], parameters_for(graph)
    host, other = (
        SingleInference(graph, parameters, raw_for(graph), target=named(name)).run(image) for name in ("host", target)
    )
    assert np.isfinite(host).all()
    np.testing.assert_array_equal(other.view(np.int32), host.view(np.int32))


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        *(("conv 3@1", word) for word in ACTIVATIONS),
        *((layer, "relu6") for layer in ("conv 5@3 groups 5", "conv 16@3 same", "dense 20")),
    ],
)
def test_short_activations_are_no_pass_of_their_own(layer: str, word: str) -> None:
    """What computes the value before applies them, and the bits are those of a pass."""
    image, channels = np.random.default_rng(0).standard_normal((16, 16, 20), np.float32), 5 if "groups" in layer else 20
    image = np.ascontiguousarray(image[..., :channels])
    alone = network(layer, (channels, 16, 16))
    graph = network(f"{layer}, {word}", alone.input_shape)
    parameters = parameters_for(alone)
    planner = SinglePlanner(graph, parameters, raw_for(graph), registers=32, winograd=True)
    assert (word in {call.program.name for call in planner.finish().calls}) == (not activations.is_short(word))
    before = SingleInference(alone, parameters, raw_for(alone)).run(image)
    apart = network(word, alone.output_shape if before.ndim == 3 else (len(before), 1, 1))
    values = before.transpose(1, 2, 0) if before.ndim == 3 else before.reshape(1, 1, -1)
    expected = SingleInference(apart, [], raw_for(apart)).run(np.ascontiguousarray(values))
    came = SingleInference(graph, parameters, raw_for(graph)).run(image)
    np.testing.assert_array_equal(came.view(np.int32), expected.reshape(came.shape).view(np.int32))


@pytest.mark.parametrize(
    ("text", "joins"),
    [
        ("concat(conv 16@1 | conv 32@1, relu | conv 7@1), conv 9@3 same", 0),
        ("concat(conv 16@1 | concat(conv 16@1 | conv 16@1)), conv 9@1", 0),
        ("concat(conv 13@1 | conv 20@1), conv 9@1", 1),
        ("concat(conv 16@1 | ), conv 9@1", 1),
        ("conv 16@1, concat( | relu), conv 9@1", 1),
    ],
)
def test_what_only_a_join_reads_is_written_where_it_wants_it(text: str, joins: int) -> None:
    graph = network(text, (16, 4, 5))
    planner = SinglePlanner(graph, parameters_for(graph), raw_for(graph), registers=32, winograd=True)
    assert [call.program.name for call in planner.finish().calls].count("single join") == joins


def test_nothing_is_left_of_the_image_before() -> None:
    """Arena and borders are used again and again."""
    graph = next(case for case in NETWORK_CASES if case.name == "residuals").graph()
    parameters, images = parameters_for(graph), images_for(graph, 3)
    single = SingleInference(graph, parameters, raw_for(graph))
    first = [single.run(image) for image in images]
    single.run(np.full_like(images[0], np.nan))
    for image, expected in zip(reversed(images), reversed(first), strict=True):
        np.testing.assert_array_equal(single.run(image), expected)
        fresh = SingleInference(graph, parameters, raw_for(graph))
        np.testing.assert_array_equal(fresh.run(image), expected)


def test_images_of_any_type_and_order() -> None:
    graph = network("conv 5@3, relu, dense 4", (3, 6, 7))
    single = SingleInference(graph, parameters_for(graph), raw_for(graph, "uint8", scale=1 / 255, offset=-0.5))
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    expected = single.run(image)
    for same in (image.astype(np.float32), image.astype(np.int64), np.asfortranarray(image)):
        np.testing.assert_array_equal(single.run(same), expected)
    backwards = np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]
    np.testing.assert_array_equal(single.run(backwards), expected)


def test_outputs_are_the_callers_own() -> None:
    graph = network("dense 3", (1, 2, 2))
    parameters = parameters_for(graph)
    single = SingleInference(graph, parameters, raw_for(graph))
    image = np.ones((2, 2, 1), np.float32)
    first = single.run(image)
    kept = first.copy()
    single.run(-image)
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    for array in parameters:
        array[:] = 0
    np.testing.assert_array_equal(single.run(image), kept)


def test_a_image_of_another_shape() -> None:
    graph = network("dense 3", (1, 2, 5))
    single = SingleInference(graph, parameters_for(graph), raw_for(graph))
    for shape in ((2, 5), (5, 2, 1), (1, 2, 5, 1)):
        with pytest.raises(ValueError, match=r"shape \(.*\) was given to a network of \(2, 5, 1\)"):
            single.run(np.zeros(shape, np.float32))


def test_output_that_another_layer_reads_through_a_border() -> None:
    steps = [(Conv2D(5, (2, 2)), (0,)), (Conv2D(3, (3, 3), padding="same"), (1,)), (Dropout(), (1,))]
    graph = assemble(steps, (3, 2, 2))
    image, parameters = images_for(graph, 1), parameters_for(graph)
    expected = reference.forward(graph, parameters, as_values(image))[-1][0]
    came = SingleInference(graph, parameters, raw_for(graph)).run(image[0])
    np.testing.assert_allclose(came, expected, rtol=1e-5)


def test_callers_on_several_threads() -> None:
    """Long enough in native code, where Python's lock is open, for callers to meet."""
    graph = network("conv 32@3 same, relu, conv 32@3 same, relu, max 2, dense 10", (3, 32, 32))
    single = SingleInference(graph, parameters_for(graph), raw_for(graph))
    images = images_for(graph, 4)
    expected = [single.run(image) for image in images]

    def agrees(n: int) -> bool:
        return all(np.array_equal(single.run(images[n]), expected[n]) for _ in range(300))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(agrees, range(4)))


def test_winograd_can_be_turned_off() -> None:
    """The sums of direct convolution are those of 16 images side by side, bit for bit."""
    graph = network("conv 18@3 same, relu, conv 35@3 pad 1:0:2:1, relu, max 2", (16, 9, 10))
    parameters, images = parameters_for(graph), images_for(graph, 1)
    many = Inference(graph, parameters, raw_for(graph), threads=1, winograd=False).run(images)[0]
    direct, quick = (
        SingleInference(graph, parameters, raw_for(graph), winograd=winograd).run(images[0])
        for winograd in (False, True)
    )
    np.testing.assert_array_equal(direct, many)
    assert not np.array_equal(quick, direct)
    np.testing.assert_allclose(quick, direct, rtol=0, atol=2e-6 * np.abs(direct).max())


@pytest.mark.parametrize(
    "name", ["winograd_4", "winograd_4_ragged", "winograd_2", "winograd_2_ragged", "winograd_valid"]
)
def test_cases_named_winograd_are_computed_so(name: str) -> None:
    case = next(case for case in ODD_CASES if case.name == name)
    graph = case.graph()
    planner = SinglePlanner(graph, parameters_for(graph), raw_for(graph), registers=32, winograd=True)
    assert planner.tiles
    assert {tiles.m for tiles in planner.tiles.values()} == {2 if "_2" in name else 4}
