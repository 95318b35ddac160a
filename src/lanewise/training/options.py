"""Options of training, checked before anything is read."""

from __future__ import annotations

from lanewise.errors import OptionError
from lanewise.training import recipe


def check_options(
    epochs: int | None,
    budget: float | None,
    batch_size: int | None,
    optimizer: str,
    learning_rate: float | None,
    momentum: float,
    weight_decay: float | None,
    label_smoothing: float,
    validation_fraction: float,
    threads: int | None,
    folds: int | None,
) -> None:
    """Raise OptionError for the first option whose value makes no sense, naming it and what would."""
    if epochs is not None and budget is not None:
        raise OptionError("give epochs or a budget of time, not both")
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("threads", threads)):
        if value is not None and (isinstance(value, bool) or int(value) != value or value < 1):
            raise OptionError(f"{name} is a whole number from 1 on, not {value!r}")
    if budget is not None and not budget > 0:
        raise OptionError(f"a budget is a number of seconds above 0, not {budget!r}")
    if optimizer not in recipe.LEARNING_RATES:
        raise OptionError(f'unknown optimizer "{optimizer}"; there are {", ".join(recipe.LEARNING_RATES)}')
    if learning_rate is not None and not learning_rate > 0:
        raise OptionError(f"the learning rate is above 0, not {learning_rate!r}")
    if weight_decay is not None and not 0 <= weight_decay < 1:
        raise OptionError(f"weight_decay lies between 0 and 1, not {weight_decay!r}")
    if not 0 <= momentum < 1:
        raise OptionError(f"momentum lies between 0 and 1, not {momentum!r}")
    if not 0 <= label_smoothing < 1:
        raise OptionError(f"label smoothing lies between 0 and 1, not {label_smoothing!r}")
    if folds not in (None, 0) and (isinstance(folds, bool) or int(folds) != folds or folds < 2):
        raise OptionError(f"folds is a whole number from 2 on, or 0 for none, not {folds!r}")
    if not 0 <= validation_fraction < 1:
        raise OptionError(f"validation_fraction lies between 0 and 1, not {validation_fraction!r}")
