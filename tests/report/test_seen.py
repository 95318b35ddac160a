"""Images worth a look, filters and what they are like, maps."""

import numpy as np

from lanewise.data.images import Images
from lanewise.explain import occlusion_map
from lanewise.model import Model
from lanewise.network.filters import bank
from lanewise.report.seen import choose, learned_filters, look
from tests.report import models


def test_one_of_each_class_and_the_worst_mistake():
    labels = np.array([0, 0, 0, 1, 1, 2], np.int32)
    sure = np.array([0.9, 0.6, 0.7, 0.8, 0.95, 0.5])
    answers = np.array([0, 0, 0, 1, 0, 1])
    probabilities = np.full((6, 3), 0.01, np.float32)
    probabilities[np.arange(6), answers] = sure
    assert choose(labels, probabilities, 3) == [2, 3, 4]
    assert choose(labels, probabilities, 2) == [2, 4]
    assert choose(labels, probabilities, 9) == [2, 3, 1, 0, 4], "then more of each class, none twice"


def test_a_planted_filter_is_known():
    model = models.digits()
    weights = np.array(model.parameters[0])
    weights[2] = 0
    weights[2, 0, 1:4, 1:4] = 3 * bank(["sobel"])[1]
    planted = Model(model.graph, (weights, *model.parameters[1:]), model.classes, model.preprocessing, model.network)
    found = learned_filters(planted)
    assert found is not None
    assert (found.layer, found.count, found.channels) == ("conv1", 6, 1)
    assert found.rows[2].resembles == "sobel y"
    assert found.rows[2].telling
    assert 1 <= found.telling <= 6


def test_fixed_filters_are_not_taken_for_learned_ones():
    assert learned_filters(models.model("fixed sobel, relu, dense 2, softmax", (1, 6, 6), ("a", "b"))) is None
    assert learned_filters(models.model("conv 3@1, dense 2, softmax", (1, 6, 6), ("a", "b"))) is None


def test_all_maps_of_a_image():
    model = models.signboard()
    raw = models.raw_images(model, 2)
    seen = look(model, Images(raw, np.array([0, 1], np.int32), ("no", "yes")), 1)
    assert (seen.name, seen.true) == ("image 1", "yes")
    assert seen.answer == model.predict(raw[1:])[0]
    assert [one.name for one in seen.layers] == ["conv1", "relu1", "max1", "conv2", "relu2", "max2"]
    assert [one.count for one in seen.layers] == [8, 8, 8, 12, 12, 12]
    assert seen.most_lost == occlusion_map(model, raw[1]).max()
