"""The training loop.

    for each epoch:
        shuffle the images
        for each chunk of steps (one native call, about a tenth of a second):
            train on it
            report progress
        if training has died, go back to the best epoch, or to the start, with a smaller rate (health.py)
        evaluate on the validation set, keep the weights if they are the best so far (best_weights.py)

Random numbers are counter-based: the order of an epoch depends on (seed, epoch), the augmentation of an image on
(seed, epoch, image), and neither on threads or on how steps are cut into chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.engine.parameters import Floats
from lanewise.engine.trainer import Steps, Trainer
from lanewise.errors import LanewiseError
from lanewise.interrupts import defer
from lanewise.network.channelwise import BatchNorm
from lanewise.notes import Caution, Say, unheard
from lanewise.training.best_weights import Choice
from lanewise.training.checkpoint import Keeper
from lanewise.training.clock import Clock
from lanewise.training.frequencies import Evaluates
from lanewise.training.health import Epoch, Guess, Health
from lanewise.training.learning_rate import COOLING, Cooling
from lanewise.training.optimizers import LEARNING_RATES
from lanewise.training.state import CARRIED, GOES_BACK, Good, TrainingState
from lanewise.training.task import Indices, Progress, TrainingTask, TrainResult

CHUNK_SECONDS = 0.1
SLOWER = 3.0
"""Training that went back goes on at the learning rate divided by this."""


class DivergedError(LanewiseError):
    """The loss became infinite or no number at all."""


class Loop:
    """Trains until the epochs or the budget are used up, or early stopping or the user ends it.

    Parameters
    ----------
    trainer : Trainer
        Its parameters are where training starts.
    inference : Evaluates
        Shares the parameters that the trainer has to be evaluated; None without a validation set.
    task : TrainingTask
        What to train on, and for how long.
    progress : callable
        Told how it goes; a KeyboardInterrupt raised anywhere ends training with the best weights so far.
    say : callable, optional
        Given a note where training went wrong.
    keeper : Keeper, optional
        Keeps where training is, and has its clock.
    """

    def __init__(
        self,
        trainer: Trainer,
        inference: Evaluates | None,
        task: TrainingTask,
        progress: Callable[[Progress], None],
        say: Say = unheard,
        keeper: Keeper | None = None,
    ) -> None:
        self.say, self.keeper = say, keeper or Keeper()
        self.trainer, self.inference, self.task, self.progress = trainer, inference, task, progress
        self.steps_per_epoch = -(-len(task.indices) // task.batch_size)
        self.result = TrainResult(trainer.averaged.copy())
        self.clock = Clock(trainer.ranks, task.started, self.keeper.now)
        self.choice = Choice(task.start)
        self.validation: tuple[float, float] | None = None
        self.since_evaluation = 0
        self.rate = 0.0
        self.epoch: Epoch | None = None
        self.cooling: Cooling | None = None
        classes = max(2, *trainer.graph.output_shape)
        labels, weights = task.labels[task.indices], task.weights[task.indices]
        self.health = Health(Guess.of(labels, weights, classes, trainer.label_smoothing))
        self.share, self.dead, self.over = 1.0, False, False
        self.setbacks: list[dict[str, float | int | str | None]] = []
        self.first = self.good = self.as_it_is()

    def as_it_is(self) -> Good:
        """All that going back to this moment, between two epochs, needs; arrays are never changed in place."""
        kept = {name: copy(getattr(self, name)) for name in GOES_BACK}
        kept["choice"], kept["health"] = deepcopy(self.choice), deepcopy(self.health)
        kept["result"].history = list(self.result.history)
        newest = self.choice.best_epoch == len(self.result.history) and not self.since_evaluation
        averaged = self.result.vector if newest else self.trainer.averaged.copy()
        vector = self.trainer.vector.copy() if self.trainer.optimizer.ema else averaged
        return Good(vector, averaged, len(self.result.history), self.clock.training, kept)

    def state(self) -> TrainingState:
        """A copy of all that `restore` needs, between two steps: `progress` may ask for it."""
        carried = deepcopy({name: getattr(self, name) for name in CARRIED})
        carried["result"].seconds = self.clock.training
        return TrainingState(self.trainer.state(), **carried)

    def restore(self, state: TrainingState) -> None:
        """Go on where another loop of the same task was when it gave its `state`, bit for bit.

        Raises
        ------
        NetworkError
            The state is of another network or optimizer.
        """
        self.trainer.restore(state.engine)
        vars(self).update(deepcopy({name: getattr(state, name) for name in CARRIED}))
        self.clock.back_to(state.result.seconds)

    def total_steps(self) -> float:
        """All steps there will be; under a budget, what the measured speed allows."""
        end = math.inf if self.cooling is None else self.cooling.end
        return min(self.planned_steps(), end)

    def planned_steps(self) -> float:
        """All steps that the epochs or the budget allow."""
        task, steps = self.task, self.result.steps
        if task.epochs is not None:
            return task.epochs * self.steps_per_epoch
        assert task.budget is not None
        left = task.budget - self.clock.budget
        most = float(task.most_epochs * self.steps_per_epoch)
        if steps == 0:
            return most
        return min(most, steps + max(0.0, left - 0.02) * steps / self.clock.training)

    def more(self) -> bool:
        """Whether there is a step to go."""
        return not self.over and self.total_steps() - self.result.steps >= 0.5

    def run(self) -> TrainResult:
        """Train to the end.

        Raises
        ------
        DivergedError
            The loss is no longer finite.
        """
        known = self.keeper.begin(self)
        if known is not None:
            return known
        try:
            self.clock.attend()
            while self.more():
                try:
                    self.one_epoch()
                except DivergedError:
                    if not self.task.retries or not self.go_back("Training diverged"):
                        raise
                if self.more():
                    self.keeper.offer(self, epoch_done=True)
            defer()
        except KeyboardInterrupt:
            if self.clock.mine_alone():
                raise
            self.result.interrupted = True
            if self.epoch is not None and self.choice.best_epoch > len(self.result.history):
                # It came between the evaluation that chose these weights and the record of it.
                self.result.vector = self.trainer.averaged.copy()
                self.record(self.epoch)
        self.settle()
        self.result.seconds = self.clock.training
        if not self.result.interrupted:
            self.keeper.finish(self)
        return self.result

    def settle(self) -> None:
        """Decide which weights are the result."""
        validation = self.task.validation
        if (
            not self.result.interrupted
            and validation is not None
            and self.since_evaluation == 0
            and self.choice.last_will_do(len(validation.indices))
        ):
            self.choice.best_epoch = self.result.history[-1]["epoch"]  # type: ignore[assignment]
            self.result.vector = self.trainer.averaged.copy()
        if self.choice.right or self.task.start is not None:
            self.result.best_epoch = self.choice.best_epoch
            self.result.candidates = self.choice.effective()
        elif self.good.epochs and self.ends_dead():
            self.result.vector = self.good.averaged
        else:
            self.result.vector = self.trainer.averaged.copy()
        self.result.learning_rate = self.task.learning_rate * self.share
        self.result.setbacks = self.setbacks

    def ends_dead(self) -> bool:
        """Whether training is dead where it ends, be it in the middle of an epoch."""
        if self.epoch is None or not self.epoch.images:
            return self.dead
        return self.health.trouble(self.epoch, self.total_steps()) is not None

    def go_back(self, why: str) -> bool:
        """Go back to the best epoch, or to the start, and on from there with a smaller rate; whether that was done.

        After the best epoch, the start is next. Where no smaller rate was any better, training ends with the best
        epoch; if there is none, it goes on from the start at the first rate. Where the rate was given, it goes on as it
        is. The user hears of all that.

        Parameters
        ----------
        why : str
            What went wrong, in a sentence.
        """
        task, tried = self.task, len(self.setbacks)
        again = tried > 0 and self.setbacks[-1]["back_to"] == self.good.epochs and tried < task.retries
        good = self.first if again else self.good
        asked, number = task.learning_rate, self.epoch.number + 1 if self.epoch else 0
        if not task.retries:
            if not tried:
                self.setbacks.append({"epoch": number, "why": why, "back_to": None, "learning_rate": asked})
                self.say(Caution(f"{why}, at the learning rate of {asked:.3g} that was given. {self.remedy(asked)}"))
            return False
        if tried > task.retries:
            return False
        share = self.share / SLOWER
        if tried == task.retries:
            self.over = good.epochs > 0
            share = self.share if self.over else 1.0
        rate = asked * share
        if self.over:
            then = f"going back to epoch {good.epochs}, whose weights are the result. {self.remedy(asked)}"
        elif good.epochs:
            then = f"going back to epoch {good.epochs}, and on with a learning rate of {rate:.3g}."
        elif tried == task.retries:
            then = f"nor did it at any smaller learning rate, so it starts again with {rate:.3g}. {self.remedy(None)}"
        else:
            then = f"starting again with a learning rate of {rate:.3g}."
        self.say(Caution(f"{why}; {then}"))
        self.setbacks.append({"epoch": number, "why": why, "back_to": good.epochs, "learning_rate": rate})
        self.trainer.start_from(good.vector, good.averaged)
        vars(self).update(deepcopy(dict(good.carried)))
        self.share = share
        self.clock.back_to(good.seconds)
        return True

    def remedy(self, rate: float | None) -> str:
        """What would help, in a sentence; with another rate than this, if it is that."""
        layers = [node.layer for node in self.trainer.graph.nodes]
        low = LEARNING_RATES[self.trainer.optimizer.name]
        means = [] if rate is None else [f"a learning rate of {low if rate < low / 10 else rate / SLOWER:.3g}"]
        if not any(isinstance(layer, BatchNorm) for layer in layers):
            means.append("batchnorm behind each convolution")
        if math.isinf(self.trainer.optimizer.clip_norm):
            means.append("gradient clipping")
        means.append("fewer layers, or labels that the images can tell")
        return f"What may help: {'; '.join(means)}."

    def one_epoch(self) -> None:
        """Begin an epoch, or go on with the one that was restored."""
        task = self.task
        if self.epoch is None:
            self.epoch = Epoch(self.result.steps // self.steps_per_epoch)
        epoch = self.epoch
        order = task.order(epoch.number)
        step = self.result.steps - epoch.number * self.steps_per_epoch
        while step < self.steps_per_epoch:
            total = self.total_steps()
            if not self.more():
                break
            count = min(self.chunk(), self.steps_per_epoch - step, max(1, round(min(total, 1e9)) - self.result.steps))
            self.train_chunk(epoch, order[step * task.batch_size : (step + count) * task.batch_size], count, total)
            step += count
            if step < self.steps_per_epoch and self.more():
                self.tell(epoch, epoch_done=False)
                self.keeper.offer(self)
        if epoch.images == 0:  # the budget ran out between two epochs
            return
        patient = not task.retries or (self.more() and not self.setbacks)
        trouble = self.health.trouble(epoch, self.total_steps(), patient=patient)
        if trouble is not None and self.go_back(trouble):
            return
        self.dead = trouble is not None
        held_out = len(task.validation.indices) if task.validation else 0
        if self.inference is not None and (not self.more() or self.since_evaluation >= 3 * held_out):
            self.evaluate(epoch)
        self.record(epoch)
        self.epoch = None
        self.clock.look()
        if not self.dead and self.health.improved(epoch):
            self.good = self.as_it_is()
        self.tell(epoch, epoch_done=True)

    def rate_at(self, step: int, total: float) -> float:
        """The learning rate of a step, of so many."""
        if self.cooling is not None:
            return self.cooling.rate_at(step)
        return self.task.learning_rate * self.share * self.task.schedule(step / total)

    def chunk(self) -> int:
        """Steps of the next native call."""
        return max(1, int(CHUNK_SECONDS * self.result.steps / self.clock.training)) if self.result.steps else 1

    def train_chunk(self, epoch: Epoch, part: Indices, count: int, total: float) -> None:
        """Train on the images of `count` steps, in one native call.

        Parameters
        ----------
        epoch : takes their loss
        part : (images,) positions; the last step may have fewer than a batch
        count : steps
        total : steps of the whole training, as far as one can tell
        """
        task = self.task
        images, labels, weights = task.batches(part, count)
        rates = np.array([self.rate_at(self.result.steps + n, total) for n in range(count)], np.float32)
        losses, correct = self.trainer.run(
            task.pixels,
            Steps(
                images,
                labels,
                weights,
                rates,
                np.tile(np.array([task.seed % 2**31, epoch.number], np.int32), (count, 1)),
            ),
        )
        # step by step, so that no digit depends on how many steps a call makes
        epoch.loss = sum(losses.astype(np.float64).sum(axis=1).tolist(), epoch.loss)
        epoch.correct = sum(correct.astype(np.float64).sum(axis=1).tolist(), epoch.correct)
        epoch.images += len(part)
        shares = weights.astype(np.float64)
        epoch.losses += (losses * shares).sum(axis=1).tolist()
        epoch.corrects += (correct * shares).sum(axis=1).tolist()
        epoch.weights += shares.sum(axis=1).tolist()
        epoch.norms += self.trainer.norms.tolist()
        self.rate = float(rates[-1])
        self.result.steps += count
        self.result.images += len(part)
        self.since_evaluation += len(part)
        self.clock.look()
        if not np.isfinite(losses).all():
            raise DivergedError(
                f"training diverged in epoch {epoch.number + 1}: the loss is no longer finite at a learning rate of "
                f"{self.rate:.3g}; choose a smaller one"
            )

    def evaluate(self, epoch: Epoch) -> None:
        """Evaluate on the validation set; keep the weights if the smoothed curve says that they are the best.

        What is told is the plain figure; what decides counts each image by its weight, as the loss does.
        """
        validation = self.task.validation
        assert validation is not None
        assert self.inference is not None
        outputs = self.inference.run(validation.pixels, validation.indices.astype(np.int32))
        self.validation, self.since_evaluation = evaluated(outputs, validation.targets), 0
        loss, accuracy = evaluated(outputs, validation.targets, validation.sample_weights)
        if self.choice.add(epoch.number + 1, accuracy, loss, right(outputs, validation.targets)):
            self.result.vector = self.trainer.averaged.copy()
        self.stop_early(epoch.number + 1)

    def stop_early(self, epochs: int) -> None:
        """Begin to cool if nothing has improved for as long as patience allows."""
        patience = self.task.patience
        if patience is not None and self.task.epochs is None:
            patience = max(patience, int(self.total_steps() / self.steps_per_epoch / 2))
        if patience is not None and self.cooling is None and epochs - self.choice.improved_epoch >= patience:
            steps = math.ceil(COOLING * epochs) * self.steps_per_epoch
            self.cooling = Cooling(self.result.steps, steps, self.rate)
            self.result.stopped_early = self.more()

    def record(self, epoch: Epoch) -> None:
        """Add a finished epoch to the history."""
        seconds = {"seconds": round(self.clock.training, 4), "images": self.result.images}
        self.result.history.append(self.figures(epoch) | seconds)

    def figures(self, epoch: Epoch) -> dict[str, Any]:
        """What history and progress both say of an epoch; no validation figures but those of its very end."""
        loss, accuracy = (self.since_evaluation == 0 and self.validation) or (None, None)
        return {
            "epoch": epoch.number + 1,
            "loss": epoch.loss / epoch.images,
            "accuracy": epoch.correct / epoch.images,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "learning_rate": self.rate,
        }

    def tell(self, epoch: Epoch, *, epoch_done: bool) -> None:
        """Report progress."""
        seconds, total = self.clock.training, self.total_steps()
        fraction = min(1.0, self.result.steps / max(total, 1))
        with self.clock.heeding():
            self.progress(
                Progress(
                    **self.figures(epoch),
                    epochs=total / self.steps_per_epoch,
                    fraction=fraction,
                    images_per_second=self.result.images / seconds,
                    seconds=seconds,
                    seconds_left=seconds * (1 - fraction) / max(fraction, 1e-9),
                    epoch_done=epoch_done,
                )
            )


def evaluated(outputs: Floats, labels: NDArray[np.int32], weights: Floats | None = None) -> tuple[float, float]:
    """Mean cross-entropy and accuracy.

    Parameters
    ----------
    outputs : (N, classes) or, for two classes, (N, 1) float32
        Probabilities.
    labels : (N,) int32
    weights : (N,) float, optional
        Of the images; all count alike by default.

    Returns
    -------
    loss, accuracy : float
    """
    if weights is not None and not weights.any():
        weights = None  # of no class that was trained on: count all alike
    chosen = _of_all_classes(outputs)[np.arange(len(labels)), labels]
    losses = -np.log(np.maximum(chosen, 1e-12).astype(np.float64))
    return float(np.average(losses, weights=weights)), float(np.average(right(outputs, labels), weights=weights))


def right(outputs: Floats, labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether the most probable class is the label, for each image."""
    recognised: NDArray[np.bool_] = _of_all_classes(outputs).argmax(axis=1) == labels
    return recognised


def _of_all_classes(outputs: Floats) -> Floats:
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
