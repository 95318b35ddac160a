"""The page about the command line says what the commands say. `pytest --update-golden` writes their help into it."""

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lanewise.cli.group import ALIASES, lanewise
from lanewise.cli.output import FORMER_KEYS
from lanewise.evaluation.evaluate import SPLITS
from lanewise.preprocessing import USUAL
from lanewise.training.learning_rate import SCHEDULES
from lanewise.training.optimizers import AUTO, LEARNING_RATES
from lanewise.training.options import AUGMENTATIONS
from tests.cli.conftest import run

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def help_of(name):
    return CliRunner().invoke(lanewise, [name, "--help"], terminal_width=100).stdout.rstrip()


@pytest.mark.parametrize("name", list(lanewise.commands))
def test_help_stands_on_the_page(name, request):
    block = re.compile(rf"(```\n\$ lanewise {name} --help\n)(.*?)(```)", re.DOTALL)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(block.sub(lambda match: f"{match[1]}{help_of(name)}\n{match[3]}", PAGE.read_text()))
    (found,) = block.findall(PAGE.read_text())
    # Where lines are broken is the business of click.
    assert found[1].split() == help_of(name).split(), "if that is meant, run `pytest --update-golden`"


def choices(command, option):
    (found,) = (one for one in lanewise.commands[command].params if one.name == option)
    assert isinstance(found.type, click.Choice)
    return tuple(found.type.choices)


def test_choices_are_those_that_the_library_has():
    assert choices("train", "schedule") == tuple(SCHEDULES)
    assert choices("train", "augment") == AUGMENTATIONS
    assert choices("train", "optimizer") == (AUTO, *LEARNING_RATES)
    assert choices("evaluate", "split") == SPLITS
    assert choices("import", "preprocess") == tuple(USUAL)


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "digits", "--network", "dense 10", "--epochs", "1"),
        ("evaluate", "MODEL", "digits"),
        ("inspect", "MODEL"),
        ("check", "digits", "--no-labels"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_json_key_stands_on_the_page(arguments, digits_model):
    arguments = [str(digits_model[0]) if one == "MODEL" else one for one in arguments]
    stands_on_the_page(json.loads(run(*arguments, "--json").stdout))


def test_every_json_key_of_a_report_stands_on_the_page(digits_report):
    stands_on_the_page(digits_report[2])


def stands_on_the_page(record):
    nested = [one for values in record.values() if isinstance(values, list) for one in values if isinstance(one, dict)]
    keys = set(record).union(*nested) - set(record.get("history", [{}])[0]) - set(FORMER_KEYS.values())
    assert {key for key in keys if f"`{key}`" not in PAGE.read_text()} == set()


@pytest.mark.parametrize("name", list(lanewise.commands))
def test_every_option_states_its_default(name):
    for option in lanewise.commands[name].params:
        if isinstance(option, click.Option) and not (option.is_flag or option.required or option.secondary_opts):
            told = option.show_default or "default" in (option.help or "")
            assert told, f"{name} {option.opts[0]}: {option.help}"


def test_every_name_of_other_programs_stands_on_the_page():
    rows = dict(re.findall(r"^\| (`--[a-z-]+`) \| (.*) \|$", PAGE.read_text(), re.MULTILINE))
    for name, ours in ALIASES.items():
        assert f"`{name}`" in rows[f"`{ours}`"]
    options = {name for one in lanewise.commands.values() for param in one.params for name in param.opts}
    assert set(ALIASES.values()) <= options
