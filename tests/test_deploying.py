"""What the page about deploying tells a reader to write gives the model's own answers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise.model_file.export import INPUT, OUTPUT
from lanewise.resizing import FITS

PAGE = (Path(__file__).parents[1] / "docs" / "deploying.md").read_text()


@pytest.fixture(scope="module")
def model() -> lanewise.Model:
    """For arrays, so that nothing says how files are to be resized."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 12, 10, 3), dtype=np.uint8)
    return lanewise.train(pixels, np.arange(64) % 3, network="conv 4@3x3, relu, dense 3", epochs=1)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Smooth images: small, large, turned by EXIF, grey, and transparent ones would need more than the page does."""
    rows, columns = np.indices((300, 420))
    waves = np.stack([np.sin(rows / 30 + n) * np.cos(columns / (20 + 5 * n)) for n in range(3)], axis=-1)
    image = Image.fromarray((127 + 120 * waves).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "large.jpg", quality=90)
    image.save(tmp_path / "turned.jpg", quality=90, exif=exif)
    image.convert("L").save(tmp_path / "grey.png")
    image.resize((9, 14)).save(tmp_path / "small.png")
    return sorted(tmp_path.iterdir())


def test_the_table_has_the_names_of_input_and_output() -> None:
    assert f"| input | `{INPUT}` |" in PAGE
    assert f"| output | `{OUTPUT}` |" in PAGE


@pytest.mark.parametrize("fit", [None, *FITS])
def test_the_python_code_predicts_as_the_model_does(
    model: lanewise.Model, files: list[Path], tmp_path: Path, fit: str | None
) -> None:
    pytest.importorskip("onnxruntime")
    model = replace(model, preprocessing=replace(model.preprocessing, resize=fit))
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code
    names: dict[str, object] = {}
    exec(code[1], names)
    model.save(tmp_path / "model.onnx")
    classifier = names["Classifier"](str(tmp_path / "model.onnx"))  # type: ignore[operator]
    np.testing.assert_allclose(classifier.probabilities(files), model.predict_proba(files), atol=1e-5)
    assert classifier.predict(files) == list(model.predict(files))


@pytest.mark.parametrize(("size", "mode"), [((40, 30), "RGB"), ((9, 14), "RGB"), ((40, 30), "L"), ((33, 46), "RGB")])
def test_the_javascript_resizes_as_pillow_does(javascript, size, mode) -> None:
    script = re.search(r"(function weights.*?)async function", PAGE, re.DOTALL)
    assert script
    noise = np.random.default_rng(1).integers(0, 256, (*size[::-1], 4), dtype=np.uint8)
    image = Image.fromarray(noise[..., :3])
    wanted = np.asarray(image.convert(mode).resize((14, 12), Image.Resampling.BILINEAR, reducing_gap=2.0))
    call = f"resize({noise.ravel().tolist()}, {size[1]}, {size[0]}, 12, 14, {len(mode)})"
    found = np.reshape(javascript(f"{script[1]} return Array.from({call});"), wanted.shape)
    assert np.abs(found - wanted.astype(int)).max() <= 1


def test_the_metadata_are_those_of_the_page(model: lanewise.Model, tmp_path: Path) -> None:
    import onnx

    model.save(tmp_path / "model.onnx")
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(metadata["classes"]) == list(model.classes)
    assert {"rows", "columns", "dtype", "scale", "offset"} <= set(json.loads(metadata["preprocessing"]))
