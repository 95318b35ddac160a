"""Our own files are read by rebuilding what their text says, and what a graph says otherwise is refused by name."""

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest

from lanewise.errors import ModelFileError
from lanewise.model_file import read, to_onnx, write
from lanewise.model_file.operators import OPERATORS
from lanewise.network.activations import ACTIVATIONS
from tests.model_file.models import contents, evaluated, pixels

KEPT = sorted(path for path in (Path(__file__).parent / "data").glob("*.onnx") if path.stem != "textless")
TEXT = "conv 4@3 same, relu, max 2, dropout 0.2, dense 3, softmax"


@pytest.fixture
def no_operators(monkeypatch):
    """Nothing is read operator by operator."""
    for operator in tuple(OPERATORS):
        monkeypatch.delitem(OPERATORS, operator)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_files_of_the_first_version_need_no_reader(path, no_operators):
    assert read(path).network


@pytest.mark.parametrize("word", ACTIVATIONS)
def test_a_layer_that_can_be_written_needs_no_reader(word, no_operators, tmp_path):
    made = contents(f"conv 4@3 same, {word}, dense 3, softmax")
    write(made, tmp_path / "m.onnx")
    found = read(tmp_path / "m.onnx")
    assert found.graph == made.graph
    assert all(map(np.array_equal, found.parameters, made.parameters))


def test_a_file_that_a_tool_wrote_anew_is_read_as_it_is(tmp_path):
    made = contents(TEXT)
    model = to_onnx(made)
    model.opset_import[0].version = 17
    for node in model.graph.node:
        node.name = f"renamed_{node.name}"
    onnx.save(model, tmp_path / "m.onnx")
    x = pixels(made, 3)
    assert np.array_equal(evaluated(read(tmp_path / "m.onnx"), x), evaluated(made, x))


def attribute(model):
    model.graph.node[6].attribute[0].ints[0] = 1


def operator(model):
    model.graph.node[5].op_type = "Tanh"


def pixel(model):
    model.graph.initializer[0].raw_data = bytes(12)


def text(of):
    def change(model):
        next(entry for entry in model.metadata_props if entry.key == "network").value = of

    return change


EDITED = [
    (attribute, 'node "max1" (MaxPool)'),
    (operator, 'node "relu1" (Tanh)'),
    (pixel, "the property 'preprocessing' does not say what its graph does"),
    (text("conv 4@3 same, relu, max 2, dense 3, sigmoid"), 'node "softmax1" (Softmax)'),
    (text(f"{TEXT}, nothing"), "nothing"),
    (text("conv 1099511627776@3 same, dense 3, softmax"), "1099511627776"),
    (text(TEXT.replace("4@3", "400000@3")), 'tensor "conv1.weight"'),
    (text(TEXT.replace("dense 3", "dense 900000, dense 3")), 'node "softmax1" (Softmax)'),
]


@pytest.mark.parametrize(("change", "problem"), EDITED, ids=[problem for _, problem in EDITED])
def test_what_differs_from_the_text_is_refused_by_name_before_memory_is_taken(change, problem, tmp_path):
    model = to_onnx(contents(TEXT))
    change(model)
    onnx.save(model, tmp_path / "m.onnx")
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError) as caught:
            read(tmp_path / "m.onnx")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert problem in str(caught.value)
