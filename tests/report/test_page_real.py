"""Reports on real photographs and digits, as their users get them."""

from pathlib import Path

import numpy as np
import pytest

import lanewise
from lanewise.report import page
from tests.cli.conftest import run
from tests.report.test_live_images import DIGITS, answer, draw

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["signboard30.tar.gz", "mnist.npz"])
def test_a_real_report(name, open_page, tmp_path):
    source = DATA / name
    if not source.exists():
        pytest.skip(f"{source} is not here")
    if name.endswith(".tar.gz"):
        import tarfile

        with tarfile.open(source) as archive:
            archive.extractall(tmp_path, filter="data")
        (source,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    file = tmp_path / "page.html"
    result = run("train", source, "--epochs", 2, "-o", tmp_path / "m.onnx", "--report", file, "--quiet")
    assert result.exit_code == 0, result.output
    assert file.stat().st_size < 5_000_000
    opened = open_page(file.read_text(), viewport={"width": 390, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    model = lanewise.Model.load(tmp_path / "m.onnx")
    images, _, _ = page.report_images(model, str(source))
    evaluated = lanewise.evaluate(model, images)  # the function, though the file of that name is imported by now
    assert f"{evaluated.correct:,} correct" in opened.locator(".headline").inner_text()
    # the model runs, says what Python says, and reads what is drawn
    offered = opened.locator(".live-example").all()
    assert len(offered) >= 8
    for example in offered:
        example.click()
        assert "Lanewise in Python gives the same" in opened.locator('[data-live="figures"]').inner_text()
    pixels = np.array(opened.evaluate("Array.from(lanewiseLive.network.pixels)"), np.uint8)
    came = opened.evaluate("lanewiseLive.network.probabilities()")
    np.testing.assert_allclose(came, model.predict_proba(pixels.reshape(1, *model.preprocessing.shape))[0], atol=1e-4)
    if name == "mnist.npz":
        for digit in "0123":
            draw(opened, DIGITS[digit])
            assert answer(opened) == digit
    canvas = opened.locator("[data-node=max1] canvas[role=application]").first
    canvas.scroll_into_view_if_needed()
    canvas.hover(position={"x": 20, "y": 20})
    assert "4 × 4 pixels of the image" in opened.locator('[data-live="working"]').inner_text()
