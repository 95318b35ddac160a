"""What training carries from one step to the next: all that another process needs to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.engine.parameters import Floats
from lanewise.training.best_weights import Choice
from lanewise.training.health import Epoch, Health
from lanewise.training.learning_rate import Cooling
from lanewise.training.task import TrainResult


@dataclass(frozen=True, slots=True, eq=False)
class Good:
    """The end of the best epoch so far, or the beginning of training: where to go back to.

    Attributes
    ----------
    vector, averaged : all parameters, and those to evaluate
    epochs : how many were finished
    seconds : that training had taken
    carried : the attributes of the loop named in `GOES_BACK`
    """

    vector: Floats
    averaged: Floats
    epochs: int
    seconds: float
    carried: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """All that training carries from one step to the next, to go on from in another process.

    Attributes
    ----------
    engine : dict of arrays
        As `Trainer.state` gives it: parameters and the optimizer's state.
    result : TrainResult
        What came out so far: the best weights, the history, and how many steps and seconds it took.
    choice : Choice
        The evaluations so far, and which was the best.
    validation : (loss, accuracy) of the last evaluation, or None
    since_evaluation : images trained on since then
    rate : learning rate of the last step
    epoch : the one that is going on, or None between two
    cooling : the end of a training that stops early, or None
    health : what tells whether training is alive
    dead : whether it is not, after the last epoch, and goes on all the same
    first, good : where to go back to: the start, and the best epoch
    share : of the learning rate that the task asks for
    setbacks : as in the result
    over : whether training ended because no rate was any better
    """

    engine: Mapping[str, NDArray[np.generic]]
    result: TrainResult
    choice: Choice
    validation: tuple[float, float] | None
    since_evaluation: int
    rate: float
    epoch: Epoch | None
    cooling: Cooling | None
    health: Health
    dead: bool
    first: Good
    good: Good
    share: float
    setbacks: list[dict[str, float | int | str | None]]
    over: bool


CARRIED = tuple(one.name for one in fields(TrainingState) if one.name != "engine")
"""What the loop itself carries, in attributes of these names."""

GOES_BACK = tuple(name for name in CARRIED if name not in ("first", "good", "share", "setbacks", "over"))
"""What is as it was when training goes back."""
