"""Reports on real photographs and digits, as their users get them."""

from pathlib import Path

import pytest

import lanewise
from lanewise.report import page
from tests.cli.conftest import run

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
    pictures, _, _ = page.report_pictures(model, str(source))
    judged = lanewise.evaluate(model, pictures)  # the function, though the file of that name is imported by now
    assert f"{judged.correct:,} of them right" in opened.locator(".headline").inner_text()
