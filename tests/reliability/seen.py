"""Training images never pass for new ones, whatever happens to their files.

    python -m tests.reliability.seen [--count N] [--seed S]

Each try trains a model on a folder, perhaps goes on from it, then adds, removes, renames, converts and copies files; or
it hands the pixels in as arrays of one of four forms. The evaluation set of `evaluate` is compared with what is
known of each from the outside.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lanewise
from lanewise.data.images import Images
from lanewise.evaluation.evaluate import images_for

FORMS = {
    "bytes": lambda x: x,
    "whole floats": lambda x: x.astype(np.float32),
    "unit": lambda x: (x / 255).astype(np.float32),
    "signed": lambda x: x.astype(np.float32) / np.float32(127.5) - 1,
}


def tried(count: int, seed: int = 0) -> list[str]:
    """What went wrong in `count` tries."""
    with tempfile.TemporaryDirectory() as folder:
        return [said for n in range(count) if (said := one(Path(folder) / str(n), np.random.default_rng([seed, n])))]


def image(random: np.random.Generator, label: int) -> np.ndarray:
    return (random.integers(0, 120, (6, 6)) + 120 * label).astype(np.uint8)


def one(root: Path, random: np.random.Generator) -> str | None:
    """Train, change, evaluate; what went wrong, or None."""
    images = {name: [image(random, label) for _ in range(random.integers(6, 14))] for label, name in enumerate("ab")}
    if random.random() < 0.5:
        return with_files(root, images, random)
    return with_arrays(images, random)


def with_files(root: Path, images: dict[str, list[np.ndarray]], random: np.random.Generator) -> str | None:
    for name, some in images.items():
        (root / "data" / name).mkdir(parents=True)
        for n, pixels in enumerate(some):
            Image.fromarray(pixels).save(root / "data" / name / f"{n:02}.png")
    options: dict[str, Any] = {
        "network": "dense 1",
        "epochs": 1,
        "validation_fraction": float(random.choice([0.1, 0.3])),
    }
    model = lanewise.train(root / "data", seed=1, notes=lambda note: None, **options)
    trained = known(model, root / "data")
    for seed in range(random.integers(0, 3)):  # other seeds: what was held out stays held out
        model = lanewise.train(root / "data", start=model, seed=5 + seed, notes=lambda note: None, **options)
        if known(model, root / "data") != trained:
            return f"{root.name}: going on parted the images anew"
    model.save(root / "m.onnx")
    model = lanewise.Model.load(root / "m.onnx")
    new = set()
    for label, name in enumerate("ab"):
        files = sorted((root / "data" / name).iterdir())
        for path in files:
            change = random.integers(5)
            if change == 0 and len(files) > 4:
                path.unlink()
            elif change == 1:
                path.rename(path.with_name(f"z{random.integers(10**9)}.png"))
            elif change == 2:
                path.with_name(f"copy-{path.name}").write_bytes(path.read_bytes())
            elif change == 3:
                Image.open(path).save(path.with_suffix(".bmp"))
                path.unlink()
        for n in range(random.integers(0, 4)):
            pixels = image(random, label)
            new.add(pixels.tobytes())
            Image.fromarray(pixels).save(root / "data" / name / f"new{n}.png")
    found, split = images_for(model, root / "data")
    return wrong(root.name, found, split, trained)


def with_arrays(images: dict[str, list[np.ndarray]], random: np.random.Generator) -> str | None:
    x = np.array([*images["a"], *images["b"]])
    y = np.array(["a"] * len(images["a"]) + ["b"] * len(images["b"]))
    form, other = random.choice(list(FORMS), 2)
    model = lanewise.train(FORMS[form](x), y, network="dense 1", epochs=1, seed=1, notes=lambda note: None)
    kinds = kinds_by_hand(model, FORMS[form](x))
    order = random.permutation(len(x))[: random.integers(4, len(x) + 1)]
    more = np.array([image(random, label) for label in (0, 1)])
    asked = np.concatenate([x[order], more])
    labels = np.concatenate([y[order], ["a", "b"]])
    asked_for = Images(FORMS[other](asked)[..., None], (labels == "b").astype(np.int32), ("a", "b"))
    from lanewise.data.seen import TRAINED
    from lanewise.evaluation.unseen import kinds_of

    said = kinds_of(model, asked_for)
    expected = np.concatenate([kinds[order] == TRAINED, [False, False]])
    return None if (said == TRAINED).tolist() == expected.tolist() else f"{form} asked as {other}: {said}, {expected}"


def kinds_by_hand(model: lanewise.Model, pixels: np.ndarray) -> np.ndarray:
    """TRAINED or not, by the split that a first training makes."""
    from lanewise.data.seen import HELD, TRAINED
    from lanewise.data.split import stratified_split

    seen = model.provenance["seen"]
    assert seen["trained_on"]["count"] + seen["held_out"]["count"] == len(pixels)
    bright = (pixels.reshape(len(pixels), -1).mean(axis=1) > np.median(pixels)).astype(np.int32)
    kinds = np.full(len(pixels), TRAINED)
    kinds[stratified_split(bright, 0.1, 1)[1]] = HELD
    return kinds


def known(model: lanewise.Model, folder: Path) -> set[bytes]:
    """The pixels of the images that the model says it was trained on."""
    found, _ = images_for(model, folder, split="train")
    return {pixels.tobytes() for pixels in found.pixels}


def wrong(name: str, found: Images, split: str, trained: set[bytes]) -> str | None:
    taken = [pixels.tobytes() in trained for pixels in found.pixels]
    if split == "train":
        return None if all(taken) else f"{name}: new images are called training images"
    return f"{name}: {sum(taken)} of {len(taken)} images that pass for {split} were trained on" if any(taken) else None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    failures = tried(given.count, given.seed)
    print(f"training images known again: tried {given.count}, right {given.count - len(failures)}")
    print(*failures, sep="\n", end="")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
