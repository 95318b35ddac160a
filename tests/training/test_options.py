"""An option is one field: it arrives in every place that takes options, with the same default, and is checked once."""

from __future__ import annotations

import inspect
import re
from contextlib import suppress
from copy import copy
from dataclasses import MISSING, FrozenInstanceError, dataclass, fields, replace

import click
import numpy as np
import pytest
from click.testing import CliRunner

import lanewise
from lanewise.cli.group import lanewise as group
from lanewise.cli.options import passed_on, training_options
from lanewise.errors import LanewiseError, OptionError
from lanewise.training.options import FitOptions, TrainOptions
from lanewise.training.rules import about, option, whole
from lanewise.training.signatures import documented, options_of_init, options_of_training


def parameters(function):
    return {name: one.default for name, one in inspect.signature(function).parameters.items()}


@dataclass(frozen=True, kw_only=True)
class WithWarmup(TrainOptions):
    warmup: int = option(3, "Number of epochs of warm-up.", values=whole())


def test_an_option_that_is_added_as_a_field_arrives_everywhere():
    @options_of_training(WithWarmup)
    def train(source, y, options):
        """Train.

            Parameters
            ----------
        {options}
        """
        return options.warmup

    class Classifier:
        @options_of_init(WithWarmup)
        def __init__(self, options):
            self.warmup = options.warmup

    @click.command()
    @training_options(WithWarmup)
    def command(**options):
        click.echo(passed_on(options, WithWarmup))

    assert parameters(train)["warmup"] == parameters(Classifier)["warmup"] == 3
    assert train("digits") == 3
    assert train("digits", warmup=5) == Classifier(warmup=5).warmup == 5
    assert "warmup : int, default 3\n        Number of epochs of warm-up." in train.__doc__
    with pytest.raises(OptionError, match="warmup must be a whole number of at least 1, not 0"):
        train("digits", warmup=0)
    with pytest.raises(TypeError, match="did you mean 'warmup'"):
        train("digits", warm_up=3)  # type: ignore[call-arg]
    helped = CliRunner().invoke(command, ["--help"]).output
    assert "--warmup N" in helped
    assert "Number of epochs of warm-up.  [default: 3" in helped
    assert CliRunner().invoke(command, ["--warmup", "4"]).output == "{'warmup': 4}\n"
    assert CliRunner().invoke(command, []).output == "{}\n"


def test_every_option_is_in_every_place_with_one_default():
    fit, whole = ({one.name: one.default for one in fields(of)} for of in (FitOptions, TrainOptions))
    assert {"source": inspect.Parameter.empty, "y": None, **whole} == parameters(lanewise.train)
    assert fit.items() <= parameters(lanewise.CNNClassifier).items()
    assert fit.items() <= lanewise.CNNClassifier().get_params().items()
    on_the_line = {one.name for one in fields(TrainOptions) if about(one).command_line}
    for name, of in (("train", TrainOptions), ("compare", FitOptions), ("vary", FitOptions)):
        command = group.commands[name]
        own = {one.name: one for one in command.params}
        for one in fields(of):
            if one.name in on_the_line - {"network"}:
                wanted = None if about(one).default else one.default
                assert own[one.name].default == wanted, f"{name} {one.name}"
        given = copy(command).make_context(name, ["x", "--network", "dense 2"]).params
        assert passed_on(given, of) == {"network": "dense 2"}


def test_every_option_says_what_it_does():
    for of in (TrainOptions, lanewise.CNNClassifier):
        for name in inspect.signature(of).parameters:
            assert f"\n    {name} : " in (lanewise.train if of is TrainOptions else of).__doc__
    assert all(about(one).text.endswith(".") and one.default is not MISSING for one in fields(TrainOptions))
    assert documented(TrainOptions)(test_every_option_says_what_it_does).__doc__ == ""


def test_options_are_a_frozen_value_that_is_checked_when_it_is_made():
    options = TrainOptions(epochs=3)
    with pytest.raises(FrozenInstanceError):
        options.epochs = 4  # type: ignore[misc]
    with pytest.raises(OptionError, match="not both"):
        replace(options, budget=3.0)
    with pytest.raises(OptionError, match=r"unknown schedule .step.: choose one of one-cycle, cosine, constant"):
        TrainOptions(schedule="step")
    with pytest.raises(OptionError, match="epochs must be a whole number of at least 1, not True"):
        TrainOptions(epochs=True)


def test_the_former_name_of_label_smoothing_is_understood_with_a_warning():
    with pytest.warns(DeprecationWarning, match="label_smoothing"):
        model = lanewise.train("digits", network="dense 10", epochs=1, folds=0, smoothing=0.1)  # type: ignore[call-arg]
    assert model.history


def test_an_option_and_its_former_name_together_are_refused():
    with pytest.raises(TypeError, match="got both label_smoothing and smoothing, its former name"):
        lanewise.train("digits", smoothing=0.1, label_smoothing=0.2)  # type: ignore[call-arg]


ODD = ("x", "", None, -1, 0, 1.5, float("nan"), [], {}, object(), b"1", True, np.array([1, 2]), (1, 2), lambda *_: None)


@pytest.mark.parametrize("name", [one.name for one in fields(TrainOptions)])
@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__ + repr(value)[:8])
def test_a_value_of_any_type_trains_or_is_refused(name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a name of a file is one
    x, y = np.random.default_rng(0).integers(0, 255, (40, 4, 4)).astype(np.uint8), np.arange(40) % 2
    options = {"epochs": 1, "network": "dense 2", "folds": 0, "verbose": 0, "notes": lambda note: None}
    if name == "budget":
        if isinstance(value, float | bool):
            pytest.skip("it would train for that long")
        del options["epochs"]
    with suppress(LanewiseError):
        lanewise.train(x, y, **(options | {name: value}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate": "fast"}, "the learning rate must be above 0, or \"find\", not 'fast'"),
        ({"early_stopping": "no"}, "early_stopping must be True or False, not 'no'"),
        ({"start": 3}, "start must be a Model, a model file, or the name of a pretrained network: 'lite0', not 3"),
        ({"class_weight": {"a": "2"}}, "class_weight must be 'balanced' or a dict of class to weight"),
        ({"seed": 0.5}, "seed must be a whole number from 0 to 2**64 - 1, not 0.5"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(options, said):
    with pytest.raises(OptionError, match=re.escape(said)):
        TrainOptions(**options)
