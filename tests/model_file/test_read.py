"""Files that are read: our own exactly as they were, and others with the numbers that ONNX Runtime gives."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lanewise.errors import ModelFileError
from lanewise.model_file import Contents, read, read_graph, to_onnx, write
from lanewise.network.activations import ACTIVATIONS
from lanewise.network.comparing import comparable
from lanewise.network.layers import AvgPool2D, BatchNorm, Conv2D, Dense, GlobalAvgPool2D
from lanewise.network.reference import forward
from tests.cases import LAYER_CASES, NETWORK_CASES
from tests.model_file.models import contents, evaluated, foreign, pixels, run
from tests.model_file.test_write import ending_in_classes


def same(a: Contents, b: Contents) -> bool:
    """Equal in everything that is saved, to the bit."""
    arrays = len(a.parameters) == len(b.parameters) and all(map(np.array_equal, a.parameters, b.parameters))
    names = ("graph", "classes", "preprocessing", "network", "history", "provenance")
    return arrays and all(getattr(a, name) == getattr(b, name) for name in names)


@pytest.mark.parametrize("case", [*LAYER_CASES, *NETWORK_CASES], ids=str)
def test_what_was_written_is_read_exactly(case, tmp_path):
    model = contents(ending_in_classes(case), case.input_shape)
    write(model, tmp_path / "m.onnx")
    assert same(read(tmp_path / "m.onnx"), model)


TRICKY = [
    "dropout 0.1, conv 4@3 same, dropout 0.2, dense 3, dropout 0.3, softmax",
    "residual(dropout 0.5, conv 3@1 | ), residual(conv 3@3 same | dropout 0.5), dense 2, softmax",
    "concat(dropout 0.2 | conv 2@1 | ), global average, flatten, flatten, dense 2, softmax",
    "leaky 0.1, leaky 0.30000000000000004, dense 4, flatten, softmax",
    "flatten, dense 3, dense 3 nobias, softmax",
    "average 3 pad 1 stride 2 count-padding, average 2 count-padding, dense 1, sigmoid",
    "conv 3@3 pad 1, conv 3@3 pad 0:1:2:1, max 3 same stride 2, max 2 stride 2, dense 2, softmax",
    "global average, softmax",
    "conv 2@9x7, flatten, softmax",
]


@pytest.mark.parametrize("text", TRICKY)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_text_of_the_network_comes_back_with_its_dropout(text, dtype, tmp_path):
    model = contents(text, dtype=dtype)
    write(model, tmp_path / "m.onnx")
    assert same(read(tmp_path / "m.onnx"), model)


def test_a_graph_without_text_comes_back_too(tmp_path):
    model = contents("residual(conv 3@3 same, relu), concat(max 2 | average 2), global average, dense 4, softmax")
    model = Contents(model.graph, model.parameters, model.classes, model.preprocessing)
    write(model, tmp_path / "m.onnx")
    back = read(tmp_path / "m.onnx")
    x = pixels(model, 3)
    assert np.array_equal(evaluated(back, x), evaluated(model, x))
    assert [node.name for node in back.graph.nodes] == [node.name for node in model.graph.nodes]
    assert [node.padding for node in back.graph.nodes] == [node.padding for node in model.graph.nodes]
    write(back, tmp_path / "n.onnx")
    assert same(read(tmp_path / "n.onnx"), back)


@pytest.mark.parametrize("labels", [("a", "b", "c"), (0, 1, 2), (1.5, -2, "x"), (True, "ü", 7)])
def test_labels_keep_their_type(labels, tmp_path):
    model = contents("dense 3, softmax")
    write(Contents(model.graph, model.parameters, labels, model.preprocessing), tmp_path / "m.onnx")
    back = read(tmp_path / "m.onnx").classes
    assert back == labels
    assert list(map(type, back)) == list(map(type, labels))


def test_of_a_history_of_many_epochs_some_are_kept(tmp_path):
    model = contents("dense 3, softmax")
    history = tuple({"epoch": k, "note": "x" * 1000} for k in range(1, 20_001))
    write(Contents(model.graph, model.parameters, model.classes, model.preprocessing, None, history), tmp_path / "m")
    assert read(tmp_path / "m").history == history[3::4]


IMAGE = "float[N,3,8,9] x => float[N,K] y"
FEATURES = "float[N,6] x => float[N,K] y"
FOREIGN = {
    "conv, auto_pad same upper": (
        IMAGE,
        "a = Conv<auto_pad='SAME_UPPER', strides=[2,3]>(x, w) y = Flatten(a)",
        {"w": (4, 3, 4, 2)},
    ),
    "conv, auto_pad same lower": (
        IMAGE,
        "a = Conv<auto_pad='SAME_LOWER', strides=[2,3]>(x, w) y = Flatten(a)",
        {"w": (4, 3, 4, 2)},
    ),
    "conv, auto_pad valid": (
        IMAGE,
        "a = Conv<auto_pad='VALID'>(x, w, b) y = Flatten(a)",
        {"w": (4, 3, 3, 2), "b": (4,)},
    ),
    "conv, groups, pads of all sides": (
        IMAGE,
        "a = Conv<group=3, pads=[0,1,2,3], dilations=[1,2]>(x, w, b) y = Flatten(a)",
        {"w": (6, 1, 3, 2), "b": (6,)},
    ),
    "max pool, same lower": (IMAGE, "a = MaxPool<kernel_shape=[2,2], auto_pad='SAME_LOWER'>(x) y = Flatten(a)", {}),
    "max pool, stride 1 by default": (IMAGE, "a = MaxPool<kernel_shape=[3,2], pads=[1,0,1,1]>(x) y = Flatten(a)", {}),
    "max pool, ceil": (IMAGE, "a = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x) y = Flatten(a)", {}),
    "max pool, ceil beyond padding": (
        IMAGE,
        "a = MaxPool<kernel_shape=[2,2], strides=[3,3], pads=[1,1,1,1], ceil_mode=1>(x) y = Flatten(a)",
        {},
    ),
    "average pool, padding counts": (
        IMAGE,
        "a = AveragePool<kernel_shape=[3,2], pads=[1,1,2,0], count_include_pad=1>(x) y = Flatten(a)",
        {},
    ),
    "average pool, ceil": (
        IMAGE,
        "a = AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x) y = Flatten(a)",
        {},
    ),
    "global average, kept as an image": (
        IMAGE,
        "a = GlobalAveragePool(x) b = Conv(a, w) c = Relu(b) y = Flatten(c)",
        {"w": (4, 3, 1, 1)},
    ),
    "global average, reshaped": (IMAGE, "a = GlobalAveragePool(x) y = Reshape(a, s)", {"s": [0, -1]}),
    "global average, squeezed": (IMAGE, "a = GlobalAveragePool(x) y = Squeeze(a, s)", {"s": [3, -2]}),
    "softmax over what is still an image": (
        "float[N,3,8,9] x => float[N,K,1,1] y",
        "a = GlobalAveragePool(x) y = Softmax<axis=1>(a)",
        {},
    ),
    "reshape to fixed features": (IMAGE, "y = Reshape(x, s)", {"s": [-1, 216]}),
    "gemm, alpha and beta": (FEATURES, "y = Gemm<alpha=0.5, beta=2.0>(x, w, b)", {"w": (6, 4), "b": (4,)}),
    "gemm, transposed, one bias": (FEATURES, "y = Gemm<transB=1>(x, w, b)", {"w": (4, 6), "b": (1,)}),
    "prelu of an image": (IMAGE, "a = PRelu(x, s) y = Flatten(a)", {"s": (3, 1, 1)}),
    "prelu of features": (FEATURES, "y = PRelu(x, s)", {"s": (6,)}),
    "prelu with one slope above 1": (IMAGE, "a = PRelu(x, s) y = Flatten(a)", {"s": np.float32([1.5])}),
    "features scaled by themselves": (FEATURES, "a = Relu(x) y = Mul(a, w)", {"w": (6,)}),
    "an image scaled by itself": (
        IMAGE,
        "a = Relu(x) b = Mul(a, w) c = Sub(v, b) d = Relu(c) y = Flatten(d)",
        {"w": (3, 1, 1), "v": (1, 3, 1, 1)},
    ),
    "matmul and bias": (FEATURES, "a = MatMul(x, w) y = Add(b, a)", {"w": (6, 4), "b": (4,)}),
    "matmul twice with one matrix": (
        FEATURES,
        "a = MatMul(x, w) b = Add(a, c) y = MatMul(b, w)",
        {"w": (6, 6), "c": (6,)},
    ),
    "matmul, two readers, then bias": (
        FEATURES,
        "a = MatMul(x, w) b = Relu(a) c = Gemm(a, v, d) y = Concat<axis=-1>(b, c)",
        {"w": (6, 6), "v": (6, 3), "d": (3,)},
    ),
    "conv, bias and scale after it": (
        IMAGE,
        "a = Conv(x, w) b = Add(a, c) d = Mul(e, b) f = Sub(d, g) h = Div(f, e) i = Sub(c, h) y = Flatten(i)",
        {"w": (4, 3, 3, 3), "c": (1, 4, 1, 1), "e": (4, 1, 1), "g": (1, 1, 1)},
    ),
    "batch norm after a convolution": (
        IMAGE,
        "a = Conv(x, w, b) d = BatchNormalization<epsilon=0.01>(a, s, t, m, v) e = Relu(d) y = Flatten(e)",
        {"w": (4, 3, 3, 3), "b": (4,), "s": (4,), "t": (4,), "m": (4,), "v": np.float32([0.1, 2, 0.5, 1])},
    ),
    "batch norm after a dense layer": (
        FEATURES,
        "a = Gemm<transB=1>(x, w) y = BatchNormalization(a, s, t, m, v)",
        {"w": (4, 6), "s": (4,), "t": (4,), "m": (4,), "v": np.float32([0.1, 2, 0.5, 1])},
    ),
    "batch norm first": (
        IMAGE,
        "a = BatchNormalization(x, s, t, m, v) b = Conv(a, w) y = Flatten(b)",
        {"w": (4, 3, 3, 3), "s": (3,), "t": (3,), "m": (3,), "v": np.float32([0.1, 2, 0.5])},
    ),
    "batch norm, then scale and shift": (
        FEATURES,
        "a = BatchNormalization(x, s, t, m, v) b = Mul(a, e) y = Add(b, t)",
        {"s": (6,), "t": (6,), "m": (6,), "e": (6,), "v": np.float32([0.1, 2, 0.5, 1, 3, 0])},
    ),
    "batch norm without epsilon": (
        IMAGE,
        "a = BatchNormalization<epsilon=0.0>(x, s, t, m, v) y = Flatten(a)",
        {"s": (3,), "t": (3,), "m": (3,), "v": np.float32([0.1, 2, 0.5])},
    ),
    "a convolution with two readers keeps its bias": (
        IMAGE,
        "a = Conv(x, w) b = Add(a, c) d = Add(a, b) y = Flatten(d)",
        {"w": (4, 3, 3, 3), "c": (1, 4, 1, 1)},
    ),
    "a convolution seen through an identity keeps its bias": (
        IMAGE,
        "a = Conv(x, w) i = Identity(a) b = Add(i, c) d = Add(a, b) y = Flatten(d)",
        {"w": (4, 3, 3, 3), "c": (1, 4, 1, 1)},
    ),
    "an identity with two readers keeps its bias": (
        IMAGE,
        "a = Conv(x, w) i = Identity(a) b = Add(i, c) d = Add(i, b) y = Flatten(d)",
        {"w": (4, 3, 3, 3), "c": (1, 4, 1, 1)},
    ),
    "sums and joins": (
        IMAGE,
        "a = Conv<pads=[1,1,1,1]>(x, w) b = Tanh(a) c = Sum(a, x, b) "
        "d = Concat<axis=1>(c, x, a) e = Add(d, d) y = Flatten(e)",
        {"w": (3, 3, 3, 3)},
    ),
    "activations": (
        IMAGE,
        "a = LeakyRelu<alpha=0.2>(x) b = Sigmoid(a) c = LeakyRelu(b) d = Dropout(c) y = Flatten(d)",
        {},
    ),
    "weights by way of other nodes": (
        FEATURES,
        "t = Transpose<perm=[1,0]>(w) i = Identity(t) b = Constant<value_floats=[1.0,2.0,3.0,4.0]>() "
        "a = MatMul(x, i) y = Add(a, b)",
        {"w": (4, 6)},
    ),
    "left-overs that nobody reads": (IMAGE, "l = Erf(x) y = Flatten(x) r = NonZero(l)", {}),
    "sequences": (
        "float[N,3,20] x => float[N,K] y",
        "a = Conv<pads=[1,2], strides=[2]>(x, w, b) c = MaxPool<kernel_shape=[3]>(a) d = Relu(c) y = Flatten(d)",
        {"w": (4, 3, 3), "b": (4,)},
    ),
    "sequences and batch norm": (
        "float[N,3,20] x => float[N,K] y",
        "a = AveragePool<kernel_shape=[3], pads=[1,0]>(x) b = BatchNormalization(a, s, t, m, v) "
        "c = GlobalAveragePool(b) y = Flatten(c)",
        {"s": (3,), "t": (3,), "m": (3,), "v": np.float32([0.1, 2, 0.5])},
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_other_files_give_the_numbers_of_onnx_runtime(case):
    head, nodes, arrays = FOREIGN[case]
    model = foreign(head, nodes, **arrays)
    reading = read_graph(model)
    dims = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    x = np.random.default_rng(5).normal(size=(4, *dims)).astype(np.float32)
    expected = run(model, x)
    found = forward(reading.graph, reading.parameters, x.reshape(4, *reading.graph.input_shape))[-1]
    assert found.reshape(expected.shape) == pytest.approx(expected, rel=1e-5, abs=1e-5)


REFUSED = [
    (IMAGE, "y = Sin(x)", {}, 13, "(Sin): the operator is not supported"),
    (IMAGE, "y = LRN<size=4>(x)", {}, 13, "its size must be an odd number"),
    (IMAGE, "y = LRN(x)", {}, 13, "its size must be an odd number"),
    (IMAGE, "y = LRN<size=3, bias=-1.0>(x)", {}, 13, "its k must be a number"),
    (IMAGE, "y = Reshape(x, s)", {"s": [1, 216]}, 13, "the shape [1, 216] does not keep each image's 216 values"),
    (IMAGE, "y = Reshape(x, s)", {"s": [-1]}, 13, "it lays all images out in one row"),
    (IMAGE, "y = Reshape(x, s)", {"s": [-1, -1]}, 13, "the shape [-1, -1] does not keep"),
    (
        IMAGE,
        "t = Transpose<perm=[0,2,3,1]>(x) y = Reshape(t, s)",
        {"s": [0, 27, 8]},
        13,
        "it turns (8, 9, 3) into (27, 8), across axes that were moved",
    ),
    (IMAGE, "y = Flatten<axis=2>(x)", {}, 13, "it flattens from axis 2"),
    (IMAGE, "y = Transpose<perm=[2,1,0,3]>(x)", {}, 13, "must be an order of 4 axes that leaves the batch the first"),
    (
        IMAGE,
        "t = Transpose<perm=[0,2,3,1]>(x) y = Conv(t, w)",
        {"w": (2, 8, 1, 1)},
        13,
        "no image with the channels first",
    ),
    (
        IMAGE,
        "y = Softmax(x)",
        {},
        13,
        "softmax is read over the features of one image, not over one axis of (3, 8, 9)",
    ),
    (IMAGE, "y = Softmax<axis=1>(x)", {}, 11, "softmax is read over the features of one image"),
    (IMAGE, "y = Concat<axis=2>(x, x)", {}, 13, "along axis 2; only channels are joined"),
    (IMAGE, "y = Mul(x, x)", {}, 13, "it combines two values of the network"),
    (IMAGE, "y = Div(w, x)", {"w": (1,)}, 13, "it divides by the network's values or by zero"),
    (IMAGE, "y = Div(x, w)", {"w": np.zeros(1, np.float32)}, 13, "it divides by the network's values or by zero"),
    (IMAGE, "y = Add(x, w)", {"w": (9,)}, 13, "(float32 (9,)) is not one float32 for each of 3 channels"),
    (IMAGE, "y = Add(x, w)", {"w": (2, 1, 3, 1, 1)}, 13, "is not one float32 for each of 3 channels"),
    (IMAGE, "a = MaxPool<kernel_shape=[2,2]>(x) y = Add(a, x)", {}, 13, "it adds shapes (3, 7, 8) and (3, 8, 9)"),
    (IMAGE, "a, i = MaxPool<kernel_shape=[2,2]>(x) b = Cast<to=1>(i) y = Add(a, b)", {}, 13, "outputs that are read"),
    (IMAGE, "y = MaxPool<kernel_shape=[2,2], dilations=[2,1]>(x)", {}, 13, "pooling with dilation is not supported"),
    (
        IMAGE,
        "y = AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1, count_include_pad=1>(x)",
        {},
        13,
        "ceil_mode with count_include_pad makes windows hang over",
    ),
    (IMAGE, "a = Relu(x) y = Conv(x, a)", {}, 13, "its weight (input 2) is computed by the network"),
    (IMAGE, "y = Conv(x, w, b)", {"w": (4, 3, 3, 3), "b": (3,)}, 13, "its bias has shape (3,); 4 filters need (4,)"),
    (IMAGE, "y = Conv(x, w)", {"w": (4, 3, 3)}, 13, "its weight must be there and have as many axes as its input, 4"),
    (
        IMAGE,
        "y = Conv<kernel_shape=[1,1]>(x, w)",
        {"w": (4, 3, 3, 3)},
        13,
        "its kernel_shape (1, 1) is not that of its",
    ),
    (IMAGE, "y = LeakyRelu<alpha=-2.0>(x)", {}, 13, "its slope must be a number from 0 to 1, not -2.0"),
    (IMAGE, "y = Cast<to=11>(x)", {}, 13, "it casts to double"),
    (IMAGE, "y = Dropout(x)", {}, 6, "it is meant for training"),
    (IMAGE, "y = Dropout(x, r, t)", {"r": np.float32(0.5), "t": np.array(True)}, 13, "it drops values at random"),
    (IMAGE, "y = Add<broadcast=1>(x, w)", {"w": (3, 1, 1)}, 6, 'its attribute "broadcast" is not supported'),
    (FEATURES, "y = Gemm<transA=1>(x, w)", {"w": (6, 6)}, 13, "it transposes its input, which would mix images"),
    (FEATURES, "y = Gemm(x, w)", {"w": (5, 6)}, 13, "a matrix for 5 inputs does not fit 6 features"),
    (
        FEATURES,
        "y = Gemm(x, w, b)",
        {"w": (6, 3), "b": (4, 3)},
        13,
        "its bias of shape (4, 3) is not one number for each of",
    ),
    (FEATURES, "a = Tan(w) y = Add(x, a)", {"w": (6,)}, 13, "(Tan): the operator is not supported"),
    (FEATURES, "a = Relu(w) y = Add(x, a)", {"w": (6,)}, 13, "it computes with constants alone"),
    (FEATURES, "y = Unsqueeze(x, a)", {"a": [0]}, 13, "it must add axes after the batch"),
    ("float[N,3,1,9] x => float[N,K] y", "y = Squeeze(x)", {}, 13, "it must name the axes it drops"),
    ("uint8[N,3,8,9] x => uint8[N,K] y", "y = Flatten(x)", {}, 13, "takes uint8 but is never cast to float32"),
    ("uint8[N,8,9,3] x => float[N,K] y", "a = Add(x, w) y = Cast<to=1>(a)", {"w": [1]}, 13, "is never cast to float32"),
    (
        IMAGE,
        "y = BatchNormalization(x, s, s, s, v)",
        {"s": (3,), "v": np.float32([1, 1, -1])},
        13,
        "its variance is negative or zero",
    ),
    (IMAGE, "y = BatchNormalization(x, s, s, s, s)", {"s": (4,)}, 13, "must be 3 numbers each"),
    (IMAGE, "y = BatchNormalization<training_mode=1>(x, s, s, s, s)", {"s": (3,)}, 14, "it normalises by the batch"),
]


@pytest.mark.parametrize(("head", "nodes", "arrays", "opset", "problem"), REFUSED, ids=[case[1] for case in REFUSED])
def test_what_is_not_a_layer_is_refused_by_the_name_of_its_node(head, nodes, arrays, opset, problem):
    with pytest.raises(ModelFileError) as caught:
        read_graph(foreign(head, nodes, opset, **arrays))
    assert problem in str(caught.value)
    assert 'node that writes "' in str(caught.value)


def test_a_second_output_that_nobody_needs_does_no_harm():
    model = foreign(IMAGE, "y, i = MaxPool<kernel_shape=[2,2]>(x) z = Cast<to=1>(i)")
    assert [type(node.layer).__name__ for node in read_graph(model).graph.nodes] == ["Input", "MaxPool2D"]


def test_scale_and_shift_are_taken_into_the_layer_before():
    _, nodes, arrays = FOREIGN["conv, bias and scale after it"]
    graph = read_graph(foreign(IMAGE, nodes, **arrays)).graph
    assert [type(node.layer).__name__ for node in graph.nodes] == ["Input", "Conv2D", "Flatten"]
    assert isinstance(graph.nodes[1].layer, Conv2D)
    assert graph.nodes[1].layer.bias
    _, nodes, arrays = FOREIGN["matmul and bias"]
    graph = read_graph(foreign(FEATURES, nodes, **arrays)).graph
    assert graph.nodes[-1].layer == Dense(4)


def test_a_batch_normalisation_stays_a_layer_that_training_leaves_alone():
    for case in ("batch norm after a convolution", "batch norm after a dense layer", "batch norm first"):
        head, nodes, arrays = FOREIGN[case]
        reading = read_graph(foreign(head, nodes, **arrays))
        (position,) = (n for n, node in enumerate(reading.graph.nodes) if isinstance(node.layer, BatchNorm))
        layer = reading.graph.nodes[position].layer
        assert layer == BatchNorm(0.01 if "0.01" in nodes else 1e-5, frozen=True)
        *_, variance = (reading.parameters[n] for n in reading.graph.parameters_of(position))
        assert np.array_equal(variance, arrays["v"])


def test_a_batch_normalisation_takes_in_a_scale_behind_it():
    nodes = "a = BatchNormalization(x, s, t, m, v) b = Mul(a, e) c = Add(b, s) y = Relu(c)"
    arrays = {name: np.float32(np.arange(6) + number) for number, name in enumerate("stmve")}
    graph = read_graph(foreign(FEATURES, nodes, **arrays)).graph
    assert [type(node.layer).__name__ for node in graph.nodes] == ["Input", "Flatten", "BatchNorm", "ReLU"]


def test_an_odd_batch_normalisation_is_its_scale_and_shift():
    """An epsilon of 0, or a variance just below it, trains nothing and is not worth an error."""
    nodes = "a = BatchNormalization<epsilon=0.0>(x, s, s, s, v) y = Flatten(a)"
    graph = read_graph(foreign(IMAGE, nodes, s=(3,), v=np.float32([1, 2, 3]))).graph
    assert [type(node.layer).__name__ for node in graph.nodes] == ["Input", "Conv2D", "Flatten"]


def test_a_global_average_becomes_the_layer_that_fits_what_follows():
    kept = read_graph(foreign(IMAGE, "a = GlobalAveragePool(x) y = Relu(a)")).graph
    flat = read_graph(foreign(IMAGE, "a = GlobalAveragePool(x) y = Flatten(a)")).graph
    assert kept.nodes[1].layer == AvgPool2D((8, 9), (1, 1))
    assert kept.output_shape == (3, 1, 1)
    assert flat.nodes[-1].layer == GlobalAvgPool2D()


ENTRANCES = {
    "uint8, channels last": (
        "uint8[N,8,9,3] x => float[N,K] y",
        "a = Cast<to=1>(x) b = Sub(a, m) c = Div(b, s) t = Transpose<perm=[0,3,1,2]>(c) f = Conv(t, w) y = Flatten(f)",
        {"m": (3,), "s": (3,), "w": (4, 3, 3, 3)},
    ),
    "uint8, channels moved first": (
        "uint8[N,8,9,3] x => float[N,K] y",
        "t = Transpose<perm=[0,3,1,2]>(x) a = Cast<to=1>(t) b = Mul(k, a) c = Sub(b, m) f = Conv(c, w) y = Flatten(f)",
        {"m": (1, 3, 1, 1), "k": np.float32(1 / 255), "w": (4, 3, 3, 3)},
    ),
    "uint8, channels first": (
        "uint8[N,3,8,9] x => float[N,K] y",
        "a = Cast<to=1>(x) b = Sub(m, a) f = Conv(b, w) y = Flatten(f)",
        {"m": (3, 1, 1), "w": (4, 3, 3, 3)},
    ),
    "float, channels last": (
        "float[N,8,9,3] x => float[N,K] y",
        "b = Add(x, m) t = Transpose<perm=[0,3,1,2]>(b) c = Mul(t, k) f = Conv(c, w) y = Flatten(f)",
        {"m": (1, 1, 1, 3), "k": (3, 1, 1), "w": (4, 3, 3, 3)},
    ),
}


@pytest.mark.parametrize("case", ENTRANCES)
def test_preprocessing_in_a_file_is_told_from_the_network(case):
    head, nodes, arrays = ENTRANCES[case]
    model = foreign(head, nodes, **arrays)
    reading = read_graph(model)
    assert reading.graph.nodes[1].layer == Conv2D(4, (3, 3), bias=False)
    assert reading.preprocessing.dtype == head.split("[")[0].replace("float", "float32")
    x = np.random.default_rng(5).integers(0, 256, (4, 8, 9, 3)).astype(reading.preprocessing.dtype)
    found = forward(reading.graph, reading.parameters, reading.preprocessing.apply(x))[-1]
    expected = run(model, x.transpose(0, 3, 1, 2) if case.endswith(" first") and "moved" not in case else x)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_file_fixed_to_one_image_is_read_for_any_number():
    reading = read_graph(foreign("float[1,3,8,9] x => float[1,216] y", "y = Reshape(x, s)", s=[1, -1]))
    assert reading.graph.output_shape == (216,)
    with pytest.raises(ModelFileError, match=r'node that writes "y" \(Reshape\): the shape \[1, -1\] does not keep'):
        read_graph(foreign("float[N,3,8,9] x => float[N,216] y", "y = Reshape(x, s)", s=[1, -1]))


def test_a_file_that_ends_in_numbers_gets_probabilities_and_says_so(tmp_path):
    model = foreign("float[N,3,8,9] x => float[N,4] y", "a = Flatten(x) y = MatMul(a, w)", w=(216, 4))
    onnx.save(model, tmp_path / "m.onnx")
    found = read(tmp_path / "m.onnx")
    assert found.classes == ("0", "1", "2", "3")
    assert "a softmax was added" in found.notes[-1]
    assert found.preprocessing.dtype == "float32"
    x = pixels(found, 3)
    assert evaluated(found, x).sum(axis=1) == pytest.approx(1)
    assert read(tmp_path / "m.onnx", classes=("a", "b", "c", "d")).classes == ("a", "b", "c", "d")
    with pytest.raises(ModelFileError, match="3 classes do not fit"):
        read(tmp_path / "m.onnx", classes=("a", "b", "c"))


def test_a_file_with_one_output_gets_a_sigmoid(tmp_path):
    onnx.save(foreign("float[N,6] x => float[N,1] y", "y = MatMul(x, w)", w=(6, 1)), tmp_path / "m.onnx")
    found = read(tmp_path / "m.onnx")
    assert found.classes == ("0", "1")
    assert found.graph.nodes[-1].name == "sigmoid1"


def test_the_output_of_a_fully_convolutional_net_is_flattened(tmp_path):
    model = foreign("float[N,3,8,9] x => float[N,4,1,1] y", "a = Conv(x, w) y = GlobalAveragePool(a)", w=(4, 3, 3, 3))
    onnx.save(model, tmp_path / "m.onnx")
    assert read(tmp_path / "m.onnx").graph.output_shape == (4,)
    onnx.save(foreign("float[N,3,8,9] x => float[N,3,8,9] y", "y = Relu(x)"), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=r"shape \(3, 8, 9\) for each image; a classifier has one number"):
        read(tmp_path / "m.onnx")


def test_a_foreign_file_can_be_saved_as_ours(tmp_path):
    model = foreign("float[N,3,8,9] x => float[N,4] y", "a = Flatten(x) y = MatMul(a, w)", w=(216, 4))
    onnx.save(model, tmp_path / "m.onnx")
    first = read(tmp_path / "m.onnx")
    write(first, tmp_path / "n.onnx")
    assert same(read(tmp_path / "n.onnx"), first)


def test_weights_in_either_form_of_the_format_are_read():
    model = to_onnx(contents("dense 3, softmax"))
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensor.ClearField("raw_data")
        tensor.float_data.extend(array.ravel().tolist())
    assert np.array_equal(read_graph(model).parameters[0], contents("dense 3, softmax").parameters[0])


# Activations, by their operators alone


@pytest.mark.parametrize("word", ACTIVATIONS)
def test_activations_are_read_from_their_operators(word):
    model = contents(f"conv 3@3 same, {word}, dense 4, {word}, dense 3, softmax")
    assert comparable(read_graph(to_onnx(model)).graph) == comparable(model.graph)


@pytest.mark.parametrize(
    ("word", "change", "reason"),
    [
        (
            "gelu",
            lambda model: node_of(model, "Gelu").attribute[0].CopyFrom(text("approximate", "tanh")),
            "approximate",
        ),
        ("hardsigmoid", lambda model: node_of(model, "HardSigmoid").attribute.pop(0), "alpha is 0.2"),
        (
            "relu6",
            lambda model: node_of(model, "Constant", 1).attribute[0].CopyFrom(scalar("value", 5.0)),
            "constant 6",
        ),
    ],
)
def test_an_activation_that_only_looks_alike_is_refused(word, change, reason):
    model = to_onnx(contents(f"conv 3@3 same, {word}, dense 3, softmax"))
    change(model)
    with pytest.raises(ModelFileError, match=reason):
        read_graph(model)


def node_of(model, operator, position=0):
    return [node for node in model.graph.node if node.op_type == operator][position]


def text(name, value):
    return onnx.helper.make_attribute(name, value)


def scalar(name, value):
    return onnx.helper.make_attribute(name, onnx.helper.make_tensor("", onnx.TensorProto.FLOAT, (), [value]))
