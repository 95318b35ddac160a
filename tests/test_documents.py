"""What the documents say runs as they say it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lanewise.network.filters import BANKS
from lanewise.network.graph import build
from lanewise.network.parser import LAYERS
from lanewise.network.text import parse, to_text

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
NETWORKS = (ROOT / "docs" / "networks.md").read_text()


def examples() -> list[str]:
    """The texts of layers in the table of the language; those that begin with dots go on a convolution."""
    rows = [line.split(" | ")[0] for line in NETWORKS.replace(r"\|", "¦").splitlines() if line.startswith("| `")]
    texts = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    return [text.replace("...", "conv 16@3x3").replace("¦", "|") for text in texts]


def test_each_bank_of_filters_is_listed():
    section = NETWORKS.partition("## Fixed filters")[2].partition("## ")[0]
    rows = dict(re.findall(r"^\| (\w+) \| (\d+) \|", section, re.MULTILINE))
    assert rows == {name: str(len(filters)) for name, filters in BANKS.items()}


@pytest.mark.parametrize("text", examples())
def test_each_text_of_the_language_is_a_layer(text):
    assert parse(to_text(parse(text))) == parse(text)


def test_each_layer_is_in_the_table():
    listed = {word for text in examples() for word in re.findall(r"\w+", text)}
    missing = [word for word, read in LAYERS.items() if word not in listed and word != "avg"]
    assert not missing, f"docs/networks.md: its first table lacks {', '.join(missing)}"


def test_all_of_the_language_is_there():
    assert len(examples()) > 20


def test_the_readme_has_the_two_commands_of_a_newcomer():
    first, second = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)[:2]
    assert "lanewise train digits" in first
    assert "pytest" in second


def test_the_readme_s_network_is_one():
    text = re.search(r"^    (conv 16@.*sigmoid)$", README, re.MULTILINE)
    assert text
    assert build(parse(text[1]), (3, 30, 30)).output_shape == (1,)


def test_the_readme_counts_as_inspect_does():
    command = re.search(r'lanewise inspect "([^"]+)" --input (\S+)', README)
    assert command
    said = subprocess.run(
        [sys.executable, "-m", "lanewise", "inspect", command[1], "--input", command[2]],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for figure in ("150", "117,600", "2.4 %", "784", "4,816,896", "32,113"):
        assert figure in said
        assert figure in README


def test_the_readme_s_estimator_learns():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    line = re.search(r"^CNNClassifier\(.*$", README, re.MULTILINE)
    assert line
    from lanewise import CNNClassifier

    x, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(x, y, random_state=0)
    names = {"CNNClassifier": CNNClassifier, "X_train": X_train, "X_test": X_test, "y_train": y_train, "y_test": y_test}
    assert eval(line[0], names) > 0.95


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "docs/networks.md",
        "docs/explain.md",
        "docs/experiments.md",
        "docs/lessons/README.md",
    ],
)
def test_links_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), target
