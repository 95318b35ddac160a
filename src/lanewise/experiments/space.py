"""What a search may choose: the braces of a network's text, and alternatives for the options of training.

space_of("conv {16..64}@{3x3,5x5}, relu, dense 2", {"learning_rate": "0.01..0.3", "augment": "none,shift", "epochs": 9})
    ->  a space of four choices, and what is fixed: {"epochs": 9}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from lanewise.data.load import parse_size
from lanewise.errors import OptionError
from lanewise.experiments.braces import Alternatives, Choices, Range, Template, alternatives_in, different, template
from lanewise.training.optimizers import LEARNING_RATES
from lanewise.training.options import TrainOptions
from lanewise.training.recipe import USUAL, Difficulty, Effort, default_network
from lanewise.training.rules import about
from lanewise.training.searched import SEARCHED

BY_LOGARITHM = ("learning_rate", "weight_decay")
"""Options whose ranges are on a logarithmic scale, as the field has them."""

AUGMENT = "auto,none,shift,flip,shift+flip"
LOWER, HIGHER = 5, 10
"""What is searched besides the network if nothing is said: augmentation, and the learning rate from so many times below
to so many times above the default of the optimizer."""

LONGEST = 1000
"""Characters of alternatives that a database holds; longer ones are numbered."""


class Draws(Protocol):
    """What draws from a space: a trial of Optuna's."""

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        """One of some values."""

    def suggest_float(
        self, name: str, low: float, high: float, /, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number.

        Parameters
        ----------
        name, low, high, step, log
            As in Optuna.
        """

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int = 1, log: bool = False) -> int:
        """A whole number.

        Parameters
        ----------
        name, low, high, step, log
            As in Optuna.
        """


class AtRandom:
    """Draws uniformly, and keeps what it drew in `params`."""

    def __init__(self, seed: Sequence[int]) -> None:
        self.random = np.random.default_rng(seed)
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        """One of some values."""
        return self._kept(name, choices[int(self.random.integers(len(choices)))])

    def suggest_float(
        self, name: str, low: float, high: float, /, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number.

        Parameters
        ----------
        name, low, high, step, log
            As in Optuna.
        """
        if step is not None:
            return float(self._kept(name, low + step * int(self.random.integers(int((high - low) / step + 1e-9) + 1))))
        if log:
            return float(self._kept(name, math.exp(self.random.uniform(math.log(low), math.log(high)))))
        return float(self._kept(name, self.random.uniform(low, high)))

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int = 1, log: bool = False) -> int:
        """A whole number.

        Parameters
        ----------
        name, low, high, step, log
            As in Optuna.
        """
        return int(self._kept(name, low + step * int(self.random.integers((high - low) // step + 1))))

    def _kept(self, name: str, value: Any) -> Any:
        self.params[name] = value
        return value


@dataclass(frozen=True, slots=True)
class Setting:
    """What was chosen: the network, None for the default, and options of training."""

    network: str | None
    options: Mapping[str, Any]

    def key(self) -> str:
        """The same for the same choice."""
        return json.dumps([self.network, dict(sorted(self.options.items()))])


@dataclass(frozen=True, slots=True)
class Space:
    """What may be chosen.

    Attributes
    ----------
    networks : tuple of Template
        One of these; without any, training chooses the network.
    options : mapping of str to Choices or Range
    """

    networks: tuple[Template, ...]
    options: Mapping[str, Alternatives]

    def draw(self, trial: Draws) -> Setting:
        """Choose, by a trial of Optuna's."""
        network = None
        if self.networks:
            n = trial.suggest_categorical("network", range(1, len(self.networks) + 1)) if len(self.networks) > 1 else 1
            chosen, of = self.networks[n - 1], f"network {n}: " if len(self.networks) > 1 else ""
            network = chosen.filled([_drawn(trial, of + one.name, one.alternatives) for one in chosen.braces])
        return Setting(network, {name: _drawn(trial, name, one) for name, one in self.options.items()})

    def count(self) -> float:
        """How many different choices there are."""
        networks = sum(math.prod(_count(one.alternatives) for one in each.braces) for each in self.networks)
        return (networks or 1) * math.prod(map(_count, self.options.values()))

    def to_json(self) -> dict[str, Any]:
        """The space as it is written."""
        networks = [one.text for one in self.networks]
        return ({"network": networks} if networks else {}) | {name: str(one) for name, one in self.options.items()}


def _drawn(trial: Draws, name: str, alternatives: Alternatives) -> Any:
    if isinstance(alternatives, Choices):
        values = alternatives.values
        if len(str(values)) <= LONGEST:
            return trial.suggest_categorical(name, values)
        return values[trial.suggest_categorical(name, range(1, len(values) + 1)) - 1]
    (low, high), log = (
        alternatives.ends() if alternatives.step else (alternatives.low, alternatives.high),
        alternatives.log,
    )
    if alternatives.whole:
        step = 1 if log or alternatives.step is None else int(alternatives.step)
        return trial.suggest_int(name, int(low), int(high), step=step, log=log)
    return alternatives.rounded(trial.suggest_float(name, low, high, step=alternatives.step, log=log))


def _count(alternatives: Alternatives) -> float:
    return len(set(alternatives.values)) if isinstance(alternatives, Choices) else alternatives.count()


def space_of(network: str | Sequence[str], given: Mapping[str, Any]) -> tuple[Space, dict[str, Any]]:
    """Read a space.

    Parameters
    ----------
    network : str or sequence of str
        Text with braces, or several of which one is chosen; "auto" leaves it to training.
    given : mapping
        Options of training: a text with commas or a range, or a list, holds alternatives.

    Returns
    -------
    space : Space
    fixed : dict
        Options with one value, and the network if it is one text without braces.

    Raises
    ------
    NetworkTextError, OptionError
        A text or a value that makes no sense.
    """
    texts = [network] if isinstance(network, str) else list(network)
    templates = tuple(map(template, different(texts))) if texts != ["auto"] else ()
    fixed: dict[str, Any] = {}
    options: dict[str, Alternatives] = {}
    for name, value in given.items():
        found = _read(name, value) if name in SEARCHED else Choices((value,))
        if isinstance(found, Choices) and len(found.values) == 1:
            fixed[name] = found.values[0]
        else:
            options[name] = found
    if len(templates) == 1 and not templates[0].braces:
        fixed["network"] = texts[0]
        templates = ()
    return Space(templates, options), fixed


def _read(name: str, value: Any) -> Alternatives:
    """The alternatives of an option, each a value that it takes."""
    if isinstance(value, list | tuple) and not (name == "size" and isinstance(value, tuple)):
        found: Alternatives = Choices(tuple(value))
    elif isinstance(value, str):
        try:
            found = alternatives_in(value)
        except OptionError as error:
            raise OptionError(f"{name}: {error}") from None
    else:
        return Choices((value,))
    rule = about(TrainOptions.__dataclass_fields__[name]).values
    kind = "" if rule is None else rule.kind
    if isinstance(found, Range):
        if kind not in ("whole", "number") and name != "size":
            raise OptionError(f"{name} is no number, so {value!r} is no range of it: name alternatives, like a,b")
        if kind == "whole" or name == "size":
            if not found.whole:
                raise OptionError(f"{name} takes whole numbers, so {value!r} is no range of it")
        else:
            found = replace(found, whole=False, step=None if found.step == found.whole else found.step)
        if name in BY_LOGARITHM and found.low > 0 and found.step is None:
            found = replace(found, log=True)
        tried: tuple[Any, ...] = found.ends()
    else:
        if not found.values:
            raise OptionError(f"{name}: give alternatives, not {value!r}")
        found = Choices(tuple(_value(name, kind, one) for one in found.values))
        tried = found.values
        try:
            different(["{}x{}".format(*parse_size(str(one)) or ()) for one in tried] if name == "size" else tried)
        except OptionError as error:
            raise OptionError(f"{name}: {error}") from None
    for one in tried if name == "size" else ():
        parse_size(str(one))
    for one in tried:
        problem = None if rule is None or one is None else rule.problem(name, one)
        if problem is not None:
            raise OptionError(problem)
    return found


def _value(name: str, kind: str, text: Any) -> Any:
    """An alternative as the option takes it; a text that is none stays one, and is refused for it."""
    if not isinstance(text, str) or kind not in ("whole", "number"):
        return "x".join(map(str, text)) if isinstance(text, tuple) else text
    try:
        return int(text) if kind == "whole" else float(text)
    except ValueError:
        return text


def default_space(
    shape: tuple[int, int, int], classes: int, given: Mapping[str, Any], effort: Effort = USUAL
) -> tuple[dict[str, Any], list[str]]:
    """What is searched if nothing is said: networks from small to large, the learning rate, augmentation.

    Parameters
    ----------
    shape : (channels, rows, columns)
    classes : int
    given : mapping
        Options that were given, which are not searched.
    effort : Effort
        For the default network.

    Returns
    -------
    options : dict
    networks : list of str
        The default one first.
    """
    efforts = (effort, USUAL, Effort(Difficulty.EASY), Effort(Difficulty.HARD), Effort(Difficulty.HARD, width=2))
    networks = list(dict.fromkeys(default_network(shape, classes, effort=one) for one in efforts))
    rate = usual_rate(given)
    options = {"learning_rate": f"{rate / LOWER:g}..{rate * HIGHER:g}", "augment": AUGMENT}
    return {name: text for name, text in options.items() if name not in given}, networks


def usual_rate(given: Mapping[str, Any]) -> float:
    """The default learning rate of the optimizer that was given, if one was."""
    return LEARNING_RATES.get(given.get("optimizer", "sgd"), LEARNING_RATES["sgd"])
