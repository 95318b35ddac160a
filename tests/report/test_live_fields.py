"""Receptive fields in the page: found again by changing one pixel of the image after the other."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.explain.fields import receptive_field
from lanewise.network import reference
from lanewise.network.graph import Graph
from lanewise.report.live import live_page
from tests.report import models
from tests.report.conftest import Open

NETWORKS = {
    "padded": "conv 2@3 same, relu, conv 2@3x2 pad 2:0:1:1",
    "strided": "conv 2@3 stride 2, conv 3@2x3 same stride 3x2",
    "dilated": "conv 2@3 dilation 2x3, relu, conv 2@2 same dilation 3",
    "pooled": "conv 2@3 same, relu, max 2, conv 2@3 same, average 3 stride 2 pad 1",
    "gaps": "max 2 stride 3, average 2x1 stride 2, conv 2@1x2",
    "branches": "conv 2@3, residual(conv 2@3 same | conv 2@1), concat(max 3 same stride 1 | conv 1@1x5 pad 0x2)",
    "gates": "conv 2@3 stride 2, gate(global average, dense 2), conv 3@2",
    "banks": "fixed gabor+blur stride 2, relu, conv 2@2",
}
ENDING = ", dense 3, softmax"


def positive(graph: Graph) -> list[np.ndarray]:
    """Weights that let every change through, and biases so that no product is 0."""
    return [np.ones(p.shape) for p in graph.parameters]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_field_is_what_changes_a_value(name: str, open_page: Open) -> None:
    model = models.model(NETWORKS[name] + ENDING, (1, 11, 13), ("a", "b", "c"))
    graph = model.graph
    _, rows, columns = graph.input_shape
    dots = np.eye(rows * columns).reshape(-1, 1, rows, columns)
    values = reference.forward(graph, positive(graph), np.concatenate([np.zeros((1, 1, rows, columns)), dots]))
    page = open_page(live_page(model))
    for number, node in enumerate(graph.nodes):
        if len(node.shape) == 1:
            continue
        ask = f"""([channel, rows, columns]) => {{ const found = [];
            for (let r = 0; r < rows; r++)
              for (let c = 0; c < columns; c++) found.push(lanewiseLive.receptiveField({number}, channel, r, c));
            return found; }}"""
        for channel in {0, node.shape[0] - 1}:
            fields = page.evaluate(ask, [channel, *node.shape[1:]])
            changed = (values[number][1:, channel] != values[number][0, channel]).reshape(rows, columns, -1)
            for place, field in enumerate(fields):
                seen = changed[..., place]
                assert field["rows"] == np.flatnonzero(seen.any(axis=1)).tolist()
                assert field["columns"] == np.flatnonzero(seen.any(axis=0)).tolist()
                if name != "branches":  # rows and columns are independent of each other
                    assert seen.sum() == len(field["rows"]) * len(field["columns"])
                    python = receptive_field(graph, number, *divmod(place, node.shape[2]))
                    assert field["cut"] == any(python.clipped)


@pytest.mark.parametrize("text", ["flatten, relu", "flatten, concat(relu | dense 2)", "global average"])
def test_features_know_where_they_come_from(text: str, open_page: Open) -> None:
    page = open_page(live_page(models.model(text + ENDING, (2, 4, 5), ("a", "b", "c"))))
    last = page.evaluate("lanewiseLive.network.nodes.length") - 3
    field = page.evaluate(
        f"lanewiseLive.receptiveField({last}, 27 % lanewiseLive.network.nodes[{last}].shape[0], 0, 0)"
    )
    whole = {"rows": [0, 1, 2, 3], "columns": [0, 1, 2, 3, 4], "cut": False}
    assert field == (whole if "global" in text else {"rows": [1], "columns": [2], "cut": False})


@pytest.mark.parametrize(
    ("name", "node", "at", "text", "box"),
    [
        ("padded", "conv1", (0, 0), "2 × 2 pixels of the image, rows 1 to 2 and columns 1 to 2; part", (0, 0, 2, 2)),
        ("padded", "conv1", (5, 8), "3 × 3 pixels of the image, rows 5 to 7 and columns 8 to 10.", (4, 7, 3, 3)),
        ("strided", "conv1", (2, 3), "3 × 3 pixels of the image, rows 5 to 7 and columns 7 to 9.", (4, 6, 3, 3)),
        ("dilated", "conv1", (1, 2), "5 × 7 pixels of the image, rows 2 to 6 and columns 3 to 9", (1, 2, 5, 7)),
        ("pooled", "max1", (3, 4), "4 × 4 pixels of the image, rows 6 to 9 and columns 8 to 11.", (5, 7, 4, 4)),
        ("pooled", "conv2", (3, 4), "8 × 8 pixels of the image, rows 4 to 11 and columns 6 to 13.", (3, 5, 8, 8)),
    ],
)  # fmt: skip
def test_pointing_with_the_mouse_shows_it(
    name: str, node: str, at: tuple[int, int], text: str, box: tuple[int, ...], open_page: Open
) -> None:
    model = models.model(NETWORKS[name] + ENDING, (1, 15, 17), ("a", "b", "c"))
    page = open_page(live_page(model))
    canvas = page.locator(f"[data-node={node}] canvas[role=application]").first
    canvas.scroll_into_view_if_needed()
    place = canvas.bounding_box()
    _, rows, columns = next(n for n in model.graph.nodes if n.name == node).shape
    page.mouse.move(
        place["x"] + (at[1] + 0.5) * place["width"] / columns, place["y"] + (at[0] + 0.5) * place["height"] / rows
    )
    told = page.locator('[data-live="working"]').inner_text()
    assert f"{node}, map 1, row {at[0] + 1}, column {at[1] + 1}:" in told
    assert text in told
    image = page.locator('[data-live="image"]').bounding_box()
    frame = page.evaluate(
        """() => { const box = document.querySelector('[data-live="frame"]');
            return ["top", "left", "height", "width"].map((side) => parseFloat(box.style[side])); }"""
    )
    top, left, height, width = box
    expected = [100 * top / 15, 100 * left / 17, 100 * height / 15, 100 * width / 17]
    np.testing.assert_allclose(frame, expected, rtol=1e-4)
    assert image["width"] > 100
    # pixels outside the field are shaded, those in it are not
    shade = page.evaluate(
        """() => { const c = document.querySelector('[data-live="shade"]');
            const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
            return Array.from({ length: c.width * c.height }, (_, n) => data[4 * n + 3]); }"""
    )
    clear = np.array(shade).reshape(15, 17) == 0
    assert clear[top, left]
    assert clear[top + height - 1, left + width - 1]
    assert clear.sum() == (9 if name == "dilated" else height * width)
