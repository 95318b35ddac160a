"""Test-time augmentation is part of the file's graph, and of what is read back."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from lanewise.errors import ModelFileError, NetworkError
from lanewise.model import Model
from lanewise.model_file import read, to_onnx, write
from tests.model_file.models import contents, pixels, run

TEXTS = [
    "conv 4@3 same, relu, max 2, dropout 0.2, dense 3, softmax",
    "conv 4@3 same, batchnorm, gelu, layernorm, conv 5@3, global average, softmax",
    "conv 4@3 same, relu, dropout 0.5, dense 1, sigmoid",
]


def looking_twice(text=TEXTS[0], dtype="uint8", **changes):
    return replace(contents(text, (3, 9, 7), dtype), tta="flip", **changes)


def as_model(found):
    return Model(**{name: getattr(found, name) for name in found.__dataclass_fields__})


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("named", [True, False], ids=["text", "no text"])
def test_onnx_runtime_and_our_reader_give_the_same(text, dtype, named, tmp_path):
    made = looking_twice(text, dtype, **({} if named else {"network": None}))
    write(made, tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(proto, full_check=True)
    found = read(tmp_path / "m.onnx")
    assert (found.tta, found.network) == ("flip", made.network)
    for count in (1, 5):
        images = pixels(made, count)
        outputs = run(proto, images)
        answers = as_model(found).predict_proba(images)
        assert np.abs(answers[:, -outputs.shape[1] :] - outputs).max() <= 1e-5
        assert np.abs(as_model(made).predict_one(images[0]) - answers[0]).max() <= 1e-6
        assert np.abs(as_model(replace(made, tta=None)).predict_proba(images) - answers).max() > 1e-3


def test_weights_stand_in_the_file_once_and_layers_as_without(tmp_path):
    plain, twice = to_onnx(replace(looking_twice(), tta=None)), to_onnx(looking_twice())
    assert [tensor.name for tensor in plain.graph.initializer] == [tensor.name for tensor in twice.graph.initializer]
    layers = [node for node in plain.graph.node if node.op_type in ("Conv", "Relu", "MaxPool", "Flatten", "Gemm")]
    assert all(node in twice.graph.node for node in layers)


def test_a_file_without_it_is_as_it_was():
    texts = {entry.key: entry.value for entry in to_onnx(replace(looking_twice(), tta=None)).metadata_props}
    assert texts["lanewise_format"] == "1"
    assert "tta" not in texts
    texts = {entry.key: entry.value for entry in to_onnx(looking_twice()).metadata_props}
    assert (texts["lanewise_format"], texts["tta"]) == ("2", "flip")


def test_a_file_that_a_tool_wrote_anew_is_read_as_it_is(tmp_path):
    made = looking_twice()
    model = to_onnx(made)
    model.opset_import[0].version = 17
    onnx.save(model, tmp_path / "m.onnx")
    assert np.array_equal(
        as_model(read(tmp_path / "m.onnx")).predict_proba(x := pixels(made, 3)), as_model(made).predict_proba(x)
    )


@pytest.mark.parametrize(("node", "change"), [("tta.step", [1]), ("tta.axis", [2]), ("tta.one", 0), ("tta.half", 1.0)])
@pytest.mark.parametrize("named", [True, False], ids=["text", "no text"])
def test_a_graph_that_does_another_thing_is_refused(node, change, named, tmp_path):
    model = to_onnx(looking_twice(**({} if named else {"network": None})))
    (found,) = (one for one in model.graph.node if one.name == node)
    old = found.attribute[0].t
    kind = onnx.helper.tensor_dtype_to_np_dtype(old.data_type)
    old.CopyFrom(onnx.numpy_helper.from_array(np.array(change, kind), node))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="the property 'tta' says 'flip', but its graph does not do that"):
        read(tmp_path / "m.onnx")


def test_a_file_that_lost_its_word_for_it_is_refused(tmp_path):
    model = to_onnx(looking_twice())
    kept = [entry for entry in model.metadata_props if entry.key != "tta"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="lacks its property 'tta'"):
        read(tmp_path / "m.onnx")
    for entry in model.metadata_props:
        if entry.key == "lanewise_format":
            entry.value = "1"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError):
        read(tmp_path / "m.onnx")


def test_an_unknown_kind_is_refused():
    with pytest.raises(NetworkError, match="unknown test-time augmentation 'turn'"):
        replace(looking_twice(), tta="turn")
