"""One sentence at the end of training says what would help, and none where the curves do not say it."""

from dataclasses import replace

import numpy as np
import pytest

import lanewise
from lanewise.data.images import Images
from lanewise.kernels.augmentation import Augment
from lanewise.training.advice import Curves, advice, curves_of
from lanewise.training.options import TrainOptions

SMALL = Images(np.zeros((500, 32, 32, 3), np.uint8), np.zeros(500, np.int32), ("a", "b"))
PHOTOGRAPHS = replace(SMALL, pixels=np.zeros((500, 64, 64, 3), np.uint8))
SHIFTED = Augment(2, 2, flip_columns=True)


NETWORK = "conv 8@3x3 same, relu, dense 2"


def said(
    accuracy,
    unseen,
    images=SMALL,
    augment=SHIFTED,
    count=500,
    epochs=20,
    more=True,
    network=NETWORK,
    how="auto",
    **options,
):
    curves = Curves(accuracy, unseen, count, epochs, more)
    return advice(curves, TrainOptions(augment=how, **options), augment, images, network)


@pytest.mark.parametrize(("accuracy", "unseen"), [(0.99, 0.98), (0.9, 0.85), (0.98, 0.93), (0.975, 0.99)])
def test_nothing_is_said_where_all_is_well_or_nothing_is_clear(accuracy, unseen):
    assert said(accuracy, unseen) is None


def test_few_images_say_nothing():
    assert said(0.99, 0.5, count=49) is None
    assert said(0.99, 0.88, count=60) is None  # within three standard errors
    assert said(0.99, 0.7, count=60) is not None


def test_an_underfitting_network_gets_more_epochs_or_filters():
    assert said(0.71, 0.70) == (
        "Accuracy in training was 71.0 %, on images that it did not train on 70.0 %: the network underfits. Try "
        "--epochs 40 (epochs=40) or a --network with more filters (network= in Python)."
    )
    assert "Try --budget 60s (budget=60) or a --network" in said(0.71, 0.75, budget=30)
    assert "Try a --network with more filters" in said(0.71, 0.7, more=False)
    for harder in ({"zoom": 2.0}, {"erase": 0.2}, {"mixup": 0.5}, {"cutmix": 0.5}):
        assert said(0.71, 0.7, augment=replace(SHIFTED, **harder)) is None


def test_an_overfitting_network_gets_augmentation_a_pretrained_start_or_harmonic_blocks():
    assert said(0.99, 0.8, augment=None, how="none").endswith(
        'the network overfits. Try --augment auto (augment="auto").'
    )
    assert said(0.99, 0.8) == (
        "Accuracy in training was 99.0 %, on images that it did not train on 80.0 %: the network overfits. Try "
        'harmonic blocks, --network "fixed dct3, batchnorm, conv 8@1x1, relu, dense 2" (network= in Python).'
    )
    many = replace(SMALL, pixels=np.zeros((2000, 4, 4, 3), np.uint8))
    assert said(0.99, 0.8, images=many) is None
    assert said(0.99, 0.8, network="dense 2") is None
    assert 'Try a pretrained start, --start lite0 (start="lite0") or harmonic' in said(0.99, 0.8, images=PHOTOGRAPHS)
    assert said(0.99, 0.8, images=PHOTOGRAPHS, start="lite0") is None


def test_a_pretrained_start_is_not_advised_where_that_was_said_before_training():
    assert "lite0" not in said(0.99, 0.8, images=replace(PHOTOGRAPHS, resize="stretch"))


def test_curves_are_those_of_the_best_epoch_or_of_the_folds():
    history = [{"accuracy": 0.5, "validation_accuracy": 0.6}, {"accuracy": 0.7, "validation_accuracy": 0.55}]
    assert curves_of(history, 1, 90, None, more=True) == Curves(0.7, 0.6, 90, 2)
    assert curves_of(history, None, 0, None, more=True) is None
    assert curves_of([], 0, 90, None, more=True) is None
    assert curves_of(history, None, 0, {"accuracy": 0.4, "images": 80}, more=False) == Curves(0.7, 0.4, 80, 2, False)


def test_training_ends_with_the_advice(digits):
    notes = []
    few = digits.train.take(np.arange(600))
    options = {"network": "dense 10", "folds": 0, "verbose": 0, "notes": notes.append}
    lanewise.train(few, epochs=1, learning_rate=0.002, validation_fraction=0.2, **options)
    assert "the network underfits. Try --epochs 2 (epochs=2)" in notes[-1]
    pixels = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1)).astype(np.uint8)
    noise = Images(pixels, np.arange(300, dtype=np.int32) % 2, ("a", "b"))
    options["network"] = "dense 64, relu, dense 1"
    lanewise.train(noise, epochs=30, augment="none", validation_fraction=0.3, **options)
    assert notes[-1].endswith('the network overfits. Try --augment auto (augment="auto").')
