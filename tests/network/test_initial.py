import numpy as np
import pytest

from lanewise.errors import OptionError
from lanewise.network.graph import build
from lanewise.network.initial import BLOCK, initial_parameters
from lanewise.network.reference import forward
from lanewise.network.text import parse


def start(text, shape=(3, 8, 8), seed=0):
    return initial_parameters(build(parse(text), shape), seed)


def test_same_seed_same_bits_and_other_seeds_others():
    first, again, other = start("conv 4@3, dense 5"), start("conv 4@3, dense 5"), start("conv 4@3, dense 5", seed=1)
    assert all(a.dtype == np.float32 for a in first)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in again]
    assert first[0].tobytes() != other[0].tobytes()


def test_the_bits_themselves_are_kept():
    # Golden: whoever changes them changes every training, and must say so.
    (weight, _) = start("dense 2", (1, 1, 3), seed=2**64 - 1)
    expected = [
        "0x1.6e2ce60000000p-2",
        "0x1.b4db0e0000000p-3",
        "0x1.7c28780000000p-2",
        "-0x1.790a920000000p-1",
        "-0x1.f47d920000000p-1",
        "-0x1.b061980000000p-3",
    ]
    assert [value.hex() for value in weight.ravel().tolist()] == expected


def test_a_layer_does_not_depend_on_others():
    first, second = start("conv 4@3, relu, dense 5"), start("conv 4@3, relu, dense 7, relu, dense 2")
    np.testing.assert_array_equal(first[0], second[0])


def test_equal_layers_start_unequal():
    first, _, second, _ = start("dense 5, dense 5", (1, 1, 5))
    assert not (first == second).any()


def test_biases_are_zero():
    assert not start("conv 4@3, dense 5")[1].any()


def test_identity_passes_channels_on_and_draws_the_rest():
    for text, shape in [
        ("conv 5@3 same identity", (3, 6, 5)),
        ("conv 2@5x1 same identity", (3, 6, 5)),
        ("conv 3@2x4 same identity", (3, 6, 5)),
        ("conv 6@3 same groups 2 identity", (4, 6, 5)),
    ]:
        graph = build(parse(text), shape)
        parameters, drawn = initial_parameters(graph, 0), start(text.replace(" identity", ""), shape)
        x = np.random.default_rng(0).normal(size=(2, *shape))
        y = forward(graph, parameters, x)[-1]
        groups = 2 if "groups" in text else 1
        own, channels = graph.nodes[1].shape[0] // groups, shape[0] // groups
        for group in range(groups):
            for o in range(own):
                if o < channels:
                    np.testing.assert_array_equal(y[:, group * own + o], x[:, group * channels + o])
                else:
                    np.testing.assert_array_equal(parameters[0][group * own + o], drawn[0][group * own + o])


@pytest.mark.parametrize(
    ("text", "gain"),
    [
        ("conv 64@5, relu", 2),
        ("conv 64@5, max 2, dropout 0.5, relu", 2),
        ("conv 64@5, leaky 0.5", 1.6),
        ("conv 64@5, tanh, relu", 1),
        ("conv 64@5, conv 2@1, relu", 1),
        ("conv 64@5", 1),
        ("residual(conv 64@5 same | conv 64@1), relu", 2),
        ("conv 64@5, concat(tanh | relu)", 2),
    ],
)
def test_the_deviation_suits_what_follows(text, gain):
    weight = start(text, (16, 8, 8))[0]
    assert weight.std() == pytest.approx(np.sqrt(gain / (16 * 25)), rel=0.02)
    assert abs(weight.mean()) < 0.02 * weight.std()


def test_groups_lessen_the_inputs():
    weight = start("conv 1600@5 groups 16", (16, 8, 8))[0]
    assert weight.std() == pytest.approx(np.sqrt(1 / 25), rel=0.02)


def test_numbers_are_normal():
    weight = start("dense 10000", (1, 5, 5))[0].ravel() * 5
    for limit, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert np.mean(np.abs(weight) < limit) == pytest.approx(share, abs=0.004)
    assert np.mean(weight**4) == pytest.approx(3, abs=0.2)


def test_blocks_do_not_show():
    # The same stream is read on from block to block, so a block's end neither repeats nor skips a number.
    weight = start("dense 1100", (1, 16, 16))[0].ravel()
    assert len(weight) > BLOCK
    assert len(np.unique(weight[BLOCK - 50 : BLOCK + 50])) > 90
    assert weight[:50].tolist() != weight[BLOCK : BLOCK + 50].tolist()


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(OptionError, match="a seed must be a whole number"):
        start("dense 1", seed=seed)


def test_a_batch_normalisation_starts_as_one_that_changes_nothing():
    assert [array.tolist() for array in start("batchnorm", (2, 3, 3))] == [[1, 1], [0, 0], [0, 0], [1, 1]]


def test_an_activation_behind_a_batch_normalisation_sets_the_gain_all_the_same():
    plain, normalised = (start(f"conv 3@3, {norm}relu, dense 2", (2, 5, 5))[0] for norm in ("", "batchnorm, "))
    assert (plain == normalised).all()
