"""Keyword arguments that a function does not have: the error names the one that was probably meant."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def by_alias(aliases: Mapping[str, str]) -> dict[str, str]:
    """The name of ours for each alias, from the aliases of each of our names, as words of one text."""
    return {alias: ours for ours, words in aliases.items() for alias in words.split()}


HABITS = by_alias(
    {
        "learning_rate": "lr learning_rate_init max_lr eta eta0",
        "weight_decay": "wd alpha l2",
        "batch_size": "batch bs",
        "epochs": "epoch n_epochs num_epochs nb_epoch max_epochs max_iter iterations",
        "budget": "time seconds max_time",
        "label_smoothing": "smoothing",
        "validation_fraction": "val_fraction val_split validation_split valid_pct",
        "augment": "augmentation augmentations",
        "seed": "random_state random_seed",
        "random_state": "seed",
        "threads": "n_jobs num_threads num_workers workers",
        "optimizer": "optim optimiser solver",
        "schedule": "scheduler lr_schedule lr_scheduler",
        "network": "layers model architecture hidden_layer_sizes",
        "class_weight": "class_weights",
        "sample_weight": "sample_weights",
        "size": "image_size img_size target_size",
        "fit": "resize resize_mode",
        "image_shape": "input_shape",
        "channels": "n_channels",
        "progress": "callback callbacks",
        "y": "labels",
        "start": "init pretrained from_model",
        "early_stopping": "patience",
    }
)
"""What other libraries call what we have."""


def meant(word: str, names: Iterable[str]) -> str | None:
    """Which of `names` somebody who wrote `word` had in mind; None if none is near."""
    known = list(names)
    habit = HABITS.get(word.lower())
    if habit in known:
        return habit
    import difflib  # which the command line does not load for nothing

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
