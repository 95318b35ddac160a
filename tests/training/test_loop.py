"""The loop stops and goes on, in another loop, as if it had never stopped."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from lanewise.data.load import load
from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.text import parse
from lanewise.preprocessing import Preprocessing
from lanewise.training.learning_rate import one_cycle
from lanewise.training.loop import Loop, evaluated
from lanewise.training.run import Engine
from lanewise.training.state import TrainingState
from lanewise.training.task import Progress, TrainingTask, Validation, ranked


def loop(optimizer: str, progress: Any, ema: float = 0.0) -> Loop:
    images = load("digits").train
    assert images.labels is not None
    graph = build(parse("conv 4@3x3 same, relu, dropout 0.2, dense 10, softmax"), (1, 8, 8))
    weights = np.ones(len(images), np.float32)
    task = TrainingTask(
        pixels=images.pixels,
        labels=images.labels,
        indices=np.arange(200),
        weights=weights,
        validation=Validation(images.pixels, images.labels, np.arange(200, 260), weights),
        batch_size=32,
        seed=3,
        learning_rate=0.01,
        schedule=one_cycle,
        epochs=4,
        budget=None,
        most_epochs=4,
        patience=2,
        started=time.perf_counter(),
    )
    engine = Engine(
        graph,
        Preprocessing(8, 8, 1, str(images.pixels.dtype), scale=(1 / 16,), offset=(0.0,)),
        Optimizer(optimizer, momentum=0.9, weight_decay=0.01, ema=ema),
        0.0,
        None,
        True,
        1,
    )
    trainer = engine.trainer(initial_parameters(graph, 1), task.batch_size)
    return Loop(trainer, engine.inference(trainer.averaged), task, progress)


def test_the_rates_of_steps_warm_up_from_a_tenth_over_the_first_quarter(monkeypatch):
    """As they reach the engine; training that went back takes its share of them."""
    taken: list[np.ndarray] = []
    run = Trainer.run
    monkeypatch.setattr(
        Trainer, "run", lambda self, x, steps: taken.append(steps.learning_rates) or run(self, x, steps)
    )
    whole = loop("sgd", lambda now: None)
    whole.share = 0.5
    whole.run()
    rates, steps = np.concatenate(taken), 4 * 7
    warm = steps // 4
    np.testing.assert_allclose(rates[: warm + 1], 0.005 * np.linspace(0.1, 1, warm + 1), rtol=1e-6)
    assert len(rates) == steps
    assert (np.diff(rates[warm:]) < 0).all()
    assert rates[-1] < 0.005 * 0.02


@pytest.mark.parametrize("most", [5, 2**64], ids=["many are equal", "random"])
def test_the_order_of_keys_is_that_of_a_stable_sort(most: int) -> None:
    """Whatever NumPy's fastest sort does with equal ones, on any processor."""
    keys = np.random.default_rng(0).integers(0, most, 5000, np.uint64)
    np.testing.assert_array_equal(ranked(keys), np.argsort(keys, kind="stable"))


def test_batches_hold_the_images_in_their_order() -> None:
    task = loop("sgd", lambda now: None).task
    task.weights[:] = np.arange(len(task.weights))
    part = np.arange(190, 150, -1)
    images, labels, weights = task.batches(part, 2)
    assert images.reshape(-1).tolist() == [*part, *24 * [-1]]
    assert labels.reshape(-1).tolist() == [*task.labels[part], *24 * [0]]
    assert weights.reshape(-1).tolist() == [*(part / 32), *24 * [0]]
    assert [array.dtype for array in (images, labels, weights)] == [np.int32, np.int32, np.float32]


@pytest.mark.parametrize(("optimizer", "ema"), [("sgd", 0.0), ("adamw", 0.9)])
@pytest.mark.parametrize("steps", [3, 7, 17], ids=["in an epoch", "between two", "in the third"])
def test_a_restored_loop_gives_the_same_bits(monkeypatch, optimizer, ema, steps):
    monkeypatch.setattr("lanewise.training.loop.CHUNK_SECONDS", 0.0)  # a step a call
    whole = loop(optimizer, lambda now: None, ema).run()
    kept: list[TrainingState] = []

    def stop(now: Progress) -> None:
        if first.result.steps == steps:
            kept.append(first.state())
            raise KeyboardInterrupt

    first = loop(optimizer, stop, ema)
    first.run()
    second = loop(optimizer, lambda now: None, ema)
    second.restore(kept[0])
    result = second.run()
    assert result.vector.tobytes() == whole.vector.tobytes()
    assert (result.steps, result.images, result.best_epoch) == (whole.steps, whole.images, whole.best_epoch)
    untimed = [[{**one, "seconds": 0} for one in history] for history in (result.history, whole.history)]
    assert untimed[0] == untimed[1]
    assert kept[0].result.steps == steps  # the state is a copy


def test_the_moving_average_is_evaluated_and_returned():
    one = loop("sgd", lambda now: None, ema=0.95)
    result = one.run()
    assert result.vector.tobytes() == one.trainer.averaged.tobytes() != one.trainer.vector.tobytes()
    validation = one.task.validation
    assert one.inference is not None
    outputs = one.inference.run(validation.pixels, validation.indices.astype(np.int32))
    assert evaluated(outputs, validation.targets)[1] == result.history[-1]["validation_accuracy"]
