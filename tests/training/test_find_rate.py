"""The learning rate that is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lanewise
from lanewise.errors import OptionError
from lanewise.training import find_rate as finding
from lanewise.training.find_rate import HIGH, LOW, PART, STEPS, RateCurve, find_rate
from lanewise.training.optimizers import LEARNING_RATES
from lanewise.training.options import TrainOptions
from tests.training.test_health import ODD, loop_of


def train(digits: Any, said: list[str], **options: Any) -> Any:
    kept: dict[str, Any] = {"epochs": 10, "folds": 0, "threads": 1, "notes": said.append, "learning_rate": "find"}
    return lanewise.train(digits, **kept | options)


def test_the_curve_is_the_same_for_any_number_of_threads_and_the_picked_rate_is_kept(digits: Any) -> None:
    said: list[str] = []
    one, two = (
        train(digits, said, network="conv 8@3x3 same, relu, max 2, dense 10", epochs=2, threads=threads)
        for threads in (1, 2)
    )
    curve = one.provenance["learning_rate_curve"]
    assert curve == two.provenance["learning_rate_curve"]
    rates = [rate for rate, _ in curve]
    assert len(rates) <= STEPS
    assert rates[0] == pytest.approx(LEARNING_RATES["sgd"] * LOW)
    assert rates == sorted(rates)
    assert rates[-1] <= LEARNING_RATES["sgd"] * HIGH * 1.001
    best = min(curve, key=lambda pair: pair[1])[0]
    expected = min(max(LEARNING_RATES["sgd"], best * PART), best)
    assert one.provenance["learning_rate"] == pytest.approx(expected, rel=0.02)
    (note, _) = (note for note in said if note.startswith("Learning rate found"))
    assert f"found: {one.provenance['learning_rate']:.3g}. Loss at rates from 0.0001 to" in note
    assert "█" in note
    assert "▁" in note
    for a, b in zip(one.parameters, two.parameters, strict=True):
        assert a.tobytes() == b.tobytes()
    other = train(digits, said, network="conv 8@3x3 same, relu, max 2, dense 10", epochs=2, seed=1)
    assert other.provenance["learning_rate_curve"] != curve


@pytest.mark.parametrize(("default", "picked"), [(0.5, 0.5), (3.0, 1.0), (0.01, 0.125)])
def test_the_default_is_kept_within_what_the_curve_speaks_for(default: float, picked: float) -> None:
    """At most the rate at which the loss is least, at least an eighth of it."""
    assert finding._curve([0.1, 1.0, 10.0], [2.0, 1.0, 3.0], default).picked == picked


@pytest.mark.parametrize("name", ["deep and plain", "sigmoid in the middle", "residual with norms", "fully connected"])
def test_networks_learn_at_the_rate_that_was_found(digits: Any, name: str) -> None:
    model = train(digits, [], network=f"{ODD[name]}, dense 10")
    assert model.history[-1]["validation_accuracy"] > 0.85
    assert len(model.provenance["setbacks"]) <= (name == "deep and plain")  # which begins by luck at any rate


@pytest.mark.parametrize("optimizer", list(LEARNING_RATES))
def test_the_search_leaves_the_weights_alone(optimizer: str, digits: Any) -> None:
    found = train(digits, [], network="dense 10", epochs=3, optimizer=optimizer)
    again = train(
        digits, [], network="dense 10", epochs=3, optimizer=optimizer, learning_rate=found.provenance["learning_rate"]
    )
    for a, b in zip(found.parameters, again.parameters, strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_loss_that_is_no_number_ends_the_search() -> None:
    """The steps until then make the curve, and where there are none the smallest rate is taken."""
    loop = loop_of()

    class Spoiled:
        bad = 0

        def trainer(self, parameters: Any, batch_size: int) -> Any:
            trainer, run = loop.trainer, loop.trainer.run

            def spoiling(pixels: Any, steps: Any) -> Any:
                losses, correct = run(pixels, steps)
                self.bad -= len(losses)
                if self.bad < 0:
                    losses[self.bad :] = np.nan
                return losses, correct

            trainer.run = spoiling  # type: ignore[method-assign]
            return trainer

    engine = Spoiled()
    for bad in (25, 0):
        engine.bad = bad
        curve = find_rate(engine, [], loop.task)
        assert len(curve.rates) == max(bad, 1)
        assert curve.rates[0] * PART <= curve.picked <= curve.rates[-1] * 1.01


def test_a_flat_curve_can_be_told() -> None:
    assert "Learning rate found: 0.1." in RateCurve((0.1,), (2.0,), 0.1).told()


def test_values() -> None:
    with pytest.raises(OptionError, match="the learning rate must be above 0, or \"find\", not 'seek'"):
        TrainOptions(learning_rate="seek")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="above 0"):
        TrainOptions(learning_rate=-1)


def test_a_new_last_layer_has_a_rate_of_its_own(start: Any, high: Any) -> None:
    with pytest.raises(OptionError, match="leave it out"):
        train(high, [], start=start)
