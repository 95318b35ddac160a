import re

import pytest

from lanewise.errors import NetworkError, ShapeError, TooLargeError
from lanewise.network.graph import Parameter, assemble, build
from lanewise.network.layers import (
    Add,
    AvgPool2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Join,
    Layer,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Residual,
)
from lanewise.network.options import MOST_DEPTH
from lanewise.network.text import parse
from tests.cases import LAYER_CASES, NETWORK_CASES


def nodes_of(text, shape=(1, 28, 28)):
    return build(parse(text), shape).nodes


def test_nodes_in_order_with_names_shapes_and_parameters():
    graph = build(parse("conv 6@5, relu, max 2, conv 16@3x5 groups 2 nobias, relu, dense 10, softmax"), (1, 28, 30))
    assert [(node.name, node.inputs, node.shape) for node in graph.nodes] == [
        ("input", (), (1, 28, 30)),
        ("conv1", (0,), (6, 24, 26)),
        ("relu1", (1,), (6, 24, 26)),
        ("max1", (2,), (6, 12, 13)),
        ("conv2", (3,), (16, 10, 9)),
        ("relu2", (4,), (16, 10, 9)),
        ("flatten1", (5,), (1440,)),
        ("dense1", (6,), (10,)),
        ("softmax1", (7,), (10,)),
    ]
    assert graph.parameters == (
        Parameter(1, "weight", (6, 1, 5, 5)),
        Parameter(1, "bias", (6,)),
        Parameter(4, "weight", (16, 3, 3, 5)),
        Parameter(7, "weight", (10, 1440)),
        Parameter(7, "bias", (10,)),
    )
    assert [graph.parameters_of(node) for node in range(9)] == [(), (0, 1), (), (), (2,), (), (), (3, 4), ()]
    assert graph.parameter_count == 6 * 26 + 16 * 45 + 14410
    assert (graph.input_shape, graph.output_shape) == ((1, 28, 30), (10,))


def test_branches_become_nodes():
    graph = build(parse("relu, residual(conv 4@1, relu | conv 4@1), concat(tanh | | conv 2@1)"), (3, 5, 6))
    assert [(node.name, node.inputs, node.shape[0]) for node in graph.nodes[1:]] == [
        ("relu1", (0,), 3),
        ("conv1", (1,), 4),
        ("relu2", (2,), 4),
        ("conv2", (1,), 4),
        ("add1", (3, 4), 4),
        ("tanh1", (5,), 4),
        ("conv3", (5,), 2),
        ("join1", (6, 5, 7), 10),
    ]
    assert isinstance(graph.nodes[5].layer, Add)
    assert isinstance(graph.nodes[8].layer, Join)
    assert graph.users() == ((1,), (2, 4), (3,), (5,), (5,), (6, 7, 8), (8,), (8,), ())


def test_a_node_that_reads_twice_is_one_reader():
    assert build(parse("concat( | )"), (1, 2, 2)).users() == ((1,), ())


def test_dense_flattens_images_only():
    assert [node.name for node in nodes_of("dense 3, dense 2")] == ["input", "flatten1", "dense1", "dense2"]
    assert [node.name for node in nodes_of("flatten, dense 2")] == ["input", "flatten1", "dense1"]
    assert [type(node.layer) for node in nodes_of("global average, dense 2")].count(Flatten) == 0


@pytest.mark.parametrize(
    ("text", "shape", "padding"),
    [
        ("conv 1@3 same", (7, 8), (1, 1, 1, 1)),
        ("conv 1@4x2 same", (7, 8), (1, 0, 2, 1)),
        ("conv 1@3 same stride 2", (4, 4), (1, 0, 1, 1)),
        ("conv 1@3 same stride 2x3", (4, 3), (1, 0, 1, 1)),
        ("conv 1@3 same dilation 2", (7, 8), (2, 2, 2, 2)),
        ("conv 1@1 same stride 2", (4, 4), (0, 0, 0, 0)),
        ("max 2 same", (4, 4), (0, 0, 1, 0)),
        ("max 3 same stride 1", (7, 8), (1, 1, 1, 1)),
        ("average 3 pad 1:0:2:1", (3, 3), (1, 0, 2, 1)),
        ("average 2", (3, 4), (0, 0, 0, 0)),
        ("conv 1@2 pad 5", (16, 17), (5, 5, 5, 5)),
    ],
)
def test_padding_is_resolved(text, shape, padding):
    # `same` by hand: out = ceil(in / stride), and the extra row or column at the bottom or right.
    node = nodes_of(text, (1, 7, 8))[1]
    assert (node.shape[1:], node.padding) == (shape, padding)


SHAPE_ERRORS = [
    (
        "relu, conv 2@29x3",
        "conv1 (conv 2@29x3): its kernel of 29x3 is larger than the 28x28 image it gets; at most 28x28",
    ),
    ("conv 2@30 pad 0:0:1:0", "is larger than the 28x28 image it gets, 29x28 with padding; at most 29x28 fits"),
    ("conv 2@3x15 dilation 2", "its kernel of 3x15, 5x29 when dilated, is larger than the 28x28 image"),
    ("conv 2@3x15 dilation 2", "; at most 14x14 fits"),
    ("max 2, max 15", "max2 (max 15): its window of 15x15 is larger than the 14x14 image it gets; at most 14x14"),
    (
        "conv 6@1, conv 9@3 groups 2",
        "conv2 (conv 9@3x3 groups 2): 2 groups must divide both the 6 channels it gets and",
    ),
    ("conv 6@1, conv 9@3 groups 6", "groups can be 1, 3"),
    ("dense 4, conv 4@3", "conv1 (conv 4@3x3): needs images, but gets 4 features; put it before flatten"),
    ("flatten, max 2", "max1 (max 2): needs images, but gets 784 features"),
    ("global average, global max", "max1 (global max): needs images, but gets 1 feature;"),
    ("global average, global average", "global2 (global average): needs images, but gets 1 feature;"),
    ("softmax", "softmax1 (softmax): needs features, not images of 28x28 with 1 channel; put `flatten`"),
    ("max 2 pad 2", "max1 (max 2 pad 2): a window of 2x2 would lie entirely in the padding 2:2:2:2"),
    ("max 2 pad 0:2:0:0", "hold no column of the 28x28 image"),
    ("average 2 pad 0:0:2:0", "hold no row of the 28x28 image; row padding can be at most 1"),
    ("average 3 pad 0:0:0:3 stride 1 count-padding", "column padding can be at most 2"),
    ("residual(conv 4@3 same stride 2)", 'put "conv 4@1x1 stride 2" at the end of the shortcut'),
    ("residual(conv 4@1 stride 2x1)", 'put "conv 4@1x1 stride 2x1"'),
    ("residual(conv 4@1)", 'put "conv 4@1x1" at'),
    ("residual(conv 4@3)", "its body gives images of 26x26 with 4 channels and its shortcut images of 28x28 with"),
    ("residual(conv 4@3)", "which cannot be added; use `same` in the body"),
    ("flatten, residual(dense 4)", 'put "dense 4" at the end of the shortcut'),
    ("residual(dense 4)", "make the body keep the shape"),
    ("concat(conv 1@1 | conv 1@3)", "branch 1 gives images of 28x28 with 1 channel and branch 2 images of 26x26"),
    ("concat( | dense 3)", "branch 2 3 features"),
]


@pytest.mark.parametrize(("text", "message"), SHAPE_ERRORS, ids=str)
def test_shape_errors_name_the_layer_and_what_fits(text, message):
    with pytest.raises(ShapeError) as caught:
        nodes_of(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_shape_errors_advise_works():
    assert nodes_of("residual(conv 4@3 same stride 2 | conv 4@1x1 stride 2)")
    assert nodes_of("conv 2@28x28")
    assert nodes_of("conv 2@14x14 dilation 2")
    assert nodes_of("conv 6@1, conv 9@3 groups 3")
    assert nodes_of("average 2 pad 0:0:1:0")


BAD_OPTIONS = [
    (Conv2D(16, 3), "conv1", "its kernel must be (rows, columns), whole numbers from 1 to 10,000, not 3; write (3, 3)"),
    (Conv2D(16, [3, 3]), "conv1", "not [3, 3]"),
    (Conv2D(16, (3, 3, 3)), "conv1", "not (3, 3, 3)"),
    (Conv2D(0, (3, 3)), "conv1", "its filters must be a whole number from 1 to 1,000,000, not 0"),
    (Conv2D(True, (3, 3)), "conv1", "not True"),
    (Conv2D(16.0, (3, 3)), "conv1", "not 16.0"),
    (Conv2D(16, (3, 0)), "conv1", "not (3, 0)"),
    (Conv2D(16, (3, 3), stride=(0, 1)), "conv1", "its stride must be"),
    (Conv2D(16, (3, 3), dilation=2), "conv1", "its dilation must be"),
    (Conv2D(16, (3, 3), groups=0), "conv1", "its groups must be"),
    (Conv2D(16, (3, 3), padding="smae"), "conv1", 'must be "valid", "same" or (top, left, bottom, right)'),
    (Conv2D(16, (3, 3), padding=(1, 1)), "conv1", "not (1, 1)"),
    (Conv2D(16, (3, 3), padding=(1, 1, 1, -1)), "conv1", "not (1, 1, 1, -1)"),
    (Conv2D(16, (3, 3), bias=1), "conv1", "its bias must be True or False, not 1"),
    (
        Conv2D(16, (3, 3), initial="zero"),
        "conv1",
        "must be one of 'random', 'identity', 'whiten', not 'zero'",
    ),
    (MaxPool2D(2), "max1", "its window must be"),
    (MaxPool2D((2, 2), 2), "max1", "its stride must be"),
    (AvgPool2D((2, 2), count_padding=None), "average1", "its count_padding must be"),
    (AvgPool2D((2, 10**6)), "average1", "to 10,000"),
    (Dense(-1), "dense1", "its units must be"),
    (Dense(1, None), "dense1", "its bias must be"),
    (LeakyReLU(float("nan")), "leaky1", "its slope must be a number from 0 to 1, not nan"),
    (LeakyReLU("0.1"), "leaky1", "not '0.1'"),
    (Dropout(1.0), "dropout1", "at least 0 and less than 1, not 1.0"),
    (Dropout(-0.5), "dropout1", "not -0.5"),
    (Residual(()), "residual1", "its body is empty"),
    (Residual(ReLU()), "residual1", "its body must be a tuple of layers"),
    (Residual((ReLU(),), ReLU()), "residual1", "its shortcut must be a tuple of layers"),
    (Residual((Dense(0),)), "dense1", "its units must be"),
    (Concat(((ReLU(),),)), "concat1", "at least two branches"),
    (Concat((ReLU(), ReLU())), "concat1", "its branches must be a tuple of layers"),
    (Concat([(), ()]), "concat1", "its branches must be a tuple of tuples"),
]


@pytest.mark.parametrize(("layer", "name", "message"), BAD_OPTIONS, ids=[repr(layer) for layer, _, _ in BAD_OPTIONS])
def test_options_that_make_no_sense_are_refused(layer, name, message):
    with pytest.raises(NetworkError) as caught:
        build((layer,), (1, 28, 28))
    assert str(caught.value).startswith(f"{name} (")
    assert message in str(caught.value)


@pytest.mark.parametrize("layer", [Input(), Add(), Join(), Layer(), "relu", None])
def test_only_layers_to_build_from_are_built(layer):
    with pytest.raises(NetworkError, match=r"node 2 of the network is .*, not a layer to build from"):
        build((ReLU(), layer), (1, 4, 4))


@pytest.mark.parametrize("layers", [(), [], "relu", ReLU(), None])
def test_a_network_is_a_tuple_of_layers(layers):
    with pytest.raises(NetworkError, match="at least one layer"):
        build(layers, (1, 4, 4))


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 0), (1, 4.0, 4), (1, 2, 3, 4), None])
def test_images_have_three_positive_sizes(shape):
    with pytest.raises(ShapeError, match=re.escape("(channels, rows, columns)")):
        build((ReLU(),), shape)


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        (parse("relu"), (3, 20_000, 20_000), "shrink them"),
        (parse("conv 1000000@1"), (1, 28, 28), "conv1 (conv 1000000@1x1): 784,000,000 values"),
        (parse("conv 1@1 stride 9000 pad 9000"), (1, 28, 28), "conv1 (conv 1@1x1 pad 9000 stride 9000): 325,"),
        (parse("dense 1000000, dense 1000000"), (1, 2, 2), "in dense2 (dense 1000000), which gets 1000000 features"),
    ],
)
def test_what_no_memory_holds_is_refused(layers, shape, message):
    with pytest.raises(TooLargeError) as caught:
        build(layers, shape)
    assert message in str(caught.value)


def test_depth_and_length_have_limits():
    layer = ReLU()
    for _ in range(MOST_DEPTH + 1):
        layer = Residual((layer,))  # type: ignore[assignment]
    with pytest.raises(NetworkError, match="more than 50 residuals and concats are inside each other"):
        build((layer,), (1, 2, 2))
    with pytest.raises(NetworkError, match="more than 10,000 layers"):
        build((ReLU(),) * 10_001, (1, 2, 2))


def test_long_layers_are_shortened_in_messages():
    with pytest.raises(ShapeError) as caught:
        nodes_of(f"residual({', '.join(['relu'] * 100)}, conv 4@3)")
    assert "relu, relu…): its body gives" in str(caught.value)


@pytest.mark.parametrize("case", LAYER_CASES + NETWORK_CASES, ids=str)
def test_assembled_from_its_own_nodes_a_graph_is_the_same(case):
    graph = case.graph()
    assert assemble([(node.layer, node.inputs) for node in graph.nodes[1:]], graph.input_shape) == graph


def test_more_than_two_nodes_can_be_added():
    steps = [(ReLU(), (0,)), (LeakyReLU(), (0,)), (Add(), (0, 1, 2))]
    assert assemble(steps, (2, 3, 4)).output_shape == (2, 3, 4)
    with pytest.raises(ShapeError, match="cannot be added"):
        assemble([*steps, (MaxPool2D((2, 2)), (0,)), (Add(), (3, 2, 4))], (2, 3, 4))


@pytest.mark.parametrize(
    ("layer", "inputs", "message"),
    [
        (Residual((ReLU(),)), (0,), "node 1 of the graph cannot be"),
        (Input(), (), "node 1 of the graph cannot be Input()"),
        (ReLU(), (1,), "of nodes (1,)"),
        (ReLU(), (), "of nodes ()"),
        (Dense(0), (0,), "its units must be"),
        (Dense(3), (0,), "dense1 (dense 3): needs features, not images of 4x5 with 2 channels; put `flatten`"),
    ],
)
def test_nodes_that_do_not_fit_are_not_assembled(layer, inputs, message):
    with pytest.raises(NetworkError, match=re.escape(message)):
        assemble([(layer, inputs)], (2, 4, 5))


@pytest.mark.parametrize("case", LAYER_CASES + NETWORK_CASES, ids=str)
def test_cases_build_and_read_only_backwards(case):
    graph = case.graph()
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)
    assert all(source < position for position, node in enumerate(graph.nodes) for source in node.inputs)
    for position, users in enumerate(graph.users()):
        assert all(position in graph.nodes[reader].inputs for reader in users)


def test_cases_have_names_of_their_own():
    names = [case.name for case in LAYER_CASES + NETWORK_CASES]
    assert len(set(names)) == len(names)
