"""Choosing weights by a smoothed validation curve."""

import numpy as np
import pytest

from lanewise.training.best_weights import Choice

NONE = np.zeros(40, bool)


def best_of(accuracies, start=None):
    choice = Choice(start)
    for epoch, accuracy in enumerate(accuracies, 1):
        choice.add(epoch, accuracy, 1 - accuracy, NONE)
    return choice.best_epoch


def test_one_lucky_evaluation_is_not_chosen():
    assert best_of([0.5, 0.5, 0.8, 0.5, 0.6, 0.6, 0.65, 0.65, 0.66, 0.66]) == 10


def test_the_best_of_a_curve_that_falls_again_is_chosen():
    assert best_of([0.5, 0.7, 0.8, 0.85, 0.85, 0.85, 0.4, 0.3, 0.3]) == 6


def test_no_weights_that_do_worse_than_the_start_are_chosen():
    assert best_of([0.95, 0.85, 0.89], start=(0.9, -0.1)) == 1
    assert best_of([0.3, 0.85, 0.89], start=(0.9, -0.1)) == 0


def test_candidates_are_counted_as_if_they_were_independent():
    random = np.random.default_rng(0)
    alike, others = Choice(), Choice()
    right = random.random(1000) < 0.7
    for epoch in range(20):
        alike.add(epoch, 0.7, 0.3, right)
        others.add(epoch, 0.7, 0.3, random.random(1000) < 0.7)
    assert alike.effective() == pytest.approx(1)
    assert 18 < others.effective() <= 20
    assert Choice().effective() == 1


@pytest.mark.parametrize(("images", "will_do"), [(40, True), (10_000, False)])
def test_the_last_weights_do_unless_the_best_are_better_for_sure(images, will_do):
    choice = Choice()
    for epoch, accuracy in enumerate([0.8] * 10 + [0.78] * 10, 1):
        choice.add(epoch, accuracy, 1 - accuracy, NONE)
    assert choice.last_will_do(images) == will_do
    ruined = Choice(start=(0.9, -0.1))
    ruined.add(1, 0.89, 0.1, NONE)
    assert not ruined.last_will_do(40)
