"""What the page says of a value adds up to that value, whatever layer it belongs to; mouse and keys can ask for it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lanewise.explain import neurons
from lanewise.network.activations import ACTIVATIONS, Activation
from lanewise.report.live import Example, live_page
from tests.report import models
from tests.report.conftest import Open

RECOMPUTE = """(number, count) => {
  const { network, workingOf } = lanewiseLive, node = network.nodes[number], pairs = [];
  for (let n = 0; n < count; n++) {
    const [i, r, c] = node.shape.map((size, axis) => (n * [7, 5, 3][axis]) % size);
    const w = workingOf(number, i, r, c);
    const from = () => Array.from(network.values(node.inputs[0]));
    const workings = {
      input: () => w.raw * network.preprocessing.scale[i] + network.preprocessing.offset[i],
      conv: () => w.total + (w.bias ?? 0),
      dense: () => w.total + (w.bias ?? 0),
      max: () => w.argmax.x,
      average: () => w.total / w.count,
      global: () => w.total / w.count,
      add: () => w.parts.reduce((sum, part) => sum + part.x, 0),
      layernorm: () => (w.x - w.mean) / Math.sqrt(w.variance + w.epsilon),
      lrn: () => w.x / (w.k + w.share * w.total) ** w.beta,
      multiply: () => w.parts.reduce((product, part) => product * part.x, 1),
      join: () => network.value(w.from.number, ...(node.features ? [w.from.channel, 0, 0] : [w.from.channel, r, c])),
      batchnorm: () => {
        const { scale, shift, mean, variance, epsilon } = w.numbers;
        return (scale * (w.x - mean)) / Math.sqrt(variance + epsilon) + shift;
      },
      scale: () => w.numbers.scale * w.x + w.numbers.shift,
      prelu: () => (w.x > 0 ? w.x : w.numbers.slope * w.x),
      relu: () => Math.max(0, w.x),
      leaky: () => (w.x > 0 ? w.x : node.options.slope * w.x),
      sigmoid: () => 1 / (1 + Math.exp(-w.x)),
      tanh: () => Math.tanh(w.x),
      softmax: () => Math.exp(w.x - w.largest) / w.total,
      dropout: () => w.x,
      flatten: () => from()[i],
    };
    if (!workings[node.kind]) throw new Error(`say in RECOMPUTE how ${node.kind} comes by its value`);
    const came = workings[node.kind]();
    pairs.push([came, network.value(number, i, r, c)]);
  }
  return pairs;
}"""


@pytest.mark.parametrize("make", [models.every_layer, models.digits])
def test_every_working_gives_the_value_in_the_map(make: object, open_page: Open) -> None:
    model = make()  # type: ignore[operator]
    page = open_page(live_page(model, [Example(models.raw_images(model, 1)[0])]))
    for number, node in enumerate(model.graph.nodes):
        pairs = np.array(page.evaluate(f"({RECOMPUTE})({number}, 40)"))
        np.testing.assert_allclose(pairs[:, 0], pairs[:, 1], rtol=1e-4, atol=1e-4, err_msg=node.name)


def test_the_terms_are_those_that_python_tells(open_page: Open) -> None:
    """A convolution with padding, stride, dilation and groups; and a dense layer."""
    model = models.every_layer()
    image = models.raw_images(model, 1)[0]
    page = open_page(live_page(model, [Example(image)]))
    names = [node.name for node in model.graph.nodes]
    for name, place in (("conv1", (5, 0, 3)), ("conv1", (2, 8, 15)), ("conv5", (4, 1, 2)), ("dense1", (6, 0, 0))):
        neuron = neurons.neuron(model, image, name, place if name != "dense1" else place[0])
        number = names.index(name)
        working = page.evaluate(f"lanewiseLive.workingOf({number}, {', '.join(map(str, place))})")
        assert working["value"] == pytest.approx(neuron.value, abs=1e-4)
        assert (working["bias"] or 0.0) == pytest.approx(neuron.bias or 0.0, abs=1e-6)


def hover(page: object, node: str, at: tuple[float, float], map: int = 0, click: bool = False) -> None:
    """Move the mouse to a share of a map's height and width."""
    canvas = page.locator(f"[data-node={node}] canvas[role=application]").nth(map)  # type: ignore[attr-defined]
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    place = box["x"] + at[1] * box["width"], box["y"] + at[0] * box["height"]
    page.mouse.move(*place)  # type: ignore[attr-defined]
    if click:
        page.mouse.click(*place)  # type: ignore[attr-defined]


def test_the_sum_of_a_convolution_stands_there_in_numbers(open_page: Open) -> None:
    model = models.signboard()
    page = open_page(live_page(model, [Example(models.raw_images(model, 1)[0])]))
    hover(page, "conv1", (0.01, 0.01), map=2)
    working = page.locator('[data-live="working"]')
    assert "6 more" not in working.inner_text()
    assert working.locator(".live-term").count() == 3  # a term for red, green and blue
    assert working.locator(".live-term").first.locator(".live-padding").count() == 5  # in the corner
    assert "5 of the window’s 9 positions lie in the padding" in working.inner_text()
    assert "✓ as in the map" in working.inner_text()
    value = page.evaluate("lanewiseLive.network.value(1, 2, 0, 0)")
    assert ("relu1 passes it on" if value > 0 else "relu1 sets it to 0") in working.inner_text()
    # the neuron is marked in its map, its patch in the three maps before it, its field in the image
    assert page.locator(".live-mark-self").count() == 1
    assert page.locator("[data-node=input] .live-mark-read").count() == 3
    assert page.locator('[data-live="frame"]').is_visible()


def test_a_max_pool_says_who_won_and_a_relu_works_out_what_it_was_given(open_page: Open) -> None:
    model = models.signboard()
    page = open_page(live_page(model, [Example(models.raw_images(model, 1)[0])]))
    hover(page, "max1", (0.5, 0.5), map=1)
    working = page.locator('[data-live="working"]')
    assert working.locator(".live-won").count() == 1
    assert "The maximum is " in working.inner_text()
    hover(page, "relu1", (0.5, 0.5), map=1)
    assert "max(0, " in working.inner_text()
    assert "How conv1 computes " in working.inner_text()
    assert "✓ as in the map" in working.inner_text()
    hover(page, "dense1", (0.2, 0.02))
    assert "It sees the whole image." in working.inner_text()
    assert working.locator("table.live-contributions tbody tr").count() == 12
    assert "✓ as in the map" in working.inner_text()
    hover(page, "sigmoid1", (0.5, 0.5))
    assert "1 / (1 + exp(" in working.inner_text()
    assert "How dense2 computes " in working.inner_text()


def test_a_click_pins_a_value_and_escape_lets_it_go(open_page: Open) -> None:
    page = open_page(live_page(models.signboard()))
    heading = page.locator('[data-live="working"] h3')
    hover(page, "conv1", (0.5, 0.5), click=True)
    pinned = heading.inner_text()
    hover(page, "conv1", (0.1, 0.1), map=1)
    assert heading.inner_text() == pinned
    page.keyboard.press("Escape")
    assert heading.count() == 0
    assert page.locator(".live-mark-self").count() == 0
    hover(page, "conv1", (0.2, 0.1), map=1)
    assert heading.inner_text() != pinned


def test_the_keyboard_goes_everywhere(open_page: Open) -> None:
    page = open_page(live_page(models.signboard()))
    first = page.locator("[data-node=input] canvas[role=application]").first
    first.focus()
    page.keyboard.press("Tab")
    place = '[data-live="working"] h3'
    assert page.locator(place).inner_text().startswith("conv1, map 1, row 1, column 1")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    assert page.locator(place).inner_text().startswith("conv1, map 1, row 1, column 3")
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowDown")
    assert page.locator(place).inner_text().startswith("conv1, map 2, row 2, column 1")
    page.keyboard.press("Enter")
    assert "Pinned" in page.locator('[data-live="working"]').inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.locator(place).inner_text().startswith("relu1, map 1, row 1, column 2")
    assert page.locator("[data-node=conv1] canvas[tabindex='0']").count() == 1
    assert "relu1, map 1" in page.locator('[data-live="status"]').inner_text()


def test_what_was_asked_for_last_is_said(open_page: Open) -> None:
    """The answer is said when the hand rests: not after a neuron that was pointed at meanwhile."""
    page = open_page(live_page(models.signboard()))
    page.clock.install()
    page.reload()
    page.locator("[data-node=input] canvas[role=application]").first.focus()
    page.keyboard.press("Tab")
    page.clock.run_for(1000)
    assert "conv1, map 1" in page.locator('[data-live="status"]').inner_text()


def test_every_map_has_a_text(open_page: Open) -> None:
    model = models.every_layer()
    page = open_page(live_page(model, [Example(models.raw_images(model, 1)[0])]))
    told = page.evaluate("[...document.querySelectorAll('canvas')].map((one) => one.ariaHidden || one.ariaLabel)")
    assert len(told) > 30
    assert all(told)
    value = page.evaluate("Math.max(...lanewiseLive.network.values(1).subarray(0, 19 * 16))")
    assert f"to {value:.3g}" in page.locator("[data-node=fixed1] canvas[role=application]").first.get_attribute(
        "aria-label"
    )


def test_each_activation_is_computed_and_told_by_its_formula(open_page: Open) -> None:
    layers = ", ".join(f"conv 2@3 same, {word}" for word in ACTIVATIONS)
    model = models.model(f"{layers}, dense 2, softmax", (1, 6, 7), ("a", "b"))
    page = open_page(live_page(model, [Example(models.raw_images(model, 1)[0])]))
    told = [number for number, node in enumerate(model.graph.nodes) if isinstance(node.layer, Activation)]
    assert len(told) == len(ACTIVATIONS)
    for number in told:
        node = model.graph.nodes[number]
        assert isinstance(node.layer, Activation)
        x, y = (page.evaluate(f"lanewiseLive.network.value({n}, 1, 2, 3)") for n in (node.inputs[0], number))
        assert y == pytest.approx(float(node.layer.value(np.array(x))), abs=1e-5)
        hover(page, node.name, (0.45, 0.5), map=1)
        text = page.locator('[data-live="working"]').inner_text()
        assert all(part.strip() in text for part in re.split(r"\{[^}]*\}", node.layer.formula)), text
        assert not re.search(r"[{}]|NaN|undefined", text)
        assert node.layer.note in page.locator(f"[data-node={node.name}] .live-note").inner_text()
