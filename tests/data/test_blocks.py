"""Pixels that do not fit into memory: passes in blocks, copies on the disk, and none of all pixels at once."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from lanewise import train
from lanewise.caching import cache_folder
from lanewise.data import blocks, images
from lanewise.data.blocks import in_blocks
from lanewise.data.images import Images, empty_pixels, statistics
from lanewise.data.seen import hashes_of
from lanewise.errors import TooLargeError


@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_come_in_order_whoever_worked_on_them(threads):
    seen = set()

    def work(start, stop):
        seen.add(threading.get_ident())
        return list(range(start, stop))

    assert [n for part in in_blocks(work, 1000, 7, threads) for n in part] == list(range(1000))
    assert (threading.get_ident() in seen) == (threads == 1)


def test_sums_and_hashes_do_not_depend_on_threads(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (700, 80, 80, 3), np.uint8)
    floats = (pixels[:300] / np.float32(3)).astype(np.float32)
    found = []
    for threads in (1, 4):
        monkeypatch.setattr(blocks, "default_threads", lambda threads=threads: threads)
        found.append((statistics(pixels), statistics(floats, np.arange(0, 300, 2)), hashes_of(pixels)))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)


@pytest.fixture
def little_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path))
    monkeypatch.setattr(images, "available_memory", lambda: 10_000)


@pytest.mark.usefixtures("little_memory")
def test_copies_that_would_fill_the_memory_lie_on_the_disk():
    pixels = np.random.default_rng(0).integers(0, 256, (600, 4, 4, 1), np.uint8)
    whole = Images(pixels, np.zeros(600, np.int32), ("a",))
    chosen = np.arange(599, 1, -1)
    part = whole.take(chosen)
    assert isinstance(part.pixels, np.memmap)
    np.testing.assert_array_equal(part.pixels, pixels[chosen])
    assert list(cache_folder("images").iterdir()) == [], "a file without a name"
    assert not isinstance(whole.take(chosen[:100]).pixels, np.memmap)


@pytest.mark.usefixtures("little_memory")
def test_what_fits_nowhere_is_refused(monkeypatch):
    monkeypatch.setattr(images, "on_disk", lambda size: None)
    assert empty_pixels((1, 90, 90, 1)).nbytes == 8100
    with pytest.raises(TooLargeError, match="GB of memory that are free"):
        empty_pixels((2, 90, 90, 1))


class Watched(np.memmap):  # type: ignore[type-arg]
    """Mapped pixels that note how many images were copied at once."""

    copied: list[int] = []  # noqa: RUF012

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if isinstance(found, np.ndarray) and found.ndim == 4 and not np.shares_memory(found, self):
            self.copied.append(len(found))
        return found


def test_training_copies_no_more_than_blocks(tmp_path):
    """From reading to the last calibration: held out by chance, looked at, whitened, trained, calibrated."""
    count = 4000
    random = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int32) % 2
    pixels = Watched(tmp_path / "pixels", np.uint8, "w+", shape=(count, 16, 16, 1))
    pixels[...] = random.integers(0, 128, pixels.shape) + 120 * labels[:, None, None, None]
    Watched.copied.clear()
    model = train(
        Images(pixels, labels, ("a", "b")),
        "conv 4@3x3 whiten, relu, dense 2",
        epochs=1,
        folds=0,
        validation_fraction=0.4,
        threads=1,
        notes=lambda note: None,
        verbose=False,
    )
    assert model.classes == ("a", "b")
    assert Watched.copied
    assert max(Watched.copied) <= 1024, "far fewer than the images that are held out and trained on"
