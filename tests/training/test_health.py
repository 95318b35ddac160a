"""Training that dies is noticed, goes back and on more slowly, and says so."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import lanewise
from lanewise.data.load import load
from lanewise.engine.trainer import Optimizer
from lanewise.errors import LanewiseWarning
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.text import parse
from lanewise.notes import Caution
from lanewise.preprocessing import Preprocessing
from lanewise.training.checkpoint_file import packed, unpacked
from lanewise.training.health import Epoch, Guess, Health
from lanewise.training.learning_rate import SCHEDULES
from lanewise.training.loop import DivergedError, Loop
from lanewise.training.optimizers import LEARNING_RATES
from lanewise.training.run import RETRIES, Engine
from lanewise.training.state import TrainingState
from lanewise.training.task import Progress, TrainingTask, Validation

# Judging an epoch


def test_the_guess_is_the_best_answer_that_is_the_same_for_all_images() -> None:
    """No other answer has a smaller loss by the weights of images."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 200, p=[0.7, 0.2, 0.1]).astype(np.int32)
    weights = np.float32([0.5, 2, 4])[labels]
    for smoothing in (0.0, 0.2):
        targets = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
        best = np.average(targets, axis=0, weights=weights)

        def loss(answer: np.ndarray, targets: np.ndarray = targets) -> float:
            return float(np.average(-(targets * np.log(answer)).sum(axis=1), weights=weights))

        for _ in range(20):
            other = np.maximum(best + rng.normal(0, 0.02, 3), 1e-3)
            assert loss(other / other.sum()) >= loss(best)
        guess = Guess.of(labels, weights, 3, smoothing)
        assert guess.loss == pytest.approx(loss(best))
        assert guess.accuracy == pytest.approx(np.average(np.eye(3)[labels], axis=0, weights=weights).max())


def test_a_class_without_weight_is_no_number() -> None:
    guess = Guess.of(np.int32([0, 1]), np.float32([1, 0]), 2, 0.0)
    assert (guess.loss, guess.accuracy) == (0, 1)


TEN = Guess(float(np.log(10)), 0.1)


@pytest.mark.parametrize(
    ("loss", "accuracy", "images", "like"),
    [
        (2.303, 0.1, 640, True),
        (2.29, 0.13, 10_000, True),  # a few outputs say a little: the network of 12 layers on CIFAR-10
        (np.nan, 0.1, 640, True),
        (9.0, 0.1, 640, True),
        (9.0, 0.4, 640, False),  # sure, and often wrong: it learns
        (2.1, 0.12, 640, False),
        (2.303, 0.2, 20, True),  # of few images, luck
        (2.303, 0.25, 640, False),
    ],
)
def test_like_guessing(loss: float, accuracy: float, images: int, like: bool) -> None:
    assert TEN.like(loss, accuracy, images) == like


def epoch(
    number: int, loss: float, accuracy: float, norm: float = 1.0, end: tuple[float, float] | None = None
) -> Epoch:
    """An epoch of 60 steps of 64 images, the last 15 of which may end otherwise."""
    steps = [(loss, accuracy)] * 45 + [end or (loss, accuracy)] * 15
    return Epoch(number, 0, 0, 3840, [a for a, _ in steps], [b for _, b in steps], [1.0] * 60, [norm] * 60)


def judged(*epochs: Epoch) -> list[str | None]:
    """What is said of epochs that follow one another."""
    health, said = Health(TEN), []
    for one in epochs:
        said.append(health.trouble(one, 600))
        if said[-1] is None:
            health.improved(one)
    return said


def test_a_loss_that_stays_at_that_of_guessing() -> None:
    first = epoch(0, 4.0, 0.1, end=(2.32, 0.1))
    assert judged(first, epoch(1, 2.31, 0.1))[0] is None
    said = judged(first, epoch(1, 2.31, 0.1))[1]
    assert said == "Training did not begin: after 2 epochs the loss is still that of guessing (2.31 of 2.3)"
    assert judged(first, epoch(1, 2.31, 0.1, end=(2.0, 0.2))) == [None, None], "it has just begun"
    slow = [epoch(n, 4.0 - 0.2 * n, 0.1) for n in range(9)]
    assert judged(*slow) == [None] * 9, "it still falls to the loss of guessing"
    assert [Health(TEN).trouble(one, 60, patient=False) is None for one in slow[:2]] == [True, False]
    assert judged(*slow, *[epoch(n, 2.4, 0.1) for n in range(9, 20)])[-1] is not None
    short = Epoch(5, 0, 0, 192, [2.31] * 3, [0.1] * 3, [1.0] * 3, [1.0] * 3)
    for total, epochs in ((300, 34), (120, 20), (10, 17)):
        health = Health(TEN)
        said_in = [n for n in range(1, 40) if health.trouble(short, total) is not None]
        assert said_in[0] == epochs, "few steps say little, but half of a short training says enough"


def test_rare_classes_may_take_longer_than_two_epochs() -> None:
    health = Health(Guess(0.06, 0.99))
    assert health.trouble(epoch(4, 0.06, 0.99), 600) is None


def test_a_collapse() -> None:
    good, bad = epoch(3, 1.0, 0.7), epoch(4, 1.4, 0.5, end=(2.31, 0.1))
    said = judged(good, bad)[1]
    assert said is not None
    assert said.startswith("Training collapsed in epoch 5: the accuracy on the training images fell from 70.0 % to")
    assert judged(good, epoch(4, 1.4, 0.5)) == [None, None], "worse, but alive"
    start = [epoch(n, 2.2, 0.2) for n in range(3)]
    assert judged(*start, epoch(3, 2.25, 0.15, end=(2.31, 0.1)), epoch(4, 1.9, 0.3)) == [None] * 5, "it only just began"
    assert judged(*start, *[epoch(n, 2.31, 0.1) for n in range(3, 6)])[-1] is not None


def test_an_explosion() -> None:
    said = judged(epoch(0, 2.0, 0.2), epoch(1, 8.0, 0.3, norm=150.0))[1]
    assert said == "The gradient exploded in epoch 2 (its norm is 150)"
    assert judged(epoch(0, 2.0, 0.2), epoch(1, 1.5, 0.3, norm=150.0)) == [None, None], "the loss falls all the same"
    assert judged(epoch(0, 8.0, 0.2, norm=np.inf))[0] is not None


def test_an_epoch_worth_going_back_to_is_alive_to_its_end() -> None:
    health = Health(TEN)
    assert health.improved(epoch(0, 1.5, 0.5))
    assert not health.improved(epoch(1, 1.4, 0.5, end=(2.31, 0.1)))
    assert not health.improved(epoch(2, 1.6, 0.5))
    assert health.improved(epoch(3, 1.3, 0.6))


# Going back


def loop_of(
    progress: Any = lambda now: None,
    say: Any = lambda note: None,
    *,
    retries: int = RETRIES,
    validation: bool = True,
    poison: Any = lambda loop, step: False,
    **task: Any,
) -> Loop:
    """A small network on 200 digits; `poison` says before which steps its weights are spoiled, which kills it."""
    images = load("digits").train
    assert images.labels is not None
    graph = build(parse("conv 4@3x3 same, relu, dense 10, softmax"), (1, 8, 8))
    weights = np.ones(len(images), np.float32)
    held = Validation(images.pixels, images.labels, np.arange(200, 260), weights) if validation else None
    options: dict[str, Any] = {"epochs": 8, "budget": None, "most_epochs": 8, "patience": None} | task
    one = TrainingTask(
        pixels=images.pixels,
        labels=images.labels,
        indices=np.arange(200),
        weights=weights,
        validation=held,
        batch_size=16,
        seed=3,
        learning_rate=0.02,
        schedule=SCHEDULES["one-cycle"],
        started=time.perf_counter(),
        retries=retries,
        **options,
    )
    engine = Engine(
        graph,
        Preprocessing(8, 8, 1, str(images.pixels.dtype), scale=(1 / 16,), offset=(0.0,)),
        Optimizer("sgd", momentum=0.9),
        0.0,
        None,
        True,
        1,
    )
    trainer = engine.trainer(initial_parameters(graph, 1), one.batch_size)
    loop = Loop(trainer, engine.inference(trainer.vector) if validation else None, one, progress, say)
    run = trainer.run

    def spoiling(pixels: Any, steps: Any) -> Any:
        if poison(loop, loop.result.steps):
            trainer.vector[:] = 0  # no weight has a gradient any more, but for the last biases
        return run(pixels, steps)

    trainer.run = spoiling  # type: ignore[method-assign]
    return loop


STEPS = 13  # of an epoch


def once_in_epoch(number: int) -> Any:
    return lambda loop, step: not loop.setbacks and step // STEPS == number - 1


@pytest.fixture(autouse=True)
def _one_step_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanewise.training.loop.CHUNK_SECONDS", 0.0)


@pytest.mark.parametrize("validation", [True, False], ids=["validation", "none"])
@pytest.mark.parametrize("dies_in", [4, 8], ids=["in the middle", "in the last epoch"])
def test_training_that_collapses_goes_back_to_its_best_epoch(validation: bool, dies_in: int) -> None:
    said: list[str] = []
    ends: dict[int, bytes] = {}

    def keep(now: Progress) -> None:
        if now.epoch_done and not loop.setbacks:
            ends[now.epoch] = loop.trainer.vector.tobytes()

    loop = loop_of(keep, said.append, validation=validation, poison=once_in_epoch(dies_in))
    gone_back_to: list[bytes] = []
    start_from = loop.trainer.start_from

    def watched(vector: Any, averaged: Any) -> None:
        gone_back_to.append(vector.tobytes())
        start_from(vector, averaged)

    loop.trainer.start_from = watched  # type: ignore[method-assign]
    result = loop.run()
    (setback,) = result.setbacks
    back = setback["back_to"]
    assert isinstance(back, int)
    assert (setback["epoch"], back) == (dies_in, dies_in - 1)
    assert gone_back_to == [ends[back]]
    assert setback["learning_rate"] == result.learning_rate == pytest.approx(0.02 / 3)
    (note,) = said
    assert isinstance(note, Caution)
    assert f"collapsed in epoch {dies_in}" in note
    assert f"going back to epoch {back}, and on with a learning rate of 0.00667" in note
    assert [one["epoch"] for one in result.history] == list(range(1, 9))
    assert float(result.history[-1]["accuracy"] or 0) > 0.8
    assert result.vector.any()


def untimed(result: Any) -> Any:
    return [{**one, "seconds": 0} for one in result.history], result.setbacks, result.best_epoch, result.steps


@pytest.mark.parametrize("validation", [True, False], ids=["validation", "none"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_restored_loop_goes_back_with_the_same_bits(when: str, validation: bool) -> None:
    """A state holds where to go back to, and how slowly it goes after that."""
    whole = loop_of(poison=once_in_epoch(4), validation=validation).run()
    kept: list[TrainingState] = []

    def stop(now: Progress) -> None:
        if first.result.steps == 3 * STEPS + 5 and len(first.setbacks) == (when == "after"):
            kept.append(first.state())
            raise KeyboardInterrupt

    first = loop_of(stop, poison=once_in_epoch(4), validation=validation)
    first.run()
    second = loop_of(poison=once_in_epoch(4), validation=validation)
    _, state = unpacked(b"".join(packed({}, kept[0])))  # as a checkpoint keeps it
    second.restore(state)
    result = second.run()
    assert result.vector.tobytes() == whole.vector.tobytes()
    assert len(result.setbacks) == 1
    assert untimed(result) == untimed(whole)


def always_after(number: int) -> Any:
    return lambda loop, step: step // STEPS >= number


@pytest.mark.parametrize("validation", [True, False], ids=["validation", "none"])
def test_training_that_always_collapses_ends_with_its_best_epoch(validation: bool) -> None:
    said: list[str] = []
    result = loop_of(say=said.append, validation=validation, poison=always_after(3)).run()
    assert len(result.setbacks) == RETRIES + 1
    assert {one["back_to"] for one in result.setbacks} == {0, 3}, "once to the start"
    assert "whose weights are the result. What may help: a learning rate of 0.00667; batchnorm" in said[-1]
    assert len(result.history) == 3
    assert result.vector.any()
    assert not result.interrupted


def test_training_that_never_begins_ends_at_the_first_rate() -> None:
    said: list[str] = []
    result = loop_of(say=said.append, poison=lambda loop, step: True, epochs=20, most_epochs=20).run()
    rates = [one["learning_rate"] for one in result.setbacks]
    assert rates == pytest.approx([0.02 / 3, 0.02 / 9, 0.02 / 27, 0.02])
    assert "Training did not begin" in said[0]
    assert "starting again with a learning rate of 0.00667." in said[0]
    assert "nor did it at any smaller learning rate, so it starts again with 0.02." in said[-1]
    assert len(result.history) == 20


@pytest.mark.parametrize("validation", [True, False], ids=["validation", "none"])
def test_a_rate_that_was_given_stays_and_the_user_is_told(validation: bool) -> None:
    said: list[str] = []
    result = loop_of(say=said.append, retries=0, validation=validation, poison=always_after(3)).run()
    (note,) = said
    assert isinstance(note, Caution)
    assert "collapsed in epoch 4" in note
    assert "at the learning rate of 0.02 that was given. What may help: a learning rate of 0.00667;" in note
    assert result.learning_rate == 0.02
    assert len(result.history) == 8
    assert result.vector.any(), "the best epoch's weights, not the dead ones"
    (setback,) = result.setbacks
    assert setback["back_to"] is None


def test_training_that_diverges_goes_back_to_its_best_epoch() -> None:
    def run(pixels: Any, steps: Any) -> Any:
        losses, correct = plain(pixels, steps)
        if loop.result.steps == 3 * STEPS + 5 and not loop.setbacks:
            losses[-1] = np.inf
        return losses, correct

    said: list[str] = []
    loop = loop_of(say=said.append)
    plain, loop.trainer.run = loop.trainer.run, run  # type: ignore[method-assign]
    result = loop.run()
    assert said == ["Training diverged; going back to epoch 3, and on with a learning rate of 0.00667."]
    assert len(result.history) == 8
    given = loop_of(retries=0)
    loop = given
    plain, given.trainer.run = given.trainer.run, run  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match="in epoch 4"):
        given.run()


@pytest.mark.parametrize("validation", [True, False], ids=["validation", "none"])
def test_an_interrupt_in_a_dead_epoch_gives_the_best_one(validation: bool) -> None:
    def stop(now: Progress) -> None:
        if loop.result.steps == 4 * STEPS - 1:
            raise KeyboardInterrupt

    loop = loop_of(stop, validation=validation, poison=once_in_epoch(4))
    result = loop.run()
    assert result.interrupted
    assert not loop.trainer.vector.all()
    assert np.count_nonzero(result.vector) > np.count_nonzero(loop.trainer.vector)


def test_a_budget_is_kept_when_training_goes_back() -> None:
    began = time.perf_counter()
    loop = loop_of(epochs=None, budget=0.6, most_epochs=10_000, poison=once_in_epoch(4), validation=False)
    result = loop.run()
    assert len(result.setbacks) == 1
    assert len(result.history) > 4
    assert time.perf_counter() - began < 6.0, "with room for a busy machine"
    assert float(result.history[-1]["accuracy"] or 0) > 0.8


def test_watching_changes_no_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = loop_of().run()
    monkeypatch.setattr(Health, "trouble", lambda *_, **__: None)
    assert watched.vector.tobytes() == loop_of(retries=0).run().vector.tobytes()
    assert not watched.setbacks


# Odd networks

ODD = {
    "deep and plain": "conv 8@3x3 same, relu, " * 12 + "max 2",
    "deep and narrow": "conv 3@3x3 same, relu, " * 6 + "max 2",
    "shallow and wide": "conv 96@3x3 same, relu, max 2",
    "large kernels": "conv 24@7x7 same, relu, max 2, conv 24@5x5 same, relu",
    "strides": "conv 12@3x3 stride 2 same, relu, conv 24@3x3 stride 2 same, relu",
    "tanh": "conv 12@3x3 same, tanh, max 2, conv 24@3x3 same, tanh, dense 40, tanh",
    "sigmoid in the middle": "conv 12@3x3 same, relu, max 2, dense 40, sigmoid",
    "depthwise": "conv 16@3x3 same, relu, conv 16@3x3 same groups 16, conv 24@1x1, relu, max 2",
    "concat": "concat(conv 8@1x1, relu | conv 8@3x3 same, relu | max 3 same stride 1), max 2, conv 16@3x3 same, relu",
    "residual without norms": "conv 12@3x3 same, relu, "
    + "residual(conv 12@3x3 same, relu, conv 12@3x3 same), relu, " * 4
    + "global average",
    "residual with norms": "conv 12@3x3 same nobias, batchnorm, relu, "
    + "residual(conv 12@3x3 same nobias, batchnorm, relu, conv 12@3x3 same nobias, batchnorm), relu, " * 3
    + "global average",
    "fully connected": "dense 200, relu, dense 200, relu, dense 200, relu",
}


@pytest.mark.parametrize("name", ODD)
def test_no_odd_network_is_returned_dead(name: str) -> None:
    said: list[str] = []
    model = lanewise.train("digits", network=f"{ODD[name]}, dense 10", epochs=15, folds=0, notes=said.append, threads=1)
    accuracy = model.history[(model.provenance["best_epoch"] or 15) - 1]["validation_accuracy"]
    assert accuracy is not None
    assert accuracy > 0.6, (accuracy, [note for note in said if isinstance(note, Caution)])


def test_the_model_and_its_user_know_of_a_setback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without clipping, twelve plain layers die at a rate like this."""
    monkeypatch.setitem(LEARNING_RATES, "sgd", 0.4)
    said: list[str] = []
    text = f"{ODD['deep and plain']}, dense 10"
    options: dict[str, Any] = {"epochs": 8, "folds": 0, "threads": 1, "gradient_clipping": 0, "optimizer": "sgd"}
    model = lanewise.train("digits", network=text, notes=said.append, **options)
    setbacks = model.provenance["setbacks"]
    assert setbacks[-1]["learning_rate"] == model.provenance["learning_rate"]
    assert sum(note.startswith("Training ") for note in said if isinstance(note, Caution)) == len(setbacks) > 0
    with pytest.warns(LanewiseWarning, match=r"at the learning rate of 0.2 that was given. What may help"):
        given = lanewise.train("digits", network=text, learning_rate=0.2, **options)
    assert given.provenance["learning_rate"] == 0.2
    assert given.provenance["gradient_clipping"] is None
