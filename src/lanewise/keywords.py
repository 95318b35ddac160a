"""Keyword arguments that a function does not have: the error names the one that was probably meant."""

from __future__ import annotations

import difflib
import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

HABITS = {
    "lr": "learning_rate",
    "learning_rate_init": "learning_rate",
    "max_lr": "learning_rate",
    "eta": "learning_rate",
    "eta0": "learning_rate",
    "wd": "weight_decay",
    "alpha": "weight_decay",
    "l2": "weight_decay",
    "batch": "batch_size",
    "bs": "batch_size",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "nb_epoch": "epochs",
    "epoch": "epochs",
    "max_iter": "epochs",
    "max_epochs": "epochs",
    "iterations": "epochs",
    "time": "budget",
    "seconds": "budget",
    "smoothing": "label_smoothing",
    "max_time": "budget",
    "val_fraction": "validation_fraction",
    "val_split": "validation_fraction",
    "validation_split": "validation_fraction",
    "valid_pct": "validation_fraction",
    "augmentation": "augment",
    "augmentations": "augment",
    "random_state": "seed",
    "random_seed": "seed",
    "seed": "random_state",
    "n_jobs": "threads",
    "num_threads": "threads",
    "num_workers": "threads",
    "workers": "threads",
    "solver": "optimizer",
    "optim": "optimizer",
    "optimiser": "optimizer",
    "scheduler": "schedule",
    "lr_schedule": "schedule",
    "lr_scheduler": "schedule",
    "layers": "network",
    "model": "network",
    "architecture": "network",
    "hidden_layer_sizes": "network",
    "class_weights": "class_weight",
    "sample_weights": "sample_weight",
    "image_size": "size",
    "img_size": "size",
    "target_size": "size",
    "input_shape": "image_shape",
    "n_channels": "channels",
    "callback": "progress",
    "callbacks": "progress",
    "labels": "y",
    "init": "start",
    "pretrained": "start",
    "from_model": "start",
    "patience": "early_stopping",
}
"""What other libraries call what we have."""


def meant(word: str, names: Iterable[str]) -> str | None:
    """Which of `names` somebody who wrote `word` had in mind; None if none is near."""
    known = list(names)
    habit = HABITS.get(word.lower())
    if habit in known:
        return habit
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return near[0] if near else None


def hinting(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function say which keyword argument was probably meant, instead of only that it has no such one."""
    signature = inspect.signature(function)
    names = [name for name, one in signature.parameters.items() if one.kind is not one.POSITIONAL_ONLY]

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in names:
                hint = meant(name, (one for one in names if one != "self"))
                called = function.__qualname__.removesuffix(".__init__")
                has = f"did you mean {hint!r}?" if hint else f"it has {', '.join(n for n in names if n != 'self')}"
                raise TypeError(f"{called}() has no argument {name!r}; {has}")
        return function(*args, **kwargs)

    return checked


def renamed(**former: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Let a function take arguments by the names that they had in the version before, with a `DeprecationWarning`.

    Parameters
    ----------
    **former : str
        The name of today for each name of before: `@renamed(picture="image")`.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(function)
        def translated(*args: Any, **kwargs: Any) -> R:
            for old in former.keys() & kwargs.keys():
                if former[old] in kwargs:
                    raise TypeError(f"{function.__qualname__}() got both {former[old]} and {old}, its former name")
                _warn(f"{function.__qualname__}({old}=...)", f"{former[old]}=...")
                kwargs[former[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return translated

    return decorate


def former_name(function: Callable[P, R], name: str) -> Callable[P, R]:
    """A function by the `name` that it had in the version before, with a `DeprecationWarning`."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        _warn(f"{name}()", f"{function.__name__}()")
        return function(*args, **kwargs)

    called.__name__ = called.__qualname__ = name
    return called


def _warn(old: str, new: str) -> None:
    message = f"{old} is called {new} now; the old name goes with the next version"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
