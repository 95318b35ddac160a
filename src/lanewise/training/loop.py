"""The training loop.

    for each epoch:
        shuffle the images
        for each chunk of steps (one native call, about a tenth of a second):
            learn from it
            tell how it goes
        evaluate on the validation images, keep the weights if they are the best so far (choosing.py)

Random numbers are counter-based: the order of an epoch depends on (seed, epoch), the augmentation of an image on
(seed, epoch, image), and neither on threads or on how steps are cut into chunks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.data.images import Pixels
from lanewise.engine.inference import Inference
from lanewise.engine.parameters import Floats
from lanewise.engine.trainer import Steps, Trainer
from lanewise.errors import LanewiseError
from lanewise.interrupts import attend, defer
from lanewise.training.best_weights import Choice, Verdict
from lanewise.training.learning_rate import COOLING, Cooling, Schedule

CHUNK_SECONDS = 0.1
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Progress:
    """How training goes, several times a second.

    Attributes
    ----------
    epoch : epochs begun so far, from 1
    epochs : planned, an estimate where a budget of time was given
    fraction : of the work done, 0 to 1
    loss, accuracy : over the images learned from so far in this epoch
    validation_loss, validation_accuracy : of this epoch; None before it is done, and where it was not evaluated
    learning_rate : of the last step
    images_per_second : learned from, since the start
    seconds, seconds_left : since the start, and still to go (an estimate)
    epoch_done : whether this is the last report of its epoch
    fold, folds : of cross-validation, from 1, and `folds` + 1 for the final model; 0 without folds
    """

    epoch: int
    epochs: float
    fraction: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    images_per_second: float
    seconds: float
    seconds_left: float
    epoch_done: bool
    fold: int = 0
    folds: int = 0


@short
@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Images to evaluate by: those at `indices` of `pixels`, each with its weight."""

    pixels: Pixels
    labels: NDArray[np.int32]
    indices: Indices
    weights: Floats


@short
@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What to learn from, and for how long.

    Attributes
    ----------
    pixels, labels : all images at hand
    indices : those to learn from
    weights : (len(pixels),) float32, each image's weight, 1 on average
    validation : images to stop by, or None
    batch_size, seed : int
    learning_rate : the peak
    schedule : share of the peak over the course of training
    epochs : int, or None if `budget` says how long
    budget : seconds from `started` on, or None
    most_epochs : int
        The budget ends after these many epochs at the latest.
    patience : epochs without improvement after which to stop, or None; under a budget, half of all if that is more
    started : time.perf_counter() when the budget began to run
    start : what the weights to start from get on the validation images, if they are a candidate for the best
    """

    pixels: Pixels
    labels: NDArray[np.int32]
    indices: Indices
    weights: Floats
    validation: Held | None
    batch_size: int
    seed: int
    learning_rate: float
    schedule: Schedule
    epochs: int | None
    budget: float | None
    most_epochs: int
    patience: int | None
    started: float
    start: Verdict | None = None


@short
@dataclass(slots=True)
class Learned:
    """What came of it: the best weights (flat), the history, and whether it was cut short."""

    vector: Floats
    history: list[dict[str, float | int | None]] = field(default_factory=list)
    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    stopped_early: bool = False
    best_epoch: int | None = None
    """After which the weights are the best, 0 for those that training started from; None where nothing was
    evaluated."""
    candidates: float = 1.0
    """Among how many independent candidates the validation images chose."""


class DivergedError(LanewiseError):
    """The loss became infinite or no number at all."""


@dataclass(slots=True)
class _Epoch:
    """Sums over the images learned from in one epoch."""

    number: int
    order: Indices
    loss: float = 0.0
    correct: float = 0.0
    images: int = 0


def learn(
    trainer: Trainer, evaluate: Inference | None, lesson: Lesson, progress: Callable[[Progress], None]
) -> Learned:
    """Train until the epochs or the budget are used up, or early stopping or the user ends it.

    Parameters
    ----------
    trainer : Trainer
        Its parameters are where training starts.
    evaluate : Inference
        Shares the trainer's parameters; None without validation.
    progress : callable
        Told how it goes; a KeyboardInterrupt raised anywhere ends training with the best weights so far.

    Raises
    ------
    DivergedError
        When the loss is no longer finite.
    """
    return _Loop(trainer, evaluate, lesson, progress).run()


class _Loop:
    def __init__(
        self, trainer: Trainer, evaluate: Inference | None, lesson: Lesson, progress: Callable[[Progress], None]
    ) -> None:
        self.trainer, self.evaluate, self.lesson, self.progress = trainer, evaluate, lesson, progress
        self.steps_per_epoch = -(-len(lesson.indices) // lesson.batch_size)
        self.done = Learned(trainer.vector.copy())
        self.begun = time.perf_counter()
        self.choice = Choice(lesson.start)
        self.validation: tuple[float, float] | None = None
        self.since_evaluation = 0  # images learned from since the last evaluation
        self.rate = 0.0
        self.epoch: _Epoch | None = None  # the one that is going on
        self.cooling: Cooling | None = None

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.begun

    def total_steps(self) -> float:
        """All steps there will be; under a budget, what the measured speed allows."""
        end = math.inf if self.cooling is None else self.cooling.end
        return min(self.planned_steps(), end)

    def planned_steps(self) -> float:
        """All steps that the epochs or the budget allow."""
        lesson, steps = self.lesson, self.done.steps
        if lesson.epochs is not None:
            return lesson.epochs * self.steps_per_epoch
        assert lesson.budget is not None
        left = lesson.budget - (time.perf_counter() - lesson.started)
        most = float(lesson.most_epochs * self.steps_per_epoch)
        if steps == 0:
            return most
        return min(most, steps + max(0.0, left - 0.02) * steps / self.seconds)

    def more(self) -> bool:
        """Whether there is a step to go."""
        return self.total_steps() - self.done.steps >= 0.5

    def run(self) -> Learned:
        try:
            attend()
            while self.more():
                self.one_epoch()
            defer()
        except KeyboardInterrupt:
            self.done.interrupted = True
            if self.epoch is not None and self.choice.best_epoch > len(self.done.history):
                # It came between the evaluation that chose these weights and the record of it.
                self.done.vector = self.trainer.vector.copy()
                self.record(self.epoch)
        held = self.lesson.validation
        if (
            not self.done.interrupted
            and held is not None
            and self.since_evaluation == 0
            and self.choice.last_will_do(len(held.indices))
        ):
            self.choice.best_epoch = self.done.history[-1]["epoch"]  # type: ignore[assignment]
            self.done.vector = self.trainer.vector.copy()
        if self.choice.right or self.lesson.start is not None:
            self.done.best_epoch = self.choice.best_epoch
            self.done.candidates = self.choice.effective()
        else:
            self.done.vector = self.trainer.vector.copy()
        self.done.seconds = self.seconds
        return self.done

    def one_epoch(self) -> None:
        lesson = self.lesson
        number = self.done.steps // self.steps_per_epoch
        random = np.random.Generator(np.random.Philox(key=[lesson.seed % 2**64, number]))
        self.epoch = epoch = _Epoch(number, lesson.indices[_permutation(random, len(lesson.indices))])
        step = 0
        while step < self.steps_per_epoch:
            total = self.total_steps()
            if not self.more():
                break
            count = min(self.chunk(), self.steps_per_epoch - step, max(1, round(min(total, 1e9)) - self.done.steps))
            self.learn_chunk(epoch, step, count, total)
            step += count
            if step < self.steps_per_epoch and self.more():
                self.tell(epoch, epoch_done=False)
        if epoch.images == 0:  # the budget ran out between two epochs
            return
        held_out = len(self.lesson.validation.indices) if self.lesson.validation else 0
        if self.evaluate is not None and (not self.more() or self.since_evaluation >= 3 * held_out):
            self.evaluate_now(epoch)
        self.record(epoch)
        self.tell(epoch, epoch_done=True)

    def rate_at(self, step: int, total: float) -> float:
        """The learning rate of a step, of so many."""
        if self.cooling is not None:
            return self.cooling.rate_at(step)
        return self.lesson.learning_rate * self.lesson.schedule(step / total)

    def chunk(self) -> int:
        """Steps of the next native call."""
        return max(1, int(CHUNK_SECONDS * self.done.steps / self.seconds)) if self.done.steps else 1

    def learn_chunk(self, epoch: _Epoch, step: int, count: int, total: float) -> None:
        lesson, batch = self.lesson, self.lesson.batch_size
        images = np.full(count * batch, -1, np.int32)
        part = epoch.order[step * batch : (step + count) * batch]
        images[: len(part)] = part
        present = images >= 0
        weights = np.where(present, lesson.weights[images] / np.float32(batch), np.float32(0))
        labels = np.where(present, lesson.labels[images], 0)
        rates = np.array([self.rate_at(self.done.steps + n, total) for n in range(count)], np.float32)
        losses, correct = self.trainer.run(
            lesson.pixels,
            Steps(
                images.reshape(count, batch),
                labels.astype(np.int32).reshape(count, batch),
                weights.astype(np.float32).reshape(count, batch),
                rates,
                np.tile(np.array([lesson.seed % 2**31, epoch.number], np.int32), (count, 1)),
            ),
        )
        epoch.loss += float(losses.reshape(-1)[present].sum(dtype=np.float64))
        epoch.correct += float(correct.reshape(-1)[present].sum(dtype=np.float64))
        epoch.images += len(part)
        self.rate = float(rates[-1])
        self.done.steps += count
        self.done.images += len(part)
        self.since_evaluation += len(part)
        if not np.isfinite(epoch.loss):
            raise DivergedError(
                f"training diverged in epoch {epoch.number + 1}: the loss is no longer finite at a learning rate of "
                f"{self.rate:.3g}; choose a smaller one"
            )

    def evaluate_now(self, epoch: _Epoch) -> None:
        """Evaluate on the validation images; keep the weights if the smoothed curve says that they are the best.

        What is told is the plain figure; what decides counts each image by its weight, as the loss does.
        """
        held = self.lesson.validation
        assert held is not None
        assert self.evaluate is not None
        outputs = self.evaluate.run(held.pixels, held.indices.astype(np.int32))
        labels = held.labels[held.indices]
        self.validation, self.since_evaluation = evaluated(outputs, labels), 0
        loss, accuracy = evaluated(outputs, labels, held.weights[held.indices])
        if self.choice.add(epoch.number + 1, accuracy, loss, right(outputs, labels)):
            self.done.vector = self.trainer.vector.copy()
        patience = self.lesson.patience
        if patience is not None and self.lesson.epochs is None:
            patience = max(patience, int(self.total_steps() / self.steps_per_epoch / 2))
        epochs = epoch.number + 1
        if patience is not None and self.cooling is None and epochs - self.choice.improved_epoch >= patience:
            steps = math.ceil(COOLING * epochs) * self.steps_per_epoch
            self.cooling = Cooling(self.done.steps, steps, self.rate)
            self.done.stopped_early = self.more()

    def record(self, epoch: _Epoch) -> None:
        validation = self.validation if self.since_evaluation == 0 else None
        self.done.history.append(
            {
                "epoch": epoch.number + 1,
                "loss": epoch.loss / epoch.images,
                "accuracy": epoch.correct / epoch.images,
                "validation_loss": validation[0] if validation else None,
                "validation_accuracy": validation[1] if validation else None,
                "learning_rate": self.rate,
                "seconds": round(self.seconds, 4),
                "images": self.done.images,
            }
        )

    def tell(self, epoch: _Epoch, *, epoch_done: bool) -> None:
        seconds, total = self.seconds, self.total_steps()
        validation = self.validation if epoch_done and self.since_evaluation == 0 else None
        fraction = min(1.0, self.done.steps / max(total, 1))
        self.progress(
            Progress(
                epoch=epoch.number + 1,
                epochs=total / self.steps_per_epoch,
                fraction=fraction,
                loss=epoch.loss / epoch.images,
                accuracy=epoch.correct / epoch.images,
                validation_loss=validation[0] if validation else None,
                validation_accuracy=validation[1] if validation else None,
                learning_rate=self.rate,
                images_per_second=self.done.images / seconds,
                seconds=seconds,
                seconds_left=seconds * (1 - fraction) / max(fraction, 1e-9),
                epoch_done=epoch_done,
            )
        )


def evaluated(outputs: Floats, labels: NDArray[np.int32], weights: Floats | None = None) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of probabilities (N, classes), or (N, 1) for two classes; weighted if told."""
    if weights is not None and not weights.any():
        weights = None  # of no class that was learned: count all alike
    chosen = _of_all_classes(outputs)[np.arange(len(labels)), labels]
    losses = -np.log(np.maximum(chosen, 1e-12).astype(np.float64))
    return float(np.average(losses, weights=weights)), float(np.average(right(outputs, labels), weights=weights))


def right(outputs: Floats, labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether the most probable class is the label, for each image."""
    recognised: NDArray[np.bool_] = _of_all_classes(outputs).argmax(axis=1) == labels
    return recognised


def _of_all_classes(outputs: Floats) -> Floats:
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def _permutation(random: np.random.Generator, count: int) -> Indices:
    """A random order from raw bits alone: what NumPy derives from them may change with its version."""
    bits = random.bit_generator.random_raw(count)
    return np.argsort(np.asarray(bits, np.uint64), kind="stable")
