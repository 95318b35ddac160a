"""Whatever was trained is saved, and what is loaded predicts the same, bit for bit.

    python -m tests.reliability.model_files [--count N] [--seed S]

Each trial trains on made-up images for an epoch or three: of one of several kinds, with labels, a network and options
drawn at random; saves the model, loads it, and compares all that a file keeps.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import lanewise
from lanewise import Model
from tests.reliability.running import main

Draw = np.random.Generator
Images = np.ndarray

COUNT = 48
ROWS, COLUMNS = 5, 4


def _bytes(draw: Draw, channels: int) -> Images:
    return draw.integers(0, 256, (COUNT, ROWS, COLUMNS, channels)).astype(np.uint8)


def _floats(draw: Draw, channels: int) -> Images:
    return draw.normal(size=(COUNT, ROWS, COLUMNS, channels)).astype(np.float32)


def _with(change: Callable[[Images], None], make: Callable[[Draw, int], Images]) -> Callable[[Draw, int], Images]:
    def made(draw: Draw, channels: int) -> Images:
        images = make(draw, channels)
        change(images)
        return images

    return made


def _channel(value: float) -> Callable[[Images], None]:
    def change(images: Images) -> None:
        images[..., 0] = value

    return change


def _symmetric(images: Images) -> None:
    images[1::2] = -images[::2]


def _scaled(factor: float) -> Callable[[Images], None]:
    def change(images: Images) -> None:
        images *= np.float32(factor)

    return change


IMAGES: dict[str, Callable[[Draw, int], Images]] = {
    "bytes": _bytes,
    "bytes, first channel 0": _with(_channel(0), _bytes),
    "bytes, first channel 255": _with(_channel(255), _bytes),
    "all black": lambda draw, channels: np.zeros((COUNT, ROWS, COLUMNS, channels), np.uint8),
    "booleans": lambda draw, channels: draw.integers(0, 2, (COUNT, ROWS, COLUMNS, channels)).astype(bool),
    "16 bits": lambda draw, channels: draw.integers(0, 1 << 16, (COUNT, ROWS, COLUMNS, channels)).astype(np.uint16),
    "floats": _floats,
    "floats, first channel 0": _with(_channel(0), _floats),
    "floats, first channel -0": _with(_channel(-0.0), _floats),
    "floats, constant": lambda draw, channels: np.full((COUNT, ROWS, COLUMNS, channels), 0.1, np.float32),
    "floats, symmetric": _with(_symmetric, _floats),
    "floats, tiny": _with(_scaled(1e-20), _floats),
    "floats, denormal": _with(_scaled(1e-42), _floats),
    "floats, huge": _with(_scaled(1e15), _floats),
    "doubles from 0 to 1": lambda draw, channels: draw.random((COUNT, ROWS, COLUMNS, channels)),
}

LABELS: dict[str, Callable[[np.ndarray], Any]] = {
    "int64": lambda y: y,
    "uint8": lambda y: y.astype(np.uint8),
    "large uint64": lambda y: y.astype(np.uint64) + np.uint64((1 << 64) - 20),
    "negative": lambda y: -y,
    "floats": lambda y: y.astype(float),
    "minus zero": lambda y: np.where(y == 0, -0.0, y),
    "booleans": lambda y: y % 2 == 1,
    "text": lambda y: np.array(["a", "", "ü\n\x00b", " é", "None", "nan", "1", '"', "\\", "\u202e"])[y],
    "bytes": lambda y: np.array([b"a", b"b", b"\xff", b"d", b"e", b"f", b"g", b"h", b"i", b"j"])[y],
    "half characters": lambda y: np.array([f"{n}\udcff" for n in range(10)])[y],
    "long": lambda y: np.array([str(n) * 5000 for n in range(10)])[y],
    "objects": lambda y: np.array([f"class {n}" for n in y], dtype=object),
    "list": lambda y: y.tolist(),
    "column": lambda y: y[:, None],
}

NETWORKS = (
    "auto",
    "dense {k}",
    "conv 3@3 same, relu, max 2, dense {k}",
    "conv 3@3 same frozen, relu, dropout 0.3, dense {k}",
    "dropout 0.1, conv 4@1, leaky relu 0.1, global average, dense {k}",
    "residual(conv 3@3 same, relu), flatten, dropout 0.2, dense {k}, softmax",
    "conv 4@2x3 stride 2x1 nobias, tanh, avg 2, dense 6, sigmoid, dense {k}",
)


def trial(seed: int) -> str | None:
    """Train, save, load and compare once; None if all is well, else what was not."""
    draw = np.random.default_rng(seed)
    channels, classes = int(draw.choice([1, 2, 3, 7])), int(draw.choice([2, 3, 10]))
    image_kind, label_kind = draw.choice(list(IMAGES)), draw.choice(list(LABELS))
    labels = np.arange(COUNT) % classes
    x, y = IMAGES[image_kind](draw, channels), LABELS[label_kind](labels)
    if label_kind == "booleans":
        classes = 2
    network = str(draw.choice(NETWORKS)).format(k=classes)
    if channels != 3:
        network = network.replace("residual(conv 3@3", f"residual(conv {channels}@3")
    options: dict[str, Any] = {"epochs": int(draw.integers(1, 4)), "seed": int(draw.integers(1 << 31)), "threads": 1}
    extra = draw.choice(["", "weights", "balanced", "all", "budget", "adamw", "stop"])
    options |= {  # type: ignore[call-overload]
        "weights": {"sample_weight": draw.random(COUNT) + 0.1},
        "balanced": {"class_weight": "balanced"},
        "all": {"validation_fraction": 0.0},
        "budget": {"epochs": None, "budget": 0.05},
        "adamw": {"optimizer": "adamw", "label_smoothing": 0.1},
        "stop": {"progress": _stopper()},
    }.get(str(extra), {})
    what = f"seed {seed}: {image_kind}, {channels} channels, labels {label_kind}, {network}, {extra}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = lanewise.train(x, y, network=network, **options)
            if draw.random() < 0.3:
                model = lanewise.train(x, y, network=network, start=model, **(options | {"epochs": 1, "budget": None}))
    except lanewise.LanewiseError as error:
        return None if str(error).strip() else f"{what}: refused without a word"
    except KeyboardInterrupt:
        return None
    if draw.random() < 0.2:  # as the estimator and the command line add to what was trained
        model = replace(model, provenance={**model.provenance, "evaluated": {"accuracy": np.float64(0.5)}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with tempfile.TemporaryDirectory() as folder:
            problem = differs(model, x, Path(folder) / "m.onnx")
    return problem and f"{what}: {problem}"


def differs(model: Model, x: Images, path: Path) -> str | None:
    """What of `model` does not come back from a file, or None."""
    try:
        model.save(path)
        found = Model.load(path)
    except Exception as error:  # whatever it is, it is the finding
        return f"{type(error).__name__}: {error}"
    if list(map(_exact, found.classes)) != list(map(_exact, model.classes)):
        return f"classes {model.classes} came back as {found.classes}"
    if _exact(found.preprocessing) != _exact(model.preprocessing):
        return f"{model.preprocessing} came back as {found.preprocessing}"
    if found.network != model.network or found.graph != model.graph:
        return "the network came back as another"
    if _finite(list(model.history)) != list(found.history) or _finite(model.provenance) != found.provenance:
        return "history or provenance came back as another"
    if not np.array_equal(found.predict_proba(x[:20]), model.predict_proba(x[:20])):
        return "it predicts something else"
    return None


def _exact(value: object) -> str:
    """A value and its type: 1, 1.0 and True are equal, 0.0 and -0.0, too, but not the same."""
    return f"{type(value).__name__} {value!r}"


def _finite(value: Any) -> Any:
    """As JSON keeps it."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _stopper() -> Callable[[object], None]:
    """Progress that stops training as Ctrl-C does."""

    def stop(told: Any) -> None:
        if told.fraction > 0.4:
            raise KeyboardInterrupt

    return stop


if __name__ == "__main__":
    main("model files", trial, 500)
