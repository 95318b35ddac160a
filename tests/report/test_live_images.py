"""Images that readers bring: files are resized as Python does it, and drawings are understood."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise.data.decode import read_pixels
from lanewise.report.live import Example, live_page
from tests.report import models
from tests.report.conftest import Open

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist.npz"


def smooth(rows: int, columns: int, channels: int) -> np.ndarray:
    """An image with waves of several lengths, so that neighbouring pixels differ but not wildly."""
    r, c = np.mgrid[:rows, :columns]
    planes = [128 + 60 * np.sin(r / (3 + n)) + 60 * np.cos((r + 2 * c) / (7 - n)) for n in range(channels)]
    return np.stack(planes, axis=2).clip(0, 255).astype(np.uint8).squeeze()


FILES = {
    "same.png": Image.fromarray(smooth(30, 30, 3)),
    "small.png": Image.fromarray(smooth(11, 17, 3)),
    "large.png": Image.fromarray(smooth(97, 61, 3)),
    "huge.png": Image.fromarray(smooth(400, 533, 3)),
    "grey.png": Image.fromarray(smooth(50, 44, 1)),
    "through.png": Image.fromarray(smooth(60, 60, 4)),
    "palette.gif": Image.fromarray(smooth(45, 80, 3)).quantize(40),
    "plain.bmp": Image.fromarray(smooth(33, 31, 3)),
}


def answer(page: Any) -> str:
    return str(page.locator(".live-best .live-class").inner_text())


def shown(page: Any, caption: str) -> None:
    """Wait until the image of that caption is shown."""
    page.locator('[data-live="caption"]').get_by_text(caption, exact=True).wait_for()


def bring(page: Any, path: Path) -> np.ndarray:
    """Choose a file and return the raw image that the network was given."""
    page.set_input_files('[data-live="file"]', path)
    shown(page, path.name)
    return np.array(page.evaluate("Array.from(lanewiseLive.network.pixels)"))


@pytest.mark.parametrize(
    ("make", "fit"),
    [(models.signboard, "stretch"), (models.signboard, "pad"), (models.signboard, "crop"), (models.digits, "stretch")],
)
def test_files_are_brought_to_size_as_python_does(make: Any, fit: str, open_page: Open, tmp_path: Path) -> None:
    model = make()
    model = replace(model, preprocessing=replace(model.preprocessing, resize=fit))
    rows, columns, channels = model.preprocessing.shape
    page = open_page(live_page(model))
    for name, image in FILES.items():
        path = tmp_path / name
        image.save(path)
        expected, _ = read_pixels(str(path), (rows, columns), channels, fit=fit)
        came = bring(page, path).reshape(expected.shape)
        # One level for rounding: versions of Pillow differ in which axis goes first. Two where white shows through.
        assert np.abs(came - expected.astype(int)).max() <= (2 if name == "through.png" else 1), name
        if name == "same.png" or (name == "small.png" and fit == "stretch"):
            np.testing.assert_array_equal(came, expected)


def test_an_upright_photograph_stays_upright(open_page: Open, tmp_path: Path) -> None:
    image, exif = Image.fromarray(smooth(40, 64, 3)), Image.Exif()
    exif[0x0112] = 6  # lies on its side
    path = tmp_path / "turned.jpg"
    image.save(path, exif=exif, quality=95)
    expected, _ = read_pixels(str(path), (30, 30), 3)
    came = bring(open_page(live_page(models.signboard())), path).reshape(expected.shape)
    assert np.abs(came - expected.astype(int)).mean() < 4  # decoders of JPEG differ a little


def photograph(rows: int, columns: int) -> Image.Image:
    """Noise that grows finer and fainter, as in photographs, with colours coarser than brightness."""
    random, total = np.random.default_rng(rows), np.zeros((rows, columns, 3), np.float32)
    for cells, strength, channels in ((4, 50, 3), (12, 25, 3), (40, 30, 1), (120, 15, 1)):
        for n in range(channels):
            noise = Image.fromarray(random.normal(0, strength, (cells, cells)).astype(np.float32))
            plane = np.asarray(noise.resize((columns, rows), Image.Resampling.BICUBIC))
            total[..., slice(None) if channels == 1 else n] += plane[..., None] if channels == 1 else plane
    return Image.fromarray((128 + total).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(("make", "fit"), [(models.signboard, "crop"), (models.digits, "stretch")])
def test_photographs_get_the_answer_that_python_gives(make: Any, fit: str, open_page: Open, tmp_path: Path) -> None:
    """JPEGs of all sizes: Pillow decodes large ones at a half to an eighth, in blocks from the corner in the file."""
    model = make()
    model = replace(model, preprocessing=replace(model.preprocessing, resize=fit))
    rows, columns, channels = model.preprocessing.shape
    page = open_page(live_page(model))
    sizes = [(30, 30), (97, 61), (121, 133), (240, 320), (333, 500), (701, 523)]
    for turned, (high, wide) in enumerate(sizes):
        for orientation in (1, 2 + turned, 3 + turned):
            exif = Image.Exif()
            exif[0x0112] = orientation
            path = tmp_path / f"{high}x{wide}, {orientation}.jpg"
            subsampling = 2 * (orientation % 2)
            photograph(high, wide).save(path, quality=85, exif=exif, subsampling=subsampling)
            expected, _ = read_pixels(str(path), (rows, columns), channels, fit=fit)
            came = bring(page, path).reshape(expected.shape).astype(np.uint8)
            difference = np.abs(came - expected.astype(int))
            assert difference.max() <= 5, path.name
            assert difference.mean() <= 0.7, path.name
            answers = model.predict_proba(np.stack([came, expected]))
            assert np.abs(answers[0] - answers[1]).max() < 0.02, path.name


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_exif_that_makes_no_sense_is_no_obstacle(open_page: Open, tmp_path: Path) -> None:
    image = photograph(140, 150)
    page = open_page(live_page(models.signboard()))
    for n, exif in enumerate((b"", b"Exif", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0" + bytes(40))):
        path = tmp_path / f"{n}.jpg"
        image.save(path, exif=exif)
        expected, _ = read_pixels(str(path), (30, 30), 3)
        assert np.abs(bring(page, path).reshape(expected.shape) - expected.astype(int)).max() <= 6


def test_what_is_no_image_is_named(open_page: Open, tmp_path: Path) -> None:
    page = open_page(live_page(models.signboard()))
    path = tmp_path / "notes <b>.png"
    path.write_bytes(b"no image at all")
    before = page.evaluate("Array.from(lanewiseLive.network.pixels)")
    page.set_input_files('[data-live="file"]', path)
    page.get_by_text("notes <b>.png cannot be read by this browser").wait_for()
    assert page.evaluate("Array.from(lanewiseLive.network.pixels)") == before


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_image_can_be_dropped_and_pasted(event: str, open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    FILES["large.png"].save(path)
    expected, _ = read_pixels(str(path), (30, 30), 3)
    page = open_page(live_page(models.signboard()))
    page.evaluate(
        """([event, base64]) => {
            const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), files = new DataTransfer();
            files.items.add(new File([bytes], "one.png", { type: "image/png" }));
            const options = { bubbles: true, cancelable: true };
            const target = document.querySelector(".live-layers");
            const pasted = new ClipboardEvent("paste", { ...options, clipboardData: files });
            if (event === "paste") target.dispatchEvent(pasted);
            else for (const type of ["dragover", "drop"])
              target.dispatchEvent(new DragEvent(type, { ...options, dataTransfer: files }));
        }""",
        [event, base64.b64encode(path.read_bytes()).decode()],
    )
    shown(page, "one.png")
    came = np.array(page.evaluate("Array.from(lanewiseLive.network.pixels)")).reshape(expected.shape)
    assert np.abs(came - expected.astype(int)).max() <= 1


# Drawing

ARC = [(0.5 + 0.3 * np.cos(t), 0.5 + 0.4 * np.sin(t)) for t in np.linspace(-np.pi / 2, 3 * np.pi / 2, 16)]
DIGITS: dict[str, list[list[tuple[float, float]]]] = {
    "0": [ARC],
    "1": [[(0.5, 0.1), (0.5, 0.9)]],
    "2": [[(0.25, 0.25), (0.35, 0.12), (0.55, 0.1), (0.7, 0.25), (0.6, 0.5), (0.25, 0.88), (0.78, 0.88)]],
    "3": [[(0.25, 0.12), (0.6, 0.12), (0.7, 0.28), (0.45, 0.47), (0.72, 0.62), (0.68, 0.85), (0.25, 0.88)]],
    "4": [[(0.35, 0.1), (0.25, 0.55), (0.75, 0.55)], [(0.65, 0.2), (0.65, 0.9)]],
    "7": [[(0.2, 0.12), (0.75, 0.12), (0.45, 0.9)]],
}


def draw(page: Any, strokes: list[list[tuple[float, float]]], size: float = 1.0, shift: float = 0.0) -> None:
    """Draw with the mouse; points are shares of the pad, scaled about its middle and shifted."""
    page.locator('[data-live="clear"]').click()
    pad = page.locator(".live-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    for stroke in strokes:
        points = [
            (
                box["x"] + box["width"] * (0.5 + shift + (x - 0.5) * size),
                box["y"] + box["height"] * (0.5 + (y - 0.5) * size),
            )
            for x, y in stroke
        ]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=2)
        page.mouse.up()
    shown(page, "your drawing")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.slow
def test_drawn_digits_are_read(open_page: Open) -> None:
    """By a small network that knows MNIST's."""
    if not MNIST.exists():
        pytest.skip("MNIST is not here (../shared/data/mnist.npz)")
    with np.load(MNIST) as data:
        images, labels = data["x_train"][:12000], data["y_train"][:12000]
    text = "conv 8@3 same, relu, max 2, conv 16@3 same, relu, max 2, dense 40, relu, dense 10, softmax"
    trained = lanewise.train(images, labels, network=text, epochs=4)
    page = open_page(live_page(trained))
    read = {}
    for digit, strokes in DIGITS.items():
        draw(page, strokes)
        read[digit] = answer(page)
    assert read == {digit: digit for digit in DIGITS}
    pixels = np.array(page.evaluate("Array.from(lanewiseLive.network.pixels)"), np.uint8).reshape(28, 28)
    came = page.evaluate("lanewiseLive.network.probabilities()")
    np.testing.assert_allclose(came, trained.predict_proba(pixels)[0], atol=1e-4)
    draw(page, DIGITS["3"], size=0.4, shift=0.22)
    assert answer(page) == "3"


def test_a_digit_may_be_small_and_anywhere(open_page: Open) -> None:
    """It is settled as MNIST's digits are: 20 pixels high, its centre of mass in the middle."""
    page = open_page(live_page(models.digits()))
    draw(page, DIGITS["7"], size=0.4, shift=0.22)
    drawn = np.array(page.evaluate("Array.from(lanewiseLive.network.pixels)")).reshape(28, 28)
    rows, columns = np.nonzero(drawn > 20)
    assert 18 <= np.ptp(rows) + 1 <= 21
    assert abs(np.average(rows, weights=drawn[rows, columns]) - 13.5) <= 0.6
    assert abs(np.average(columns, weights=drawn[rows, columns]) - 13.5) <= 0.6
    page.locator('[data-live="settle"]').uncheck()
    page.evaluate("new Promise(requestAnimationFrame)")  # it asked for one before, to show the image
    as_drawn = np.array(page.evaluate("Array.from(lanewiseLive.network.pixels)")).reshape(28, 28)
    assert np.nonzero(as_drawn > 20)[1].min() > 12  # it stays small, and at the right


def test_the_digits_built_in_can_be_drawn(open_page: Open) -> None:
    """8 x 8 pixels; the size that they fill is measured in the examples."""
    with np.load(Path(lanewise.__file__).parent / "data" / "digits.npz") as data:
        name = next(key for key in data.files if data[key].ndim >= 3)
        images = data[name][:20].reshape(-1, 8, 8)
    model = lanewise.train("digits", epochs=6, network="conv 12@3 same, relu, max 2, dense 40, relu, dense 10")
    scaled = images if images.max() > 16 else images * (255 // 16)
    page = open_page(live_page(model, [Example(image.astype(np.uint8)) for image in scaled]))
    drawing = page.evaluate("JSON.parse(document.getElementById('live-data').textContent).drawing")
    assert drawing["paper"] == 0
    assert 0.8 <= drawing["box"] <= 1
    for digit in ("0", "1", "4"):
        draw(page, DIGITS[digit])
        assert answer(page) == digit


def test_a_colour_image_is_drawn_upon(open_page: Open) -> None:
    model = models.signboard()
    page = open_page(live_page(model, [Example(smooth(30, 30, 3))]))
    pad = page.locator(".live-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    page.locator('[data-live="colour"]').fill("#00ff00")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 12, box["y"] + box["height"] / 2)
    page.mouse.up()
    shown(page, "your drawing")
    came = np.array(page.evaluate("Array.from(lanewiseLive.network.pixels)")).reshape(30, 30, 3)
    assert came[15, 15].tolist() == [0, 255, 0]
    assert np.abs(came[:8] - smooth(30, 30, 3)[:8].astype(int)).max() == 0


def test_the_pad_draws_with_keys(open_page: Open) -> None:
    page = open_page(live_page(models.digits()))
    page.locator(".live-pad").focus()
    for key in (" ", *["ArrowDown"] * 8, " ", *["ArrowRight"] * 8):
        page.keyboard.press(key)
    shown(page, "your drawing")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    drawn = np.array(page.evaluate("Array.from(lanewiseLive.network.pixels)")).reshape(28, 28)
    rows, columns = np.nonzero(drawn > 100)
    assert np.ptp(rows) >= 17  # a stroke downward, and no other: the pen was lifted
    assert np.ptp(columns) <= 8
    assert page.locator(".live-pen").is_visible()
    assert "pen up" in page.locator(".live-pad").get_attribute("aria-label")
