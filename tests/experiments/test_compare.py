"""Five ways side by side, and no claim that the intervals do not bear."""

import json

import numpy as np
import pytest

import lanewise
from lanewise.errors import NetworkError, OptionError
from lanewise.experiments import trial as trials
from lanewise.experiments.compare import _differences, compare
from lanewise.experiments.conclusion import Difference, conclusion
from lanewise.experiments.methods import BANK, GREY_BANK, methods_for
from lanewise.experiments.trial import Trial
from lanewise.network.harmonic import harmonic
from lanewise.network.text import parse
from lanewise.training.recipe import default_network

NETWORK = "conv 4@3x3 same, relu, conv 4@3x3 same, relu, max 2, dense 8, relu, dense 1"


def texts(*arguments, **options):
    return {method.name: method.network for method in methods_for(*arguments, **options)}


def test_the_five_ways_for_the_default_network():
    found = texts("auto", (3, 30, 30), 2)
    assert found["fully connected"] == "dense 100, relu, dense 100, relu, dense 1, sigmoid"
    assert found["hand-made features"] == f"fixed {BANK}, relu, max 2, max 2, dense 100, relu, dense 1, sigmoid"
    assert found["convolutional"] == default_network((3, 30, 30), 2)
    assert found["first layer fixed"] == found["convolutional"].replace("conv 16@3x3 same", f"fixed {BANK}", 1)
    blocks = found["convolutional"]
    for filters in (16, 32, 64):
        blocks = blocks.replace(f"conv {filters}@3x3 same", f"fixed dct3, batchnorm, conv {filters}@1x1")
    assert found["harmonic"] == blocks
    assert list(found) == ["fully connected", "hand-made features", "first layer fixed", "harmonic", "convolutional"]


def test_grey_images_get_more_filters_and_small_ones_less_pooling():
    found = texts("auto", (1, 8, 8), 10)
    assert found["hand-made features"] == f"fixed {GREY_BANK}, relu, max 2, dense 100, relu, dense 10, softmax"
    graphs = methods_for("auto", (1, 28, 28), 10)
    assert graphs[1].graph.input_shape == (1, 28, 28)


def test_the_bank_takes_over_padding_and_stride():
    found = texts("conv 4@3x3 stride 2, relu, conv 4@1x1, global average, dense 2", (3, 9, 9), 2, bank="sobel+blur")
    assert found["first layer fixed"].startswith("fixed sobel+blur valid stride 2, relu, conv 4@1x1")
    assert found["hand-made features"] == "fixed sobel+blur, relu, max 2, dense 2, softmax"


def test_what_cannot_be_compared_is_told():
    with pytest.raises(NetworkError, match="does not begin with a convolution"):
        methods_for("dense 8, relu, dense 2", (3, 9, 9), 2)
    with pytest.raises(NetworkError, match=r"no filters are called 'sobol'; there are .*sobel"):
        methods_for("auto", (3, 9, 9), 2, bank="sobol")
    with pytest.raises(NetworkError, match="there are 2 classes"):
        methods_for("conv 4@3x3, dense 5", (3, 9, 9), 2)


def test_all_get_the_same_images_epochs_and_seeds(sets, tmp_path, monkeypatch):
    real, given = trials.train, []  # type: ignore[attr-defined]

    def train(sets, **options):
        given.append((id(sets), options["epochs"], options["seed"]))
        return real(sets, **options)

    monkeypatch.setattr(trials, "train", train)
    steps = []
    found = lanewise.compare(sets, NETWORK, seeds=(4, 6), epochs=3, folder=tmp_path, progress=steps.append)
    assert [seed for _, _, seed in given] == [4] * 5 + [6] * 5
    assert len(set(given)) == 2
    assert [step.done for step in steps if step.accuracy is not None] == list(range(1, 11))
    assert [row.name for row in found.rows][-1] == "convolutional"
    assert [len(row.curves) for row in found.rows] == [2] * 5
    scales = 9 * (1 + 4)  # one for each channel and frequency
    assert found.rows[3].learned_weights == found.rows[4].learned_weights + scales
    fixed = found.rows[2]
    assert fixed.weights - fixed.learned_weights == 1 * (2 + 1 + 1 + 1 + 4 + 1 + 1) * 25
    assert fixed.gap == pytest.approx(fixed.train_accuracy - np.mean(fixed.accuracies))
    again = compare(sets, NETWORK, seeds=(4, 6), epochs=3, folder=tmp_path)
    assert len(given) == 10
    assert (again.recalled, again.rows, again.differences) == (10, found.rows, found.differences)
    assert json.loads(json.dumps(found.to_json()))["sentence"] == found.sentence
    assert str(found).endswith(found.sentence)
    assert found.table()[1][4][0] == "convolutional"


def test_harmonic_blocks_take_the_place_of_convolutions_wherever_they_are():
    others = "gate(global average, conv 4@1x1, sigmoid), conv 4@3x3 same groups 4, conv 4@5x3 same, conv 4@5x5 frozen"
    plain = "conv 4@3x3 same stride 2 nobias, batchnorm, residual(conv 4@3x3 same, relu | conv 4@1x1)"
    block = "fixed dct3, batchnorm, conv 4@1x1"
    blocks = f"{block.replace(',', ' stride 2,', 1)} nobias, batchnorm, residual({block}, relu | conv 4@1x1)"
    assert harmonic(parse(f"{plain}, {others}")) == parse(f"{blocks}, {others}")


def difference(against, low, high):
    return Difference(against, (low + high) / 2, (low, high))


def test_a_difference_is_claimed_if_its_interval_leaves_out_0():
    said = conclusion(
        [difference("fully connected", 0.037, 0.103), difference("hand-made features", 0.005, 0.059)], seeds=3
    )
    assert said == (
        "The network that learns all its filters is better than the fully connected network by 3.7 to 10.3 points and "
        "hand-made features by 0.50 to 5.9 points."
    )


def test_where_it_does_not_the_images_cannot_tell():
    said = conclusion([difference("first layer fixed", -0.009, 0.015)], seeds=3)
    assert said == (
        "These images cannot tell whether the network that learns all its filters is better or worse than the same "
        "network with its first layer fixed (-0.90 to +1.5 points); more test images or seeds could."
    )


def test_all_three_outcomes_in_one():
    said = conclusion(
        [
            difference("fully connected", 0.02, 0.03),
            difference("hand-made features", -0.05, -0.02),
            difference("first layer fixed", -0.01, 0.0),
        ],
        seeds=3,
    )
    assert "better than the fully connected network by 2.0 to 3.0 points, and worse than hand-made features by" in said
    assert "hand-made features by 2.0 to 5.0 points. These images cannot tell whether it is better or worse" in said


def test_few_seeds_are_told():
    one = [difference("fully connected", 0.02, 0.03)]
    assert "points. Each was trained once, so the intervals ignore the variation between seeds: use at" in conclusion(
        one, 1
    )
    assert "trained twice" in conclusion(one, 2)
    assert "trained" not in conclusion(one, 3)


def test_differences_are_paired_and_hold_together():
    right = np.arange(400) >= 20
    also = np.arange(400) >= 20
    also[20:45] = False

    def trial(values):
        return Trial(values, 1.0, 1.0, ((1.0, None),))

    names = ("fully connected", "hand-made features", "first layer fixed", "convolutional")
    found = _differences(dict(zip(names, [[trial(also)], [trial(right)], [trial(also)], [trial(right)]], strict=True)))
    assert [one.verdict for one in found] == ["better", "cannot tell", "better"]
    assert found[0].accuracy == pytest.approx(25 / 400)
    from lanewise.experiments.intervals import difference_interval

    alone = difference_interval([right], [also])
    assert found[0].interval[0] < alone[0] < alone[1] < found[0].interval[1]


def test_the_image_names_all_methods(sets, tmp_path):
    pytest.importorskip("matplotlib")
    found = compare(sets, NETWORK, seeds=(0,), epochs=2)
    found.save_plot(tmp_path / "c.svg")
    svg = (tmp_path / "c.svg").read_text()
    assert all(svg.count(row.name) >= 2 for row in found.rows)
    assert "accuracy on 64 test images, %" in svg
    with pytest.raises(OptionError, match="an image ends in"):
        found.save_plot(tmp_path / "c.gif")
