"""Features are computed once for each image, and the same whoever computes them."""

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
