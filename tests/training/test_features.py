"""Features are computed once for each image, and the same whoever computes them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lanewise.caching import Cache
from lanewise.engine import many
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.reference import forward
from lanewise.network.text import parse
from lanewise.preprocessing import Preprocessing
from lanewise.training import features
from lanewise.training.features import Backbone

PREPROCESSING = Preprocessing(rows=12, columns=10, channels=3, dtype="uint8", scale=(0.02,) * 3, offset=(-1.0,) * 3)


@pytest.fixture
def backbone(tmp_path):
    graph = build(parse("conv 8@3x3 same, relu, max 2, conv 6@3x3 same, relu6, global average"), (3, 12, 10))
    return Backbone(graph, initial_parameters(graph, 0), PREPROCESSING, cache=Cache(tmp_path / "features", ".features"))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (70, 12, 10, 3), np.uint8)


def test_features_are_what_the_network_gives(backbone, pixels):
    found = backbone.features(pixels)
    values = forward(backbone.graph, backbone.parameters, PREPROCESSING.apply(pixels))
    assert found == pytest.approx(values[-1], abs=1e-5)


def test_each_image_is_computed_once(backbone, pixels):
    told: list[tuple[int, int]] = []
    first = backbone.features(pixels[:50], lambda *now: told.append(now))
    assert told == [(50, 50)]
    told.clear()
    again = backbone.features(pixels[::-1], lambda *now: told.append(now))
    assert told == [(20, 20)]
    assert np.array_equal(again[::-1][:50], first)
    told.clear()
    assert np.array_equal(backbone.features(pixels[::-1], lambda *now: told.append(now)), again)
    assert told == []


class Together:
    """One of several ranks, each a thread, that meet to share what they have."""

    def __init__(self, rank: int, size: int, meeting: threading.Barrier, rows: list) -> None:
        self.rank, self.size, self.first_here = rank, size, rank % 2 == 0
        self.meeting, self.rows = meeting, rows

    def parts(self, count: int) -> list[int]:
        return [count * n // self.size for n in range(self.size + 1)]

    def share(self, rows: np.ndarray, bounds: list[int]) -> None:
        self.rows[self.rank] = rows.copy()
        self.meeting.wait(20)
        for rank, (first, end) in enumerate(pairwise(bounds)):
            rows[first:end] = self.rows[rank][first:end]


@pytest.mark.parametrize("kept", [features.KEPT, 0], ids=["kept", "maps"])
def test_ranks_compute_a_part_each(backbone, pixels, tmp_path, monkeypatch, kept):
    """Two machines with two ranks and a cache each: the first one of each keeps all, also what another computed."""
    expected = backbone.features(pixels)
    monkeypatch.setattr(features, "KEPT", kept)
    caches = [Cache(tmp_path / f"machine {n}", ".features") for n in range(2)]
    everybody = [replace(backbone, cache=caches[rank // 2]) for rank in range(4)]
    everybody[0].features(pixels[::9])  # the first machine knows some of them already

    def run() -> list[list[tuple[int, int]]]:
        meeting, rows = threading.Barrier(4), 4 * [None]
        told: list[list[tuple[int, int]]] = [[], [], [], []]

        def work(rank: int) -> np.ndarray:
            ranks = Together(rank, 4, meeting, rows)
            return everybody[rank].features(pixels, lambda *now: told[rank].append(now), ranks)

        with ThreadPoolExecutor(4) as threads:
            for found in threads.map(work, range(4)):
                assert np.array_equal(found, expected)
        return told

    told = run()
    if kept:
        assert told == [[(15, 15)], [(16, 16)], [(17, 17)], [(18, 18)]]
        assert run() == [[], [], [], []]
        monkeypatch.setattr(Backbone, "_compute", lambda self, pixels, places, *known: places.size and 1 / 0)
        for one in everybody:
            assert np.array_equal(one.features(pixels), expected)
    else:
        assert [one[-1][1] for one in told] == [17, 18, 17, 18]


def test_other_weights_have_other_features(backbone, pixels):
    before = backbone.features(pixels)
    other = [2 * array for array in backbone.parameters]
    after = Backbone(backbone.graph, other, PREPROCESSING, cache=backbone.cache).features(pixels)
    assert not np.allclose(before, after)


def test_what_was_computed_before_an_interruption_is_kept(backbone, pixels):
    def stop(done, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backbone.features(np.concatenate([pixels, pixels[:60] // 2]), stop)
    told: list[tuple[int, int]] = []
    backbone.features(pixels, lambda *now: told.append(now))
    assert told == [(len(pixels) - features.CHUNK,) * 2]


def test_damaged_features_are_computed_again(backbone, pixels):
    before = backbone.features(pixels)
    for path in backbone.cache.folder.glob("*.features"):
        path.write_bytes(path.read_bytes()[:-5])
    assert np.array_equal(backbone.features(pixels), before)


@pytest.mark.parametrize("large", [False, True], ids=["sixteen images at once", "one image at a time"])
@pytest.mark.usefixtures("all_processors")
def test_threads_change_nothing(large, backbone, pixels, monkeypatch, tmp_path):
    monkeypatch.setattr(many, "LARGE", 1 if large else 2**20)
    found = [
        Backbone(
            backbone.graph, backbone.parameters, PREPROCESSING, threads, Cache(tmp_path / str(threads), ".features")
        ).features(pixels)
        for threads in (1, 2)
    ]
    assert np.array_equal(*found)
