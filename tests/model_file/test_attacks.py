"""Files that are damaged, or made to do harm: one line that names the culprit, and nothing else happens."""

import json
import os
import struct

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lanewise.errors import ModelFileError
from lanewise.model_file import Contents, builder, read, read_graph, to_onnx, write
from tests.model_file.models import contents, foreign

TEXT = "conv 4@3 same, relu, max 2, dropout 0.2, dense 3, softmax"
IMAGE = "float[N,3,8,9] x => float[N,K] y"


@pytest.fixture
def saved(tmp_path):
    """A sound file."""
    path = tmp_path / "m.onnx"
    write(contents(TEXT), path)
    return path


def refused(path, *, one_line=True) -> str:
    with pytest.raises(ModelFileError) as caught:
        read(path)
    message = str(caught.value)
    assert os.fspath(path) in message
    assert message.isprintable() or not one_line, "one line, with nothing that a terminal would obey"
    return message


def test_a_file_cut_short_anywhere_is_refused(saved):
    data = saved.read_bytes()
    lengths = {*range(0, 200, 3), *range(200, len(data), 97), *range(len(data) - 1200, len(data), 5)}
    for length in sorted(lengths):
        saved.write_bytes(data[:length])
        refused(saved)


def test_random_bytes_are_refused(saved):
    rng = np.random.default_rng(0)
    for count in (1, 2, 10, 100, 1000, 100_000):
        for _ in range(20):
            saved.write_bytes(rng.bytes(count))
            refused(saved)


def test_a_file_with_a_changed_byte_never_gives_other_weights_in_silence(saved):
    data = bytearray(saved.read_bytes())
    sound = read(saved)
    rng = np.random.default_rng(1)
    for place in rng.choice(len(data), 400, replace=False):
        changed = data.copy()
        changed[place] ^= 1 << rng.integers(8)
        saved.write_bytes(changed)
        try:
            found = read(saved)
        except ModelFileError:
            continue
        assert all(map(np.array_equal, found.parameters, sound.parameters))
        assert [(node.layer, node.inputs) for node in found.graph.nodes] == (
            [(node.layer, node.inputs) for node in sound.graph.nodes]
        )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is not an ONNX model, or was cut short: it lacks a graph"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "is not an ONNX model, or was cut short"),
        (b"PK\x03\x04" + bytes(64), "is not an ONNX model, or was cut short"),
        (b"cos\nsystem\n(S'echo'\ntR.", "is not an ONNX model, or was cut short"),
    ],
)
def test_other_kinds_of_file_are_refused(tmp_path, data, problem):
    (tmp_path / "m.onnx").write_bytes(data)
    assert problem in refused(tmp_path / "m.onnx")


def test_what_is_no_file_is_named(tmp_path):
    assert "No such file" in refused(tmp_path / "nowhere.onnx")
    assert "Is a directory" in refused(tmp_path)
    with pytest.raises(ModelFileError, match="not a regular file"):
        read(os.devnull)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(3 << 30)  # takes no room on the disk
    assert "has 3,221,225,472 bytes; at most 2,147,483,648 are read" in refused(tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="at most 10 are read"):
        read(tmp_path / "m.onnx", most_bytes=10)


# Changes to the weights, as functions of the model.


def dims(*sizes):
    def change(model):
        model.graph.initializer[2].dims[:] = sizes

    return change


def external(model):
    tensor = model.graph.initializer[2]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def external_without_saying_so(model):
    model.graph.initializer[2].external_data.add(key="location", value="/etc/passwd")


def external_and_unused(model):
    external(model)
    model.graph.initializer[2].name = "unused"


def other_type(model):
    model.graph.initializer[2].data_type = TensorProto.FLOAT16


def whole_numbers(model):
    array = numpy_helper.to_array(model.graph.initializer[2]).astype(np.int64)
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(array, "conv1.weight"))


def not_a_number(model):
    array = numpy_helper.to_array(model.graph.initializer[2]).copy()
    array[0, 0, 0, 0] = np.nan
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(array, "conv1.weight"))


def not_a_number_scale(model):
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32([1, np.nan, np.inf]), "scale"))


def twice(model):
    model.graph.initializer.append(model.graph.initializer[2])


def sparse(model):
    model.graph.sparse_initializer.add()


# Changes to the nodes; the seventh is the max pool.


def gone(model):
    del model.graph.node[5]


def cycle(model):
    model.graph.node[5].input[0] = "max1"


def out_of_order(model):
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:5], *nodes[6:], nodes[5]])


def written_twice(model):
    model.graph.node[6].output[0] = "relu1"


def writes_the_input(model):
    model.graph.node[6].output[0] = "images"


def reads_nothing(model):
    del model.graph.node[6].input[:]


def writes_nothing(model):
    del model.graph.node[5].output[:]


def unknown_operator(model):
    model.graph.node[6].op_type = "Lan\x1b[31mewise"


def unknown_domain(model):
    model.graph.node[6].domain = "com.microsoft"


def unknown_attribute(model):
    model.graph.node[6].attribute.append(helper.make_attribute("mystery", 1))


def attribute_twice(model):
    model.graph.node[6].attribute.append(model.graph.node[6].attribute[0])


def attribute_of_another_kind(model):
    del model.graph.node[6].attribute[:]
    model.graph.node[6].attribute.append(helper.make_attribute("kernel_shape", "2x2"))


def window(**options):
    def change(model):
        del model.graph.node[6].attribute[:]
        options.setdefault("kernel_shape", [2, 2])
        model.graph.node[6].attribute.extend(helper.make_attribute(*item) for item in options.items())

    return change


def control_flow(model):
    body = helper.make_graph([], "body", [], [])
    model.graph.node[6].CopyFrom(helper.make_node("If", ["relu1"], ["max1"], then_branch=body, else_branch=body))


def function(model):
    model.functions.add(name="Relu", domain="")


def two_inputs(model):
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def two_outputs(model):
    model.graph.output.append(helper.make_tensor_value_info("relu1", TensorProto.FLOAT, [1]))


def no_output(model):
    model.graph.output[0].name = "elsewhere"


def input_of(element, *sizes):
    def change(model):
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", element, sizes))

    return change


def opset(version):
    def change(model):
        model.opset_import[0].version = version

    return change


def many_nodes(model):
    model.graph.node.extend([helper.make_node("Relu", ["a"], ["b"])] * 60_000)


ATTACKS = [
    (dims(-4, 3, 3, 3), 'tensor "conv1.weight" claims the shape [-4, 3, 3, 3]'),
    (dims(-4, -3, 3, 3), 'tensor "conv1.weight" claims the shape [-4, -3, 3, 3]'),
    (dims(2**62, 2**62, 3, 3), "but holds 108 numbers: the file is damaged"),
    (dims(4, 3, 3), 'tensor "conv1.weight" claims the shape [4, 3, 3] but holds 108 numbers'),
    (dims(*[1] * 40), 'tensor "conv1.weight" claims the shape [1, 1, 1'),
    (dims(3, 4, 3, 3), 'node "conv1" (Conv): its weight of shape (3, 4, 3, 3) with 1 groups does not fit 3 channels'),
    (external, 'tensor "conv1.weight" keeps its numbers in another file'),
    (external_without_saying_so, 'tensor "conv1.weight" keeps its numbers in another file'),
    (external_and_unused, 'tensor "unused" keeps its numbers in another file'),
    (other_type, 'node "conv1" (Conv): tensor "conv1.weight" holds float16'),
    (whole_numbers, 'node "conv1" (Conv): its weight (input 2) holds int64; float32 is needed'),
    (not_a_number, "its weights are not those that were saved"),
    (not_a_number_scale, "is no finite number for 3 channels"),
    (twice, 'tensor "conv1.weight" is defined 2 times'),
    (sparse, "sparse tensors, which are not read"),
    (gone, 'node "max1" (MaxPool): it reads "relu1", which nothing before it writes'),
    (cycle, 'node "relu1" (Relu): it reads "max1", which nothing before it writes'),
    (out_of_order, 'node "max1" (MaxPool): it reads "relu1", which nothing before it writes'),
    (written_twice, 'node "max1" (MaxPool) writes "relu1", which was written before'),
    (writes_the_input, 'node "max1" (MaxPool) writes "images", which was written before'),
    (reads_nothing, 'nothing that reads the input "images" writes the output "probabilities"'),
    (writes_nothing, 'node "max1" (MaxPool): it reads "relu1", which nothing before it writes'),
    (unknown_operator, r'node "max1" (Lan\u001b[31mewise): the operator is not supported; those that are: Add,'),
    (unknown_domain, 'node "max1" (MaxPool): the operator of domain "com.microsoft" is not supported'),
    (unknown_attribute, 'node "max1" (MaxPool): its attribute "mystery" is not supported'),
    (attribute_twice, 'node "max1" (MaxPool): attribute "kernel_shape" is given twice'),
    (attribute_of_another_kind, 'node "max1" (MaxPool): its attribute kernel_shape must be a list of whole numbers'),
    (window(kernel_shape=[2]), 'node "max1" (MaxPool): its kernel_shape (2,) must be 2 numbers of 1 or more'),
    (window(kernel_shape=[2, 0]), 'node "max1" (MaxPool): its kernel_shape (2, 0) must be'),
    (
        window(kernel_shape=[2, 2**40]),
        'node "max1" (MaxPool): its window must be (rows, columns), whole numbers from 1',
    ),
    (window(pads=[0, 0, 0, -1]), 'node "max1" (MaxPool): its pads (0, 0, 0, -1) must be 4 numbers of 0 or more'),
    (window(pads=[0, 0, 0, 2**62]), 'node "max1" (MaxPool): its padding must be'),
    (window(strides=[0, 1]), 'node "max1" (MaxPool): its strides (0, 1) must be 2 numbers of 1 or more'),
    (window(auto_pad="SIDEWAYS"), "node \"max1\" (MaxPool): auto_pad 'SIDEWAYS' with pads"),
    (window(auto_pad="SAME_UPPER", pads=[1, 1, 1, 1]), "node \"max1\" (MaxPool): auto_pad 'SAME_UPPER' with pads"),
    (window(pads=[3, 3, 3, 3]), 'node "max1" (MaxPool): a window of 2x2 would lie entirely in the padding'),
    (control_flow, 'the node that writes "max1" (If): the operator is not supported'),
    (function, 'function "Relu": a model that defines its own functions is not read'),
    (two_inputs, 'the model has inputs: "images", "more", and outputs: "probabilities"'),
    (two_outputs, 'the model has inputs: "images", and outputs: "probabilities", "relu1"'),
    (no_output, 'nothing that reads the input "images" writes the output "elsewhere"'),
    (input_of(TensorProto.FLOAT16, "N", 9, 7, 3), 'input "images", read by node "cast" (Cast), holds float16'),
    (
        input_of(TensorProto.UINT8, "N", "H", "W", 3),
        'input "images", read by node "cast" (Cast), has sizes that are not',
    ),
    (
        input_of(TensorProto.UINT8, "N", -9, 7, 3),
        'input "images", read by node "cast" (Cast), has sizes that are not',
    ),
    (
        input_of(TensorProto.UINT8, 9, 7),
        'node "scale" (Mul): its constant of shape (3,) is no finite number for 1',
    ),
    (
        input_of(TensorProto.UINT8, 1, 9, 7, 3, 1),
        'input "images", read by node "cast" (Cast), has the wrong number of axes',
    ),
    (
        input_of(TensorProto.UINT8, 1, 2**40, 7, 3),
        "takes images of 23,089,744,183,296 numbers in 3 channels",
    ),
    (opset(5), "the model is of opset 5; 6 to "),
    (opset(10**9), "the model is of opset 1000000000; 6 to "),
    (many_nodes, "at most 50000 are read"),
]


@pytest.mark.parametrize(("change", "problem"), ATTACKS)
def test_a_changed_graph_is_refused_by_name(saved, change, problem):
    model = onnx.load(saved)
    change(model)
    saved.write_bytes(model.SerializeToString())
    assert problem in refused(saved)


def properties(**changes):
    """The metadata of a sound file with some of it changed, or left out where None."""
    model = to_onnx(contents(TEXT))
    texts = {entry.key: entry.value for entry in model.metadata_props} | changes
    del model.metadata_props[:]
    helper.set_model_props(model, {key: text for key, text in texts.items() if text is not None})
    return model


PREPROCESSING = {"rows": 9, "columns": 7, "channels": 3, "dtype": "uint8", "scale": [1, 1, 1], "offset": [0, 0, 0]}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"classes": "[1, 2"}, "the property 'classes' is not JSON"),
        ({"classes": "{}"}, "the property 'classes' must be a JSON list, not dict"),
        ({"classes": "[[1], [2], [3]]"}, "the property 'classes' must be a JSON list of texts or numbers"),
        ({"classes": '["a", "b"]'}, "2 classes do not fit a network that ends in softmax of shape (3,)"),
        ({"classes": '["a", "a", "b"]'}, "two classes have the same label"),
        ({"classes": "[" * 100_000}, "the property 'classes' is not JSON"),
        ({"classes": "[" + "9" * 10_000 + "]"}, "the property 'classes' is not JSON"),
        ({"classes": None}, "it lacks its property 'classes': it was cut short or edited"),
        ({"classes": " " * (17 << 20)}, "the property 'classes' has 17825792 characters"),
        ({"history": '{"a": 1}'}, "the property 'history' must be a JSON list, not dict"),
        ({"history": "[1]"}, "the property 'history' must be a JSON list of objects"),
        ({"history": '[{"loss": 1}]'}, "record 0 of the property 'history' lacks its epoch"),
        ({"history": '[{"epoch": "one"}]'}, "record 0 of the property 'history' has a wrong value for 'epoch'"),
        ({"history": '[{"epoch": 1, "loss": "low"}]'}, "has a wrong value for 'loss'"),
        ({"history": '[{"epoch": 1, "accuracy": [1]}]'}, "has a wrong value for 'accuracy'"),
        ({"history": '[{"epoch": 1, "more": {}}]'}, "holds a list or object as 'more'"),
        ({"history": '[{"epoch": 1, "loss": NaN}]'}, "the property 'history' is not JSON (NaN is no number)"),
        ({"history": '[{"epoch": 1, "loss": 1e999}]'}, "the property 'history' holds a number beyond 1e300"),
        ({"provenance": '{"a":' * 900 + "1" + "}" * 900}, "the property 'provenance' is nested more than 32 deep"),
        ({"provenance": '{"images": "many"}'}, "the property 'provenance' has a wrong value for 'images'"),
        ({"provenance": '{"epochs": -1}'}, "the property 'provenance' has a wrong value for 'epochs'"),
        ({"provenance": '{"epochs": true}'}, "the property 'provenance' has a wrong value for 'epochs'"),
        ({"provenance": '{"date": 7}'}, "the property 'provenance' has a wrong value for 'date'"),
        ({"provenance": '{"seconds": "long"}'}, "the property 'provenance' has a wrong value for 'seconds'"),
        ({"provenance": '{"held_out": {"fraction": 7, "of": ""}}'}, "has a wrong value for 'held_out'"),
        ({"provenance": '{"temperature": {"value": 0, "images": 1, "loss": [1, 1]}}'}, "wrong value for 'temperature'"),
        (
            {"provenance": '{"abstention": {"images": 0, "wrong": 0, "thresholds": []}}'},
            "has a wrong value for 'abstention'",
        ),
        (
            {"provenance": '{"abstention": {"images": 9, "wrong": 0, "thresholds": [[0.1, 2, 9]]}}'},
            "has a wrong value for 'abstention'",
        ),
        ({"provenance": "[]"}, "the property 'provenance' must be a JSON object, not list"),
        ({"preprocessing": "3"}, "the property 'preprocessing' must be a JSON object, not int"),
        ({"preprocessing": "{}"}, "the property 'preprocessing' lacks 'rows'"),
        ({"preprocessing": json.dumps(PREPROCESSING | {"resize": 3})}, "has a wrong value for 'resize'"),
        ({"preprocessing": json.dumps(PREPROCESSING | {"resize": "x" * 101})}, "has a wrong value for 'resize'"),
        ({"preprocessing": json.dumps(PREPROCESSING | {"rows": True})}, "has a wrong value for 'rows'"),
        ({"preprocessing": json.dumps(PREPROCESSING | {"rows": 1 << 70})}, "has a wrong value for 'rows'"),
        ({"preprocessing": json.dumps(PREPROCESSING | {"scale": [1, 1, 1e39]})}, "has a wrong value for 'scale'"),
        ({"preprocessing": json.dumps(PREPROCESSING | {"scale": [1, 1, None]})}, "has a wrong value for 'scale'"),
        (
            {"preprocessing": json.dumps(PREPROCESSING | {"mood": 1})},
            "has the field 'mood'",
        ),
        ({"preprocessing": json.dumps(PREPROCESSING)}, "the property 'preprocessing' does not say what its graph does"),
        ({"network": "conv 4@3 same, rleu, dense 3"}, 'unknown layer "rleu"'),
        ({"network": "dense 3, softmax"}, "the property 'network' describes another network than its graph"),
        ({"network": TEXT.replace("max 2", "max 2 pad 1")}, "the property 'network' describes another network"),
        ({"network": "dense 3, " * 20_000}, "it has a network text of 180000 characters; at most 100000 are read"),
        ({"network": "9999 * (" * 60 + "relu" + ")" * 60}, "more than 50 brackets"),
        ({"network": "9999 * (residual(" * 20 + "relu" + "))" * 20}, "more than"),
        ({"network": "dense \x1b[31m"}, r"\x1b"),
        ({"digest": "0"}, "its weights are not those that were saved"),
        ({"lanewise_format": "3"}, "it was written by a newer Lanewise (format 3, this one reads 2); update lanewise"),
        ({"lanewise_format": "2"}, "it lacks its property 'tta'"),
        ({"tta": "flip"}, "it has the format '1'"),
        ({"lanewise_format": "2", "tta": "flip"}, "the property 'tta' says 'flip', but its graph does not do that"),
        ({"lanewise_format": "2", "tta": "turn"}, "the property 'tta' says"),
        ({"lanewise_format": "x"}, "it has the format 'x'"),
        ({"lanewise_format": None}, "it lacks its property 'lanewise_format'"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(tmp_path, changes, problem):
    (tmp_path / "m.onnx").write_bytes(properties(**changes).SerializeToString())
    assert problem in refused(tmp_path / "m.onnx")


def test_names_of_a_file_cannot_write_on_the_terminal(tmp_path):
    model = foreign("float[N,6] x => float[N,2] y", "a = MatMul(x, w) y = Erf(a)", w=(6, 2))
    model.graph.node[1].name = "\x1b]0;owned\x07" + "x" * 5000
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    message = refused(tmp_path / "m.onnx")
    assert '"\\u001b]0;owned\\u0007xxx' in message
    assert len(message) < 1000


def test_one_large_weight_used_often_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(builder, "MOST_WEIGHTS", 1000)
    nodes = "".join(f"a{k + 1} = Gemm<alpha=2.0>(a{k}, w)" for k in range(11))
    model = foreign("float[N,10] a0 => float[N,10] a11", nodes, w=(10, 10))
    with pytest.raises(
        ModelFileError, match=r"node that writes \"a11\" \(Gemm\): the network has more than 1,000 weights"
    ):
        read_graph(model)


def test_a_graph_too_large_for_any_memory_is_refused():
    model = foreign("float[N,3,1000000,1000000] x => float[N,K] y", "a = Relu(x) y = Flatten(a)")
    with pytest.raises(ModelFileError, match="takes images of 3,000,000,000,000 numbers in 3 channels, more than"):
        read_graph(model)


def test_reading_opens_one_file_and_runs_nothing(saved, monkeypatch):
    opened = []
    real = os.open
    import builtins
    import pathlib

    monkeypatch.setattr(os, "open", lambda *a, **k: (opened.append(a[0]), real(*a, **k))[1])
    monkeypatch.setattr(builtins, "exec", None)
    path_open = pathlib.Path.open
    monkeypatch.setattr(pathlib.Path, "open", lambda self, *a, **k: (opened.append(self), path_open(self, *a, **k))[1])
    read(saved)
    assert opened == [saved]


def test_a_tensor_cannot_claim_more_than_its_bytes(tmp_path):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40], raw_data=struct.pack("<f", 1))
    model = foreign("float[N,6] x => float[N,2] y", "y = MatMul(x, w)")
    model.graph.initializer.append(tensor)
    with pytest.raises(ModelFileError, match=r'tensor "w" claims the shape \[1099511627776\] but holds 1 numbers'):
        read_graph(model)


def test_a_failed_read_leaves_the_file_alone(saved):
    data = saved.read_bytes()[:-5]
    saved.write_bytes(data)
    refused(saved)
    assert saved.read_bytes() == data


def test_a_model_whose_weights_ran_away_is_not_saved(tmp_path):
    model = contents("dense 3, softmax")
    weights = (np.full((3, 189), np.inf, np.float32), model.parameters[1])
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        write(Contents(model.graph, weights, model.classes, model.preprocessing), tmp_path / "m.onnx")
    assert os.listdir(tmp_path) == []
