"""The whole page: hostile names, nothing from elsewhere, a real browser."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise.data.images import Images, ImageSets
from lanewise.data.seen import TRAINED
from lanewise.errors import DataError, MissingPackageError, OptionError
from lanewise.evaluation.unseen import kinds_of
from lanewise.model import Model
from lanewise.network.reference import forward
from lanewise.report import page
from lanewise.report.accuracy import accuracy_of
from lanewise.report.page import report_html, report_images, write_report
from lanewise.report.similar import trained_among
from tests.report import models

HOSTILE = "<script>alert(1)</script>\"'&"
VOID = {"meta", "img", "link", "br", "input"}
HISTORY = tuple(
    {"epoch": n, "loss": 1 / n, "accuracy": 0.5, "validation_loss": None, "validation_accuracy": 0.4} for n in (1, 2, 3)
)


def images_of(model: Model, count: int = 12, seed: int = 3) -> Images:
    raw = models.raw_images(model, count, seed)
    names = tuple(f"{HOSTILE}{n}.png" for n in range(count))
    labels = (np.arange(count) % len(model.classes)).astype(np.int32)
    return Images(raw, labels, tuple(map(str, model.classes)), names)


def renamed(model: Model, classes: tuple[str, ...]) -> Model:
    return Model(model.graph, model.parameters, classes, model.preprocessing, model.network, HISTORY)


def hostile() -> tuple[Model, Images]:
    model = renamed(models.signboard(), (HOSTILE, "yes"))
    return model, images_of(model)


@pytest.fixture(scope="module")
def hostile_page() -> str:
    model, images = hostile()
    return report_html(model, images, "test", {"test": images}, HOSTILE)


class Checker(HTMLParser):
    """Every tag is closed in its turn; ids are kept, and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.fetched: list[str] = []
        self.scripts = 0
        self.headings: list[int] = []
        self.without_alt = 0

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "id" in given:
            self.ids[given["id"]] += 1
        for name in ("src", "href", "data", "action", "xlink:href", "srcset"):
            value = given.get(name)
            if value is not None and not value.startswith(("#", "data:")):
                self.fetched.append(value)
        self.scripts += tag == "script"
        self.without_alt += tag == "img" and "alt" not in given
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag, (tag, self.getpos())


def checked(text: str) -> Checker:
    found = Checker()
    found.feed(text)
    assert not found.open
    assert max(found.ids.values()) == 1, found.ids.most_common(3)
    assert not found.fetched
    assert not found.without_alt
    assert not re.search(r"url\((?!#)|@import", text)
    assert found.headings[0] == 1
    assert all(b - a <= 1 for a, b in zip(found.headings, found.headings[1:], strict=False)), found.headings
    return found


def test_hostile_names_stay_names(hostile_page):
    assert not re.search("<script[^>]*>alert", hostile_page)
    assert "&lt;script&gt;alert(1)" in hostile_page
    checked(hostile_page)


@pytest.mark.parametrize("make", [models.digits, models.every_layer, models.real_numbers])
def test_pages_of_all_kinds_of_models(make):
    model = make()
    images = images_of(model, 20)
    text = report_html(model, images, "all", {"all": images})
    checked(text)
    assert ">nan" not in text


def test_a_hundred_classes():
    classes = tuple(f"class {n}" for n in range(100))
    model = renamed(models.model("dense 100, softmax", (1, 8, 8), classes), classes)
    images = images_of(model, 150)
    text = report_html(model, images, "test", {"test": images})
    checked(text)
    assert 'class="matrix' not in text
    assert "Confusion matrix of 100 classes" in text


def test_without_mistakes_there_is_no_section_of_them():
    model = models.digits()
    raw = models.raw_images(model, 10)
    labels = model.predict_proba(raw).argmax(axis=1).astype(np.int32)
    images = Images(raw, labels, tuple(map(str, model.classes)))
    text = report_html(model, images, "test", {"test": images})
    assert 'id="mistakes"' not in text
    assert 'href="#mistakes"' not in text
    checked(text)


def test_same_model_same_page(hostile_page):
    model, images = hostile()
    assert report_html(model, images, "test", {"test": images}, HOSTILE) == hostile_page


def test_fewer_images_are_looked_into_where_the_page_would_be_large(hostile_page, monkeypatch):
    model, images = hostile()
    monkeypatch.setattr(page, "MOST_BYTES", len(hostile_page) - 1)
    less = report_html(model, images, "test", {"test": images}, HOSTILE)
    assert 0 < less.count('class="looked"') < hostile_page.count('class="looked"')


def test_which_images_evaluate():
    model = models.signboard()
    parts = [images_of(model, 6, seed) for seed in (1, 2)]
    sets = ImageSets(parts[0], test=parts[1])
    assert report_images(model, sets)[:2] == (parts[1], "test")
    assert report_images(model, sets, split="train")[:2] == (parts[0], "train")
    with pytest.raises(DataError, match="no validation images; there are train and test"):
        report_images(model, sets, split="validation")


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "jinja2" else object())
    with pytest.raises(MissingPackageError, match=r"needs jinja2: pip install \"lanewise\[report\]\""):
        write_report(models.digits(), "digits", tmp_path / "page.html")


def test_a_page_that_cannot_be_written(tmp_path):
    with pytest.raises(OptionError, match="could not be written"):
        page.save_report("text", tmp_path / "no" / "page.html")


def test_the_held_out_part_of_what_was_learned_from_evaluates():
    model = lanewise.train("digits", network="dense 10, softmax", epochs=1)
    whole = lanewise.load("digits")
    assert model.provenance["seen"]["held_out"]["count"] > 0
    images, part, parts = report_images(model, "digits")
    assert (part, list(parts)) == ("test", ["train", "test"])

    flat = (whole.train.pixels, whole.train.labels)
    images, part, parts = report_images(model, flat)
    assert part == "validation"
    assert len(images) == len(whole.train) - model.provenance["images"]
    assert {name: len(one) for name, one in parts.items()} == {
        "train": model.provenance["images"],
        "validation": len(images),
    }
    assert report_images(model, flat, split="all")[1] == "all"
    others = (255 - whole.train.pixels, whole.train.labels)
    assert report_images(model, others)[1] == "all"


def test_the_live_part_runs_in_the_page(hostile_page, open_page):
    model, images = hostile()
    opened = open_page(hostile_page)
    offered = opened.locator(".live-example")
    assert offered.count() > 3
    offered.nth(1).click()
    name = re.search(r"(\d+)\.png", opened.locator('#live [data-live="caption"]').inner_text())
    found = opened.evaluate("lanewiseLive.network.probabilities()")
    assert name
    np.testing.assert_allclose(found, model.predict_proba(images.pixels[int(name[1])][None])[0], atol=1e-4)


PAPER_AND_LABELS = """() => [document.body, document.querySelector("#learning svg text")].map((one) => {
    const { backgroundColor, fill } = getComputedStyle(one);
    return one === document.body ? backgroundColor : fill; })"""


def test_in_a_browser(hostile_page, open_page):
    opened = open_page(hostile_page, viewport={"width": 1400, "height": 900})
    assert opened.title() == f"{HOSTILE} – Lanewise report"
    assert opened.locator("h1").inner_text() == HOSTILE
    assert opened.evaluate(PAPER_AND_LABELS) == ["rgb(255, 255, 255)", "rgb(93, 99, 107)"]
    broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
    assert opened.evaluate(broken) == 0
    links = opened.evaluate("[...document.querySelectorAll('.contents a')].map((one) => one.getAttribute('href'))")
    assert len(links) == 8
    assert opened.evaluate("(links) => links.every((one) => document.querySelectorAll(one).length === 1)", links)
    opened.emulate_media(color_scheme="dark")
    assert opened.evaluate(PAPER_AND_LABELS) == ["rgb(22, 24, 27)", "rgb(162, 168, 176)"]


def test_on_paper_all_is_light_and_unfolded(hostile_page, open_page):
    opened = open_page(hostile_page, color_scheme="dark", viewport={"width": 688, "height": 900})
    folded = opened.locator("#inside details:not([open]) figure").first
    assert not folded.is_visible()
    opened.emulate_media(color_scheme="dark", media="print")
    assert folded.is_visible()
    assert not opened.locator(".contents").is_visible()
    assert opened.evaluate(PAPER_AND_LABELS) == ["rgb(255, 255, 255)", "rgb(74, 79, 85)"]
    assert opened.evaluate("document.documentElement.scrollWidth") <= 688
    # the sums of a table stand below it once, and not at the foot of every page
    assert opened.evaluate("getComputedStyle(document.querySelector('.layers tfoot')).display") == "table-row-group"
    # blocks stand in lines, which pages are not broken through
    for line in (".maps", ".filters li", ".views figure", ".live-map"):
        assert opened.locator(line).first.evaluate("(one) => getComputedStyle(one).display") == "inline-block", line


def test_narrow_pages_do_not_scroll_sideways(open_page):
    model = renamed(models.every_layer(), ("a" * 60, "b", "c", "d"))
    images = images_of(model)
    opened = open_page(report_html(model, images, "test", {"test": images}), viewport={"width": 390, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_model_of_folds_shows_what_they_found_instead_of_the_training_accuracy(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8)).astype(np.uint8)
    y = np.arange(60) % 2
    model = lanewise.train(x, y, network="dense 40, relu, dense 2", epochs=40, folds=3, augment="none", notes=len)
    figures = model.provenance["cross_validation"]
    assert model.history[-1]["accuracy"] == 1
    write_report(model, (x, y), tmp_path / "page.html")
    text = re.sub(r"[ \n]+", " ", (tmp_path / "page.html").read_text())
    first = re.search(r'<div class="first"><dt>(.*?)</dt> <dd>(.*?)<', text)
    assert first.groups() == ("Cross-validation accuracy", page.percent(figures["accuracy"]))
    assert "On these images, its training set, the model itself has an accuracy of 100.0\u202f%" in text
    assert "Training accuracy" not in text
    assert "each by the one of 3 networks that was not trained on it" in text
    assert "the correlation between the networks of the folds" in text
    assert "On training images: new ones are predicted correctly less often" in text
    assert "This training had no validation set" in text
    new = Images(x[:10][:, ::-1, :, None].copy(), y[:10].astype(np.int32), ("0", "1"))
    assert "Cross-validation accuracy" not in report_html(model, new, "test", {"test": new})
    assert "cross-validation accuracy" in model._repr_html_()


def test_a_widened_interval_and_the_weights_that_were_kept_are_explained():
    x = np.random.default_rng(0).integers(0, 256, (300, 6, 6)).astype(np.uint8)
    y = np.arange(300) % 3
    model = lanewise.train(x, y, network="dense 9, relu, dense 3", epochs=6, folds=0, notes=len)
    images, part, parts = report_images(model, ImageSets(Images(x[..., None], y.astype(np.int32), tuple("012"))))
    text = report_html(model, images, part, parts)
    assert "The interval is widened, because these images chose the best weights" in text
    assert f"The weights are those of epoch {model.provenance['best_epoch']}, " in text
    assert "slightly less" not in text
    again = lanewise.train(x, y, start=model, epochs=1, learning_rate=1e-12, folds=0, notes=len)
    if again.provenance["best_epoch"] == 0:
        assert "No epoch was better" in report_html(again, images, part, parts)


def test_the_data_section_scales_files_of_16_bits_as_the_model_does(tmp_path):
    """Here files use 9 bits and the model's training set 12: the page shows what the model gets."""
    for n, name in enumerate("abab"):
        for part in ("train", "test"):
            (tmp_path / part / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 100 * (n + 1), np.uint16)).save(tmp_path / part / name / f"{n}.png")
    pixels = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1)
    model = lanewise.train(pixels, list("abab"), network="dense 2", epochs=1, folds=0, notes=lambda note: None)
    model = replace(model, preprocessing=replace(model.preprocessing, bits=12, resize="stretch"))
    found, _, parts = report_images(model, tmp_path)
    assert set(parts) == {"train", "test"}
    for one in (found, *parts.values()):
        np.testing.assert_array_equal(np.sort(one.pixels[:, 0, 0, 0]), [6, 12, 18, 25])


def with_training_images() -> tuple[Model, Images, Images]:
    model = models.signboard()
    return model, images_of(model, 12), images_of(model, 30, seed=4)


def test_mistakes_stand_beside_the_training_images_nearest_to_them():
    model, images, train = with_training_images()
    found = accuracy_of(model, images, "test", train)
    assert found.wrong
    values = [
        forward(model.graph, model.parameters, model.preprocessing.apply(one.pixels))[-3] for one in (images, train)
    ]
    ours, theirs = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in values)
    for one in found.wrong:
        n = [images.name(k) for k in range(12)].index(one.name)
        cosine = theirs @ ours[n]
        expected = np.argsort(-np.round(cosine, 4), kind="stable")[:3]
        assert [other.name for other in one.near] == [train.name(k) for k in expected]
        assert [other.cosine for other in one.near] == pytest.approx(cosine[expected], abs=2e-4)
        assert [other.label for other in one.near] == [train.classes[train.labels[k]] for k in expected]


def test_only_images_that_the_model_was_trained_on_count_as_training_images():
    model, images, train = with_training_images()
    trained = lanewise.train(train.take(np.arange(20)), network="dense 4, dense 1", epochs=1, folds=0, verbose=0)
    seen = trained_among(trained, train)
    assert seen is not None
    assert len(seen) == np.count_nonzero(kinds_of(trained, train) == TRAINED) < 20
    assert trained_among(trained, images) is None
    assert len(trained_among(model, train)) == 30  # it does not say
    text = report_html(model, images, "test", {"train": train, "test": images})
    checked(text)
    assert "those of 30 training images" in text
    assert 'class="near"' in text
    assert 'class="near"' not in report_html(model, images, "test", {"test": images})
    assert 'class="near"' not in report_html(model, train, "train", {"train": train})


def test_a_network_without_features_shows_no_training_images():
    model = models.model("conv 3@6x5, flatten, softmax", (1, 6, 5), ("a", "b", "c"))
    images = images_of(model)
    found = accuracy_of(model, images, "test", images)
    assert {one.near for one in found.wrong} == {()}
    checked(report_html(model, images, "test", {"train": images, "test": images}))
