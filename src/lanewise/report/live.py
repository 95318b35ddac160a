"""The live part of a page: it holds a network and runs it in the reader's browser, offline.

    live_section(model, examples) -> HTML

The JavaScript in `scripts/` is handed the kernels of the plan that keeps every node's value (`engine/unfused.py`,
rendered by `lanes/javascript.py`), the weights, and a few images with the answers that Lanewise gives in Python.
All of it stands in the section: nothing is fetched, no text is run as code, and style, scripts and data are inline.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.engine.parameters import FlatParameters
from lanewise.engine.unfused import PlainPlan, plain_plan
from lanewise.errors import DataError
from lanewise.kernels.layout import Layout
from lanewise.lanes import javascript
from lanewise.model import Model
from lanewise.network.graph import Graph, Node, is_frozen
from lanewise.network.layers import LRN, Activation, AvgPool2D, Conv2D, Elementwise, LayerNorm, MaxPool2D
from lanewise.network.text import layer_text
from lanewise.pages import shipped_text

MOST_WEIGHTS = 700_000
"""Weights and biases that a page can carry and stay below 5 MB: 4 bytes each, and a third more as text."""

HERE = "lanewise.report"

SCRIPTS = (
    "network.js",
    "fields.js",
    "working.js",
    "images.js",
    "colours.js",
    "elements.js",
    "maps.js",
    "telling.js",
    "drawing.js",
    "sources.js",
    "live.js",
)
"""In the order in which they stand in the page."""

MNIST_SIZE, MNIST_BOX = (28, 28), 20 / 28
"""MNIST's digits were scaled to a box of 20 x 20 pixels, then centred by their centre of mass (LeCun et al., 1998)."""

BRUSH = 0.09
"""Width of a stroke as a share of the pad."""

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
"""What the live part needs of a page's Content-Security-Policy: what stands in the page itself, and nothing else."""

EVEN, MOSTLY = 0.25, 0.8
"""Ground is even if more than this share of the examples' edges differs from black or white by less than EVEN."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An image that the page offers.

    Parameters
    ----------
    pixels : array (rows, columns, channels), or (rows, columns) with one channel
        Raw pixels of the model's size.
    label : str, optional
        What it is.
    name : str
        What it is called, like its file name.
    """

    pixels: NDArray[Any]
    label: str | None = None
    name: str = ""


def live_section(model: Model, examples: Sequence[Example] = ()) -> str:
    """The part of a page in which `model` runs: a `<section id="live">` with its style, scripts and data.

    Its colours are the page's `--ink --paper --muted --line --accent --good --bad`, if it defines them. A page can hold
    one. A model too large for a page gets a section that says so.

    Parameters
    ----------
    model : Model
    examples : sequence of Example
        A few images to begin with; the first is shown.

    Returns
    -------
    str
        HTML, all names escaped.

    Raises
    ------
    DataError
        An example does not fit the model.
    """
    if model.graph.parameter_count > MOST_WEIGHTS:
        return (
            '<section class="live" id="live"><h2>The model at work</h2>'
            f"<p>This model’s {model.graph.parameter_count:,} weights are too many for a page "
            f"(at most {MOST_WEIGHTS:,}), so it does not run here.</p></section>\n"
        )
    plan = plain_plan(model.graph, model.preprocessing.kernel_type)
    kernels, names = _kernels(plan)
    data = _data(model, plan, names, _checked(model, examples))
    rows, columns, _ = model.preprocessing.shape
    markup = shipped_text(HERE, "live.html").replace("@rows@", str(rows)).replace("@columns@", str(columns))
    script = "\n".join(
        [
            '(() => {\n"use strict";',
            javascript.SUPPORT,
            *kernels,
            f"const kernels = {{{', '.join(dict.fromkeys(names))}}};",
            *(shipped_text(HERE, f"scripts/{name}") for name in SCRIPTS),
            'const data = JSON.parse(document.getElementById("live-data").textContent);',
            'globalThis.lanewiseLive = startLive(document.getElementById("live"), data, kernels);',
            "})();",
        ]
    )
    # "<" nowhere in the data, so that no name of a class or file can end the element that holds it
    held = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return (
        f"<style>\n{shipped_text(HERE, 'live.css')}</style>\n{markup}"
        f'<script type="application/json" id="live-data">{held}</script>\n<script>\n{script}\n</script>\n'
    )


def live_page(model: Model, examples: Sequence[Example] = (), *, title: str = "The model at work") -> str:
    """A whole page with nothing but the live part.

    Parameters
    ----------
    model, examples
        As `live_section` takes them.
    title : str

    Returns
    -------
    str
        HTML.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{html.escape(title)}</title>\n"
        "<style>body { margin: 0 auto; padding: 1rem; max-width: 84rem; font-family: system-ui, sans-serif; "
        "background: var(--paper); }</style>\n"
        f"</head>\n<body>\n<main>\n{live_section(model, examples)}</main>\n</body>\n</html>\n"
    )


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def _kernels(plan: PlainPlan) -> tuple[list[str], list[str]]:
    """The functions, each program once, and the name of that of each call."""
    named: dict[str, str] = {}
    functions, names = [], []
    for call in plan.calls:
        if call.program.digest not in named:
            name = named[call.program.digest] = f"kernel{len(named)}"
            functions.append(javascript.render(call.program, name))
        names.append(named[call.program.digest])
    return functions, names


def _checked(model: Model, examples: Sequence[Example]) -> list[tuple[Example, NDArray[Any]]]:
    """The examples with their pixels as the model takes them."""
    shape = model.preprocessing.shape
    checked = []
    for number, example in enumerate(examples):
        pixels = np.asarray(example.pixels)
        if pixels.shape not in ((shape, shape[:2]) if shape[2] == 1 else (shape,)):
            raise DataError(
                f"example {example.name or number} has the shape {pixels.shape}, but the model takes {shape}; "
                "resize it first"
            )
        checked.append((example, pixels.reshape(shape).astype(model.preprocessing.dtype)))
    return checked


def _data(
    model: Model, plan: PlainPlan, kernels: list[str], examples: list[tuple[Example, NDArray[Any]]]
) -> dict[str, Any]:
    """All that the scripts are told, as values that JSON can hold."""
    rows, columns, channels = model.preprocessing.shape
    flat = FlatParameters.of(model.graph)
    pixels = np.array([own for _, own in examples], model.preprocessing.dtype).reshape(-1, rows, columns, channels)
    low, high = _range(model, pixels)
    answers = model.predict_proba(pixels)
    return {
        "classes": list(model.class_names),
        "image": {
            "rows": rows,
            "columns": columns,
            "channels": channels,
            "fit": model.preprocessing.fit,
            "type": model.preprocessing.kernel_type,
            "range": [low, high],
        },
        "tta": model.tta is not None,
        "scale": model.preprocessing.scale,
        "offset": model.preprocessing.offset,
        "drawing": _drawing(model.preprocessing.shape, (pixels - low) / (high - low)),
        "nodes": [
            {**_node(model.graph, number, node, layout), "kernel": kernel, "buffers": call.buffers}
            for number, (node, layout, kernel, call) in enumerate(
                zip(model.graph.nodes, plan.layouts, kernels, plan.calls, strict=True)
            )
        ],
        "starts": flat.starts,
        "weights": _base64(flat.pack(model.parameters)),
        "examples": [
            {
                "name": example.name,
                "label": None if example.label is None else str(example.label),
                "pixels": _base64(own),
                "probabilities": answer.tolist(),
            }
            for (example, own), answer in zip(examples, answers, strict=True)
        ],
    }


def _node(graph: Graph, number: int, node: Node, layout: Layout) -> dict[str, Any]:
    """What the scripts need to know of a node: `kind` is the first part of its name, but for banks of fixed filters."""
    described: dict[str, Any] = {
        "name": node.name,
        "kind": "conv" if isinstance(node.layer, Conv2D) else node.name.rstrip("0123456789"),
        "frozen": is_frozen(node.layer),
        "text": layer_text(node.layer),
        "inputs": node.inputs,
        "shape": layout.shape,
        "features": len(node.shape) == 1,
        "border": layout.border,
        "padding": node.padding,
        "parameters": graph.parameters_of(number),
        "roles": [graph.parameters[n].role for n in graph.parameters_of(number)],
    }
    match node.layer:
        case Conv2D() as conv:
            described |= {
                "window": conv.kernel,
                "stride": conv.stride,
                "dilation": conv.dilation,
                "groups": conv.groups,
            }
        case MaxPool2D() | AvgPool2D() as pool:
            described |= {"window": pool.window, "stride": pool.stride or pool.window, "dilation": (1, 1)}
            described["countPadding"] = isinstance(pool, AvgPool2D) and pool.count_padding
        case LayerNorm(epsilon):
            described["epsilon"] = epsilon
        case LRN(size, alpha, beta, k):
            described |= {"half": size // 2, "share": alpha / size, "beta": beta, "k": k}
        case Elementwise() as layer:
            described |= {"note": layer.note, "formula": layer.formula, "options": layer.options}
            described["below"] = layer.below if isinstance(layer, Activation) else None
    return described


def _range(model: Model, pixels: NDArray[Any]) -> tuple[float, float]:
    """The raw values that are black and white: those of bytes, unless real numbers are clearly something else."""
    if model.preprocessing.dtype == "uint8" or not pixels.size or pixels.min() == pixels.max():
        return 0.0, 255.0
    low, high = float(pixels.min()), float(pixels.max())
    return (0.0, 255.0) if low >= 0 and 1 < high <= 255 else (low, high)


def _drawing(shape: tuple[int, int, int], shares: NDArray[np.float64]) -> dict[str, Any]:
    """How to draw an image that looks like the data's: on what, with what, and where it should lie.

    `shares` are the examples, from 0 for black to 1 for white. The ground is what most of their edges are. Drawings for
    networks of 28 x 28 grey pixels are settled as MNIST's digits are; for other grey images on even ground, to a box
    of the size that what stands on it usually has.
    """
    rows, columns, channels = shape
    edges = np.concatenate([shares[:, [0, -1]].ravel(), shares[:, :, [0, -1]].ravel()])
    ground = float(np.median(edges)) if len(edges) else 0.0
    paper = 0 if ground < 0.5 else 255
    drawing: dict[str, Any] = {"paper": paper, "ink": 255 - paper, "box": None, "centre": "box", "brush": BRUSH}
    if channels > 1:
        return drawing
    if (rows, columns) == MNIST_SIZE:
        return {**drawing, "box": MNIST_BOX, "centre": "mass"}
    if len(edges) and np.mean(np.abs(edges - paper / 255) < EVEN) > MOSTLY:
        inked = np.abs(shares[..., 0] - paper / 255) > EVEN
        sizes = [max(np.ptp(r) / rows, np.ptp(c) / columns) for r, c in map(np.nonzero, inked) if len(r)]
        return {**drawing, "box": float(np.median(sizes)) + 1 / max(rows, columns)} if sizes else drawing
    return drawing
