"""Images on every scale, in every layout and wrapping: a right answer, or a refusal in one line; never a wrong answer.

python -m tests.reliability.inputs
"""

from __future__ import annotations

import io
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lanewise
from lanewise.data.arrays import DIGITS_FILE
from tests.reliability.running import main

SCALES = {
    "bytes": lambda x: x,
    "floats 0 to 255": lambda x: x.astype(np.float32),
    "whole numbers": lambda x: x.astype(np.int64),
    "0 to 1": lambda x: (x / 255).astype(np.float32),
    "0 to 1, float64": lambda x: x / 255,
    "-1 to 1": lambda x: (x / 127.5 - 1).astype(np.float32),
    "standardised": lambda x: ((x - 80.0) / 95.0).astype(np.float32),
    "16 bits": lambda x: x.astype(np.uint16) * 257,
    "centred": lambda x: x.astype(np.float32) - 128,
    "centred, whole": lambda x: x.astype(np.int16) - 128,
    "per cent": lambda x: (x / 2.55).astype(np.float32),
    "0 to 65535": lambda x: x.astype(np.float32) * 257,
    "12 bits": lambda x: x.astype(np.uint16) * 16,
    "16 levels, bytes": lambda x: np.round(x / 255 * 16).astype(np.uint8),
    "16 levels": lambda x: np.round(x / 255 * 16).astype(np.float32),
    "half precision": lambda x: (x / 255).astype(np.float16),
}


def files(x: Any) -> Any:
    """The images as PNG files."""
    folder = Path(tempfile.mkdtemp())
    for n, image in enumerate(x):
        Image.fromarray(image).save(folder / f"{n:03}.png")
    return sorted(map(str, folder.iterdir()))


def encoded(x: Any) -> Any:
    """The images as the bytes of PNG files."""
    found = []
    for image in x:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


ASKED = {
    **SCALES,
    "files": files,
    "encoded": encoded,
    "Pillow's images": lambda x: [Image.fromarray(image) for image in x],
    "channels first": lambda x: x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2),
    "a list of arrays": list,
    "a column of names": lambda x: np.array(files(x), object),
    "one after the other": lambda x: iter(files(x)),
    "open files": lambda x: [io.BytesIO(content) for content in encoded(x)],
    "mixed": lambda x: [*encoded(x[:2]), *(Image.fromarray(image) for image in x[2:4]), *x[4:]],
    "one by one": lambda x: x,
}
CASES = [(trained, asked) for trained in SCALES for asked in ASKED]


@cache
def digits() -> tuple[Any, Any, Any, Any]:
    """The built-in digits as bytes: images and labels to train on, and some of the others."""
    found = np.load(DIGITS_FILE)
    x = [np.round(found[key].astype(float) * 255 / found[key].max()).astype(np.uint8) for key in ("x_train", "x_test")]
    return x[0], found["y_train"], x[1][:60], found["y_test"][:60]


@cache
def model(trained: str) -> lanewise.Model:
    """A small network that was trained on digits on one scale."""
    x, y, _, _ = digits()
    network = "conv 8@3 same, relu, max 2, dense 10"
    return lanewise.train(SCALES[trained](x), y, network=network, epochs=6, notes=lambda note: None)


def trial(number: int) -> str | None:
    """Train on one scale and ask in another way: as many right as on the own scale, or an error; or what is wrong."""
    trained, asked = CASES[number % len(CASES)]
    _, _, x, y = digits()
    network = model(trained)
    own = np.mean(network.predict(SCALES[trained](x)) == y)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            given = ASKED[asked](x)
            answers = np.concatenate([network.predict(one) for one in given]) if asked == "one by one" else None
            came = np.mean((network.predict(given) if answers is None else answers) == y)
    except lanewise.LanewiseError as error:
        return None if "\n" not in str(error) and trained != asked else f"{trained}, asked {asked}: {error}"
    warned = any(issubclass(one.category, lanewise.LanewiseWarning) for one in caught)
    if abs(came - own) > 0.02 and not warned:
        return f"trained on {trained}, asked about {asked}: {100 * own:.1f} % became {100 * came:.1f} % without a word"
    return None


if __name__ == "__main__":
    main("inputs", trial, len(CASES))
