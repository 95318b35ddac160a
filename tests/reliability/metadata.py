"""Model files whose metadata was changed: every command and function answers in one line, or rightly.

    python -m tests.reliability.metadata [--count N] [--seed S]

Each case takes a sound file, changes one to three values anywhere in the JSON of its metadata (another type, missing,
null, huge, negative, NaN, nested deeply, another length, text that a terminal or a page might obey), and gives it to
one of the commands and functions that read models. Wrong are tracebacks, refusals of several lines, control characters
that reach the terminal, text of the file that reaches a page as HTML, and answers that the change altered.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from click.testing import CliRunner

import lanewise
from lanewise import Model
from lanewise.errors import LanewiseError
from tests.reliability.running import main

Draw = np.random.Generator

EVIL = (
    '<script>alert(1)</script><img src=x onerror="alert(1)">',
    "</script><!--",
    "\x1b[31mred\x1b[0m\x07",
    "a\nb\r\u2028c",
    "\u202eabc",
    "'\"`${x}{{x}}",
    "\x00",
    "\ud800",
    "e\u0301\U0001f600",
    "x" * 300,
)
NUMBERS = (0, 1, -1, 2, 0.5, -0.0, 1e-320, 1e300, 1e308, 10**40, -(10**40), 2**63, 2**31, 7.000001)
VALUES: tuple[Any, ...] = (*NUMBERS, *EVIL, None, True, False, "", "text", "2020-01-01", [], {}, [1], [[]], {"a": 1})
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "[" * 900 + "]" * 900, '{"a":' * 40 + "1" + "}" * 40, "9" * 5000)
"""JSON, or nearly, that no Python value is written as."""


@cache
def sound() -> tuple[bytes, ...]:
    """Files of three trainings: bytes with an evaluated accuracy, floats with dates and folds, one that went on."""
    draw = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (draw.integers(0, 80, (60, 6, 5, 1)) + 80 * labels[:, None, None, None]).astype(np.uint8)
    network = "conv 3@3 same, relu, max 2, dense 3"
    options: dict[str, Any] = {"network": network, "epochs": 3, "threads": 1, "verbose": 0, "notes": lambda note: None}
    first = lanewise.train(images, np.array(["ape", "bee", "cat"])[labels], **options)
    figures = {"split": "test", "images": 20, "accuracy": 0.9, "interval": [0.7, 0.97]}
    first = Model(**{**_fields(first), "provenance": {**first.provenance, "evaluated": figures}})
    folds = lanewise.train(images / np.float32(255), labels.astype("M8[D]"), folds=3, **options)
    later = lanewise.train(images, np.array(["ape", "bee", "cat"])[labels], **(options | {"start": first}))
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for n, model in enumerate((first, folds, later)):
            model.save(path := Path(folder) / f"{n}.onnx")
            files.append(path.read_bytes())
    return tuple(files)


def _fields(model: Model) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).__dataclass_fields__}


@cache
def _folder() -> Path:
    """A folder of images and an `.npz` file to evaluate on, made once."""
    from PIL import Image

    root = Path(tempfile.mkdtemp())
    draw = np.random.default_rng(1)
    for n, name in enumerate(("ape", "bee", "cat")):
        (root / "images" / name).mkdir(parents=True)
        for k in range(8):
            pixels = (draw.integers(0, 80, (6, 5)) + 80 * n).astype(np.uint8)
            Image.fromarray(pixels).save(root / "images" / name / f"{k}.png")
    return root


def changed(seed: int) -> tuple[bytes, bytes, str]:
    """A sound file, the same one changed, and what was changed."""
    draw = np.random.default_rng(seed)
    old = sound()[int(draw.integers(3))]
    proto = onnx.load_from_string(old)
    said = []
    for _ in range(1 + int(draw.random() < 0.2)):
        entry = proto.metadata_props[int(draw.integers(len(proto.metadata_props)))]
        if draw.random() < 0.85:  # where there is most to change
            key = _pick(
                draw, ("provenance", "provenance", "provenance", "history", "history", "classes", "preprocessing")
            )
            entry = next(one for one in proto.metadata_props if one.key == key)
        entry.value, what = _mutated(entry.value, draw)
        said.append(f"{entry.key}: {what}"[:160])
    return old, proto.SerializeToString(), "; ".join(said)


def _pick(draw: Draw, values: Any) -> Any:
    return values[int(draw.integers(len(values)))]


def _mutated(text: str, draw: Draw) -> tuple[str, str]:
    """A property with one change, and what it was."""
    kind = draw.random()
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list | dict) or kind < 0.04:
        new = _pick(
            draw, (*(v for v in VALUES if isinstance(v, str)), text[: len(text) // 2], text + text, "2", "null")
        )
        return new.encode("utf-8", "replace").decode(), f"the whole is {new[:40]!r}"
    places = list(_places(value))
    holder, key = places[int(draw.integers(len(places)))] if places else (None, None)
    if kind < 0.1:
        raw = _pick(draw, RAW)
        if holder is not None:
            holder[key] = "@RAW@"
        return json.dumps(value).replace('"@RAW@"', raw), f"{key} is {raw[:20]}"
    if holder is None:
        return json.dumps(_pick(draw, VALUES)), "replaced"
    old = holder[key]
    if kind < 0.25:
        del holder[key]
        what = "missing"
    elif kind < 0.35 and isinstance(holder, dict):
        holder[_pick(draw, EVIL)] = holder.pop(key)
        what = "renamed"
    elif kind < 0.5 and isinstance(old, list) and old:
        holder[key] = _pick(draw, (old[:-1], old + old, [*old, None], [old], old[::-1]))
        what = "of another length"
    else:
        holder[key] = new = _pick(draw, VALUES)
        what = f"is {new!r}"[:60]
    return json.dumps(value), f"{key} {what}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (list or object, key or position) inside a JSON value; of long lists the first and the last."""
    keys = list(value) if isinstance(value, dict) else sorted({0, len(value) - 1} if value else ())
    for key in keys:
        yield value, key
        if isinstance(value[key], list | dict):
            yield from _places(value[key])


def trial(seed: int) -> str | None:
    """Change one file and give it to one reader; None if it answers in one line or rightly."""
    draw = np.random.default_rng(seed + (1 << 40))
    old, new, what = changed(seed)
    name, use = list(USES.items())[seed % len(USES)]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "m.onnx"
        path.write_bytes(new)
        problem = use(path, old, draw)
    return problem and f"seed {seed}: {name}: {what}: {problem}"


def _command(*words: str) -> Callable[[Path, bytes, Draw], str | None]:
    def run(path: Path, old: bytes, draw: Draw) -> str | None:
        from lanewise.cli.group import lanewise as group

        root = _folder()
        args = [word.format(m=path, o=path.parent / "out", i=root / "images", r=root) for word in words]
        if words[0] in ("inspect", "evaluate", "predict") and draw.random() < 0.5:
            args.append("--json")
        result = CliRunner().invoke(group, args, prog_name="lanewise")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            return f"{type(result.exception).__name__}: {str(result.exception)[:200]} ({_place(result.exception)})"
        shown = result.output
        odd = {sign for sign in shown if not sign.isprintable() and sign not in "\n\r"}
        if odd:
            return f"{odd} reach the terminal"
        if result.exit_code not in (0, 1, 2):
            return f"status {result.exit_code}"
        if result.exit_code and len(result.stderr.strip().splitlines()) > 12:
            return f"a refusal of many lines: {result.stderr[-300:]}"
        if "Traceback" in shown or "unexpected" in shown.lower():
            return f"a traceback: {shown[-300:]}"
        pages = [page.read_text() for page in path.parent.glob("*.html")]
        return next((problem for problem in map(_obeys, pages) if problem), None)

    return run


def _obeys(page: str) -> str | None:
    """Whether text of the file has become HTML in a page."""
    return (
        "text of the file is HTML in the page"
        if any(text in page for text in ("<img src=x", "</script><!--"))
        else None
    )


def _page(path: Path, old: bytes, draw: Draw) -> str | None:
    from lanewise.report.live import live_page

    try:
        return _obeys(live_page(Model.load(path), title=str(Model.load(path).provenance.get("version"))))
    except LanewiseError as error:
        return _one_line(str(error))


def _place(error: BaseException) -> str:
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def _python(path: Path, old: bytes, draw: Draw) -> str | None:
    """Load, predict, save again and load: the same answers as the sound file's, unless labels or scale are others."""
    before = path.parent / "old.onnx"
    before.write_bytes(old)
    sane = Model.load(before)
    try:
        model = Model.load(path)
    except LanewiseError as error:
        return _one_line(str(error))
    x = draw.integers(0, 256, (20, 6, 5, 1)).astype(np.uint8)
    try:
        if model.preprocessing == sane.preprocessing and not np.array_equal(
            model.predict_proba(x), sane.predict_proba(x)
        ):
            return "it predicts something else"
        model.predict(x)
        with contextlib.redirect_stdout(io.StringIO()):
            print(model)
        model._repr_html_()
        model.history_frame()
        lanewise.evaluate(model, x, np.array(model.classes, object)[np.arange(20) % 3], split="all")
        model.save(path)
        again = Model.load(path)
    except LanewiseError as error:
        return _one_line(str(error))
    return None if again.classes == model.classes else "other classes after saving"


def _going_on(path: Path, old: bytes, draw: Draw) -> str | None:
    draw = np.random.default_rng(0)
    try:
        start = Model.load(path)
        labels = np.array(start.classes, object)[np.arange(30) % 3]
        lanewise.train(
            draw.integers(0, 256, (30, 6, 5, 1)).astype(np.uint8), labels, start=start, epochs=1, threads=1, verbose=0
        )
    except LanewiseError as error:
        return _one_line(str(error))
    return None


def _one_line(said: str) -> str | None:
    if len(said.splitlines()) != 1 or not said.isprintable():
        return f"no one line: {said[:300]!r}"
    return None if len(said) < 2000 else f"a line of {len(said)} characters"


USES: dict[str, Callable[[Path, bytes, Draw], str | None]] = {
    "Model": _python,
    "inspect": _command("inspect", "{m}"),
    "evaluate": _command("evaluate", "{m}", "{i}"),
    "report": _command("report", "{m}", "{i}", "--output", "{o}.html"),
    "predict": _command("predict", "{m}", "{i}"),
    "train --start": _command("train", "{i}", "--start", "{m}", "--epochs", "1", "--output", "{o}.onnx"),
    "live page": _page,
    "train(start=)": _going_on,
}


if __name__ == "__main__":
    main("metadata", trial, 2000)
