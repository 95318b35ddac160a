"""One picture at a time: every case of the shared table against the reference, and what callers rely on besides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.engine.single import SingleInference
from lanewise.network import reference
from lanewise.network.graph import Graph
from lanewise.target import NAMED, missing_features, named
from tests.cases import LAYER_CASES, NETWORK_CASES, Case
from tests.engine.support import as_values, format_for, network, parameters_for, pictures_for

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
    Case("winograd_4", "conv 16@3 same, conv 32@3 same, relu, conv 17@3 same", (16, 16, 16)),
    Case("winograd_4_ragged", "conv 20@3 same, relu, conv 33@3 pad 1:0:2:1 nobias, max 2", (17, 14, 19)),
    Case("winograd_2", "conv 256@3 same", (128, 4, 4)),
    Case("winograd_2_ragged", "conv 256@3 same, relu", (128, 5, 3)),
    Case("winograd_valid", "conv 32@3, relu, global average, dense 3", (32, 13, 15)),
    Case("join_across_blocks", "concat(conv 13@1 | conv 20@1 | ), relu, conv 3@3 same", (5, 4, 3)),
    Case("join_of_blocks", "concat(conv 16@1 | conv 32@1 | conv 7@1), conv 9@1", (3, 4, 3)),
    Case("flatten_is_last", "conv 18@2, flatten", (3, 4, 5)),
    Case("flatten_read_by_softmax", "conv 18@2, flatten, softmax", (3, 3, 2)),
    Case("flatten_read_by_join", "conv 18@2, flatten, concat(relu | dense 3)", (3, 3, 2)),
    Case("flatten_dropped", "conv 18@2, flatten, dropout 0.5, dense 21, tanh, dense 4, sigmoid", (3, 3, 4)),
    Case("dropout_is_last", "conv 3@2, dropout 0.5", (3, 3, 4)),
    Case("softmax_33", "dense 33, softmax", (1, 2, 3)),
    Case("softmax_32", "dense 32, softmax", (1, 2, 3)),
    Case("dense_chains_2", "dense 48, relu, dense 40", (3, 3, 7)),
    Case("dense_chains_4", "dense 32", (3, 3, 7)),
    Case("dense_many", "dense 400, relu, dense 5", (2, 3, 3)),
    Case("relu_read_twice", "conv 5@3 same, concat(relu | tanh)", (2, 4, 3)),
]

Array = npt.NDArray[np.float64]


def judged(graph: Graph, count: int = 2) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]], Array]:
    """Pictures, parameters, and what the reference says of them."""
    pictures, parameters = pictures_for(graph, count), parameters_for(graph)
    return pictures, parameters, reference.forward(graph, parameters, as_values(pictures) * 0.5 - 0.25)[-1]


@pytest.mark.parametrize("case", [*LAYER_CASES, *NETWORK_CASES, *ODD_CASES], ids=str)
def test_agrees_with_the_reference(case: Case) -> None:
    graph = case.graph()
    pictures, parameters, expected = judged(graph)
    single = SingleInference(graph, parameters, format_for(graph, scale=0.5, offset=-0.25))
    for picture, values in zip(pictures, expected, strict=True):
        came = single.run(picture)
        assert came.shape == graph.output_shape
        assert came.dtype == np.float32
        np.testing.assert_allclose(came, values, rtol=1e-5, atol=3e-6 * np.abs(values).max())
