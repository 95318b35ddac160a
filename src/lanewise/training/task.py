"""What the training loop is given, what it tells, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.data.images import Pixels
from lanewise.engine.parameters import Floats
from lanewise.training.best_weights import Verdict
from lanewise.training.learning_rate import Schedule

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Progress:
    """How training goes, several times a second.

    Attributes
    ----------
    epoch : epochs begun so far, from 1
    epochs : planned, an estimate where a budget of time was given
    fraction : of the work done, 0 to 1
    loss, accuracy : over the images trained on so far in this epoch
    validation_loss, validation_accuracy : of this epoch; None before it is done, and where it was not evaluated
    learning_rate : of the last step
    images_per_second : trained on, since the start
    seconds, seconds_left : since the start, and still to go (an estimate)
    epoch_done : whether this is the last report of its epoch
    fold, folds : of cross-validation, from 1, and `folds` + 1 for the final model; 0 without folds
    features : before the first epoch, images whose features are computed, if training is on those; otherwise 0
    tuning : whether it is of the last stages, after a new last layer was trained
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
    features: int = 0
    tuning: bool = False


@short
@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """The validation set: those at `indices` of `pixels`, each with its weight.

    `unseen` says whether no model that training starts from was trained on one of them.
    """

    pixels: Pixels
    labels: NDArray[np.int32]
    indices: Indices
    weights: Floats
    unseen: bool = True

    @property
    def targets(self) -> NDArray[np.int32]:
        """The labels of the images at `indices`."""
        return self.labels[self.indices]

    @property
    def sample_weights(self) -> Floats:
        """The weights of the images at `indices`."""
        return self.weights[self.indices]


@short
@dataclass(frozen=True, slots=True, eq=False)
class TrainingTask:
    """What to train on, and for how long.

    Attributes
    ----------
    pixels, labels : all images at hand
    indices : the training set
    weights : (len(pixels),) float32, each image's weight, 1 on average
    validation : the validation set, or None
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
    frequencies : of the classes, where these are to count alike (frequencies.py); None where they count as they come
    retries : how often training that dies goes back and on at a smaller learning rate; 0 if the rate was given
    """

    pixels: Pixels
    labels: NDArray[np.int32]
    indices: Indices
    weights: Floats
    validation: Validation | None
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
    frequencies: Floats | None = None
    retries: int = 0

    def order(self, epoch: int) -> Indices:
        """The training images in the random order of an epoch.

        It comes from raw bits alone: what NumPy derives from them may change with its version.
        """
        bits = np.random.Philox(key=[self.seed % 2**64, epoch]).random_raw(len(self.indices))
        return self.indices[ranked(np.asarray(bits, np.uint64))]

    def batches(self, part: Indices, count: int) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
        """Images in `count` batches, of which the last may not be full: their numbers, labels and shares of the loss.

        Parameters
        ----------
        part : (images,) positions
        count : int

        Returns
        -------
        images : (count, batch size) int32
            -1 where there is none.
        labels : (count, batch size) int32
        weights : (count, batch size) float32
        """
        shape = count, self.batch_size
        images, labels = np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
        weights = np.zeros(shape, np.float32)
        images.reshape(-1)[: len(part)] = part
        labels.reshape(-1)[: len(part)] = self.labels[part]
        weights.reshape(-1)[: len(part)] = self.weights[part] / np.float32(self.batch_size)
        return images, labels, weights


def ranked(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The positions of keys from the smallest to the largest; of equal ones the first comes first.

    NumPy's fastest sort leaves the order of equal ones open, and takes a quarter of the time of one that does not. Of
    random numbers of 64 bits next to none are equal.
    """
    order = np.argsort(keys)
    there = keys[order]
    return np.argsort(keys, kind="stable") if (there[1:] == there[:-1]).any() else order


@short
@dataclass(slots=True)
class TrainResult:
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
    learning_rate: float = 0.0
    """The peak that was used in the end."""
    setbacks: list[dict[str, float | int | str | None]] = field(default_factory=list)
    """When and why training died, to which epoch it went back, if it did, and the learning rate from there on."""
