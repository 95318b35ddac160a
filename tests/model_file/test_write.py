"""Files that Lanewise writes: valid ONNX, the same numbers in ONNX Runtime, whole on the disk or not there at all."""

import errno
import os
import resource
import stat
import sys

import numpy as np
import onnx
import pytest

from lanewise.errors import ModelFileError, NetworkError, OptionError
from lanewise.model_file import Contents, read, to_onnx, write
from lanewise.network.graph import build
from lanewise.network.text import parse
from lanewise.preprocessing import Preprocessing
from tests.cases import LAYER_CASES, NETWORK_CASES
from tests.model_file.models import contents, evaluated, pixels, run


def ending_in_classes(case):
    """The text of a case, made to end as a trained network does."""
    graph = build(parse(case.text), case.input_shape)
    ends = [type(node.layer).__name__ for node in graph.nodes[-1:]]
    if ends == ["Softmax"] or (ends == ["Sigmoid"] and graph.output_shape == (1,)):
        return case.text
    return case.text + (", flatten" if len(graph.output_shape) == 3 else "") + ", softmax"


@pytest.mark.parametrize("case", [*LAYER_CASES, *NETWORK_CASES], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_onnx_runtime_agrees_with_the_reference(case, dtype):
    model = contents(ending_in_classes(case), case.input_shape, dtype)
    proto = to_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    for count in (1, 5):
        images = pixels(model, count)
        expected = evaluated(model, images)
        assert np.abs(run(proto, images) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_file_is_one_that_any_tool_understands(tmp_path):
    write(contents("conv 4@3 same, relu, dropout 0.5, dense 3, softmax"), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    assert model.opset_import[0].version <= 17
    assert model.ir_version <= 8
    assert model.producer_name == "lanewise"
    assert [node.op_type for node in model.graph.node] == (
        ["Cast", "Mul", "Add", "Transpose", "Conv", "Relu", "Flatten", "Gemm", "Softmax"]
    )
    assert [node.name for node in model.graph.node[4:]] == ["conv1", "relu1", "flatten1", "dense1", "softmax1"]
    (entry,), (output,) = model.graph.input, model.graph.output
    assert (entry.name, output.name) == ("images", "probabilities")
    assert [dim.dim_param or dim.dim_value for dim in entry.type.tensor_type.shape.dim] == ["N", 9, 7, 3]
    assert [dim.dim_param or dim.dim_value for dim in output.type.tensor_type.shape.dim] == ["N", 3]


def test_equal_models_give_equal_files(tmp_path):
    for name in "ab":
        write(contents("conv 4@3, relu, dense 3, softmax"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_older_file_is_replaced_and_its_link_followed(tmp_path):
    (tmp_path / "real.onnx").write_bytes(b"older")
    (tmp_path / "link.onnx").symlink_to("real.onnx")
    write(contents("dense 2, softmax"), tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()
    assert read(tmp_path / "real.onnx").network == "dense 2, softmax"
    assert sorted(os.listdir(tmp_path)) == ["link.onnx", "real.onnx"]


def test_the_umask_decides_who_may_read(tmp_path):
    old = os.umask(0o027)
    try:
        write(contents("dense 2, softmax"), tmp_path / "m.onnx")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "m.onnx").stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="limits of the size of a file are posix")
def test_the_older_file_survives_a_disk_that_takes_no_more(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"older")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ModelFileError, match=r'saved as ".*m\.onnx": File too large; the older file is unchanged'):
            write(contents("dense 200, dense 2, softmax"), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["m.onnx"]


@pytest.mark.parametrize(
    ("function", "error"),
    [("fsync", errno.EIO), ("open", errno.EROFS), ("open", errno.EACCES), ("replace", errno.EBUSY)],
)
def test_the_older_file_survives_every_failure(tmp_path, monkeypatch, function, error):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"older")

    def fails(*_, **__):
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fails)
        with pytest.raises(ModelFileError, match=f"{os.strerror(error)}; the older file is unchanged"):
            write(contents("dense 2, softmax"), path)
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["m.onnx"]


def test_data_reach_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    calls = []

    def spy(name, function):
        monkeypatch.setattr(os, name, lambda *args, **kwargs: (calls.append(name), function(*args, **kwargs))[1])

    spy("fsync", os.fsync)
    spy("replace", os.replace)
    write(contents("dense 2, softmax"), tmp_path / "m.onnx")
    assert calls == ["fsync", "replace", "fsync"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r'"/.*nowhere/m\.onnx": No such file or directory$'):
        write(contents("dense 2, softmax"), tmp_path / "nowhere" / "m.onnx")


def test_values_that_json_lacks_do_not_stop_a_save(tmp_path):
    model = contents("dense 2, softmax")
    provenance = {"loss": float("nan"), "count": np.int64(3), "mean": np.float32(0.5)}
    write(
        Contents(model.graph, model.parameters, model.classes, model.preprocessing, None, (), provenance),
        tmp_path / "m",
    )
    assert read(tmp_path / "m").provenance == {"loss": None, "count": 3, "mean": 0.5}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"classes": ("a", "b")}, "2 classes do not fit a network that ends in softmax of shape"),
        ({"classes": ("a", "b", "a")}, "two classes have the same label"),
        ({"parameters": ()}, "the network has 2 arrays of weights and biases, 0 were given"),
        ({"parameters": (np.zeros((3, 4)), np.zeros(3))}, r"the weight of dense1 has shape \(3, 4\), but"),
        ({"parameters": (np.full((3, 189), np.nan), np.zeros(3))}, "the weight of dense1 holds NaN or infinity"),
        ({"network": "dense 3, relu, softmax"}, "the text of the network describes another network"),
        ({"preprocessing": Preprocessing(7, 9, 3, "uint8", (1,) * 3, (0,) * 3)}, "takes images of"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change, problem):
    model = contents("dense 3, softmax")
    parts = {name: getattr(model, name) for name in ("graph", "parameters", "classes", "preprocessing", "network")}
    with pytest.raises(NetworkError, match=problem):
        Contents(**{**parts, **change})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rows": 0}, "0x7x3 have no pixels"),
        ({"dtype": "int8"}, "pixels of type 'int8'"),
        ({"scale": (1.0, 2.0)}, "scale of the preprocessing is"),
        ({"offset": (0.0, 0.0, float("inf"))}, "offset of the preprocessing is"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(change, problem):
    parts = {"rows": 9, "columns": 7, "channels": 3, "dtype": "uint8", "scale": (1.0,) * 3, "offset": (0.0,) * 3}
    with pytest.raises(OptionError, match=problem):
        Preprocessing(**{**parts, **change})


def test_weights_are_copied_and_cannot_be_changed():
    mine = np.ones((2, 189), np.float32)
    model = contents("dense 2 nobias, softmax")
    model = Contents(model.graph, (mine,), model.classes, model.preprocessing)
    mine[:] = 7
    assert model.parameters[0].max() == 1
    with pytest.raises(ValueError, match="read-only"):
        model.parameters[0][0] = 0


def test_the_input_has_the_name_that_a_program_gives(tmp_path):
    made = contents("conv 4@3 same, relu, dense 3, softmax")
    write(made, tmp_path / "m.onnx", "pictures")
    model = onnx.load(tmp_path / "m.onnx")
    assert [entry.name for entry in model.graph.input] == ["pictures"]
    onnx.checker.check_model(model, full_check=True)
    x = pixels(made, 3)
    assert np.abs(run(model, x) - evaluated(made, x)).max() < 1e-6
    assert read(tmp_path / "m.onnx").graph == made.graph


@pytest.mark.parametrize("name", ["", "relu1", "conv1.weight", "scale", "input", "probabilities", 3])
def test_a_name_that_the_input_cannot_have_is_refused_and_the_older_file_is_kept(name, tmp_path):
    made = contents("conv 4@3 same, relu, dense 3, softmax")
    write(made, tmp_path / "m.onnx")
    before = (tmp_path / "m.onnx").read_bytes()
    with pytest.raises(ModelFileError, match="input_name is"):
        write(made, tmp_path / "m.onnx", name)
    assert (tmp_path / "m.onnx").read_bytes() == before


def test_weights_that_no_file_can_hold_are_refused(tmp_path, monkeypatch):
    made = contents("conv 4@3 same, relu, dense 3, softmax")
    monkeypatch.setattr(sys.modules["lanewise.model_file.write"], "MOST_WEIGHTS", 100)
    with pytest.raises(ModelFileError, match="more than 100 weights, which is all that a file can hold"):
        write(made, tmp_path / "m.onnx")
    assert not any(tmp_path.iterdir())


def test_weights_are_copied_unless_nobody_can_write_to_them():
    graph = build(parse("dense 2 nobias, softmax"), (1, 1, 3))
    fixed = np.frombuffer(np.ones(6, np.float32).tobytes(), np.float32).reshape(2, 3)
    writable = np.ones((2, 3), np.float32)
    seen = writable.view()
    seen.setflags(write=False)
    frozen = np.ones((2, 3), np.float32)
    frozen.setflags(write=False)
    for array, shared in ((fixed, True), (writable, False), (seen, False), (frozen, False), (fixed[:, ::-1], False)):
        contents = Contents(graph, (array,), ("a", "b"), Preprocessing(1, 3, 1, "float32", (1.0,), (0.0,)))
        assert np.shares_memory(contents.parameters[0], array) == shared
        assert not contents.parameters[0].flags.writeable
