"""What a search may choose, from the text that says it."""

import random
import re
from itertools import pairwise

import pytest

from lanewise.errors import NetworkTextError, OptionError
from lanewise.experiments.braces import LONGEST_NAME, Range, alternatives_in, template
from lanewise.experiments.grid import expand
from lanewise.experiments.space import AtRandom, default_space, space_of


def drawn(space, count=200):
    return [space.draw(AtRandom((1, n))) for n in range(count)]


def test_braces_alternatives_and_ranges_are_chosen_and_the_rest_is_fixed():
    space, fixed = space_of(
        "conv {4..8 by 2}@{3x3,5x5} {same,}, dense 2",
        {"learning_rate": "0.01..0.1", "augment": "none, shift", "batch_size": [16, 32], "epochs": 3, "zoom": "1..1.5"},
    )
    assert fixed == {"epochs": 3}
    settings = drawn(space)
    networks = {one.network for one in settings}
    assert len(networks) == 12
    assert {"conv 4@3x3 same, dense 2", "conv 8@5x5, dense 2"} <= networks
    assert {one.options["augment"] for one in settings} == {"none", "shift"}
    assert {one.options["batch_size"] for one in settings} == {16, 32}
    rates = [one.options["learning_rate"] for one in settings]
    assert all(0.01 <= rate <= 0.1 and rate == float(f"{rate:.3g}") for rate in rates)
    assert 0.4 < sum(rate < 0.0316 for rate in rates) / len(rates) < 0.6  # on a logarithmic scale
    assert 0.4 < sum(one.options["zoom"] < 1.25 for one in settings) / len(settings) < 0.6
    assert space.to_json() == {
        "network": ["conv {4..8 by 2}@{3x3,5x5} {same,}, dense 2"],
        "learning_rate": "0.01..0.1 log",
        "augment": "none,shift",
        "batch_size": "16,32",
        "zoom": "1..1.5",
    }


def test_one_value_is_no_choice():
    space, fixed = space_of(
        "dense 2", {"learning_rate": "0.05", "augment": "none", "size": "8x9", "optimizer": ["sgd"]}
    )
    assert fixed == {"network": "dense 2", "learning_rate": 0.05, "augment": "none", "size": "8x9", "optimizer": "sgd"}
    assert (space.networks, space.options, space.count()) == ((), {}, 1)


def test_several_networks_each_have_choices_of_their_own():
    space, _ = space_of(["dense {4,8}, relu, dense 2", "dense 2", "conv {2..4}@3x3, dense 2"], {})
    assert space.count() == 2 + 1 + 3
    assert {one.network for one in drawn(space)} == {
        *(f"dense {n}, relu, dense 2" for n in (4, 8)),
        "dense 2",
        *(f"conv {n}@3x3, dense 2" for n in (2, 3, 4)),
    }
    trial = AtRandom((0, 0))
    space.draw(trial)
    assert set(trial.params) <= {"network", "network 1: dense {4,8}", "network 3: conv {2..4}"}


def test_how_many_choices_there_are():
    assert space_of("conv {4..8}@{3,5}, dense 2", {"augment": "none,flip"})[0].count() == 20
    assert space_of("dense {4..7 log}, dense 2", {})[0].count() == 4
    assert space_of("dense 2", {"learning_rate": "0.1..0.2"})[0].count() == float("inf")


def test_braces_are_called_by_their_name_or_by_what_stands_there():
    space, _ = space_of("conv {width=4,8}@{3x3,5x5}, {relu,tanh}, conv {width}@{3x3,5x5}, dense {4,8} nobias", {})
    trial = AtRandom((0, 0))
    network = space.draw(trial).network
    assert list(trial.params) == ["width", "conv @{3x3,5x5}", "{relu,tanh}", "conv @{3x3,5x5} #2", "dense {4,8}"]
    assert network.count(f"conv {trial.params['width']}@") == 2


def test_alternatives_too_long_for_a_database_are_numbered():
    long = [f"dense {4 + n}, relu" for n in range(90)]
    space, _ = space_of(f"{{{'|'.join(long)}}}".replace(", relu", "").replace("|", ","), {})
    trial = AtRandom((0, 3))
    assert space.draw(trial).network == long[next(iter(trial.params.values())) - 1].replace(", relu", "")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("learning_rate", "0.3..0.1", "learning_rate: the range 0.3..0.1 is empty: write the smaller number first"),
        ("learning_rate", "-1..0.1", "the learning rate must be above 0"),
        ("learning_rate", "0.1,fast", "the learning rate must be above 0"),
        ("augment", "none,turn", 'unknown augmentation "turn": choose one of'),
        ("augment", "none,none", "augment: 'none' stands twice in 'none,none': give different alternatives"),
        ("augment", ["none", "none"], "augment: 'none' stands twice in 'none,none'"),
        ("augment", [], "augment: give alternatives"),
        ("learning_rate", [0.1, "0.10"], "learning_rate: '0.1' stands twice"),
        ("size", "8,8x8", "size: '8x8' stands twice"),
        ("size", "8,0", "size: the image size '0' makes no sense"),
        ("learning_rate", "0.1,1e999", "the learning rate must be above 0"),
        ("learning_rate", "0.1,nan", "the learning rate must be above 0"),
        ("augment", "1..3", "augment is no number"),
        ("batch_size", "0.5..8", "batch_size takes whole numbers"),
        ("batch_size", "0,8", "batch_size must be a whole number of at least 1, not 0"),
        ("batch_size", "8,16..32", "write one alone, like 16..64"),
        ("size", "16.5..32", "size takes whole numbers"),
    ],
)
def test_values_that_make_no_sense_are_named(name, value, problem):
    with pytest.raises(OptionError) as caught:
        space_of("auto", {name: value})
    assert problem in str(caught.value)


SPELLINGS = (" {}", "{} ", "0{}", "{}.0", "{}e0", "+{}")


def test_no_alternative_stands_twice_however_it_is_written():
    """In braces for `vary` and `search`, in options, and among networks."""
    rng = random.Random(1)
    for _ in range(200):
        numbers = rng.sample(range(1, 100), rng.randint(2, 6))
        texts = list(map(str, numbers))
        assert space_of("auto", {"batch_size": ",".join(texts)})[0].count() == len(texts)
        assert len(expand(f"dense {{{','.join(texts)}}}")) == len(texts)
        again = rng.choice(SPELLINGS).format(rng.choice(texts))
        texts.insert(rng.randrange(len(texts) + 1), again)
        text = ",".join(texts)
        for network, options in (
            (f"dense {{{text}}}", {}),
            (f"dense {{n={text}}}", {}),
            ("auto", {"batch_size": text}),
            ("auto", {"batch_size": texts}),
        ):
            with pytest.raises((OptionError, NetworkTextError), match="stands twice in"):
                space_of(network, options)
    for text in ("{relu,RELU}, dense 2", "conv 8@3x3 {same,,}, dense 2", "conv 8@{3x3, 3x3}, dense 2"):
        with pytest.raises(NetworkTextError, match="stands twice"):
            expand(text)
    with pytest.raises(OptionError, match="'dense  2' stands twice"):
        space_of(["dense 2", "dense {2,3}", "dense  2"], {})


def read_or_refused(text):
    try:
        found = alternatives_in(text)
    except OptionError as error:
        return str(error)
    assert isinstance(found, Range)
    return found


def test_any_text_of_a_range_is_one_or_is_refused_in_a_line():
    """And what is drawn lies between its ends, which Optuna takes."""
    optuna = pytest.importorskip("optuna")
    rng = random.Random(2)
    signs = ["0", "1", "5", "9", "10", "0.1", "2.5", "1e3", "1e-9", "1e400", "1e-400", "99999999999999999999", "-1",
             "nan", "inf", "", "1e", "1.2.3", "0x8", "1_0", "٣", "12345.678"]  # fmt: skip
    taken = 0
    for _ in range(3000):
        text = f"{rng.choice(signs)}..{rng.choice(signs)}{rng.choice(['', '', ' log', ' by ' + rng.choice(signs)])}"
        found = read_or_refused(text)
        if isinstance(found, str):
            assert "\n" not in found
            assert text.strip() in found or re.search(r"1e-?400|9{20}", found)
            continue
        low, high = map(float, re.findall(r"-?[\d.]+(?:e[+-]?\d+)?", text.partition(" ")[0].replace("..", " ")))
        values = [found.ends()[0], found.ends()[1]]
        space, _ = space_of(f"dropout {{n={text}}}", {})
        values += [draw.params["n"] for n in range(5) if space.draw(draw := AtRandom((1, n)))]
        trial = optuna.trial.FixedTrial({"n": values[-1]})
        assert space.draw(trial)
        assert all(low <= found.rounded(value) <= high for value in values)
        assert found.count() > 1
        assert len(set(found.ends())) == 2
        taken += 1
    assert taken > 100


def test_steps_are_as_fine_as_they_are_written():
    shares = expand("dropout {0.1..0.101 by 0.0001}, dense 2")
    assert len(shares) == 11
    assert shares[3] == "dropout 0.1003, dense 2"
    values = [float(one.split()[1].rstrip(",")) for one in shares]
    assert all(0 < after - before < 0.00011 for before, after in pairwise(values))


def test_no_name_is_too_long_for_a_database():
    long = "conv {" + ",".join(f"{n}@3x3" for n in range(1, 200)) + "}"
    names = [brace.name for brace in template(f"{long}, {long}, dense 2").braces]
    assert len(set(names)) == 2
    assert all(len(name) <= LONGEST_NAME + 10 for name in names)


def test_auto_may_be_one_of_several_networks():
    space, _ = space_of(["auto", "dense {2,3}, dense 2"], {})
    assert {one.network for one in drawn(space)} == {"auto", "dense 2, dense 2", "dense 3, dense 2"}


def test_mistakes_in_braces_have_a_caret():
    with pytest.raises(NetworkTextError, match="smaller number first"):
        space_of("conv {8..4}@3x3", {})


def test_the_default_goes_from_small_to_large():
    options, networks = default_space((3, 32, 32), 10, {"optimizer": "adamw"})
    assert options["learning_rate"] == "0.0004..0.02"
    assert len(networks) == 4
    space, _ = space_of(networks, options)
    assert {one.network for one in drawn(space)} == set(networks)
    assert default_space((1, 8, 8), 2, {"augment": "none"})[0] == {"learning_rate": "0.01..0.5"}
