"""Texts with braces, and the networks they stand for."""

import pytest

from lanewise.errors import NetworkError, NetworkTextError
from lanewise.experiments.grid import candidates, expand


def test_the_last_brace_varies_fastest():
    assert expand("conv {8,16}@{3x3, 5x5}, dense 10") == [
        "conv 8@3x3, dense 10",
        "conv 8@5x5, dense 10",
        "conv 16@3x3, dense 10",
        "conv 16@5x5, dense 10",
    ]


def test_a_text_without_braces_stands_for_itself():
    assert expand("conv 8@3x3, dense 10") == ["conv 8@3x3, dense 10"]


def test_an_alternative_may_be_nothing_and_leaves_no_trace():
    assert expand("conv 8@3x3 {same,} , dense {10 }") == ["conv 8@3x3 same, dense 10", "conv 8@3x3, dense 10"]


def test_a_layer_may_be_nothing_too():
    assert expand("conv 8@3x3, {relu,}, max 2") == ["conv 8@3x3, relu, max 2", "conv 8@3x3, max 2"]
    assert expand("{max 2,}, dense 2") == ["max 2, dense 2", "dense 2"]
    assert expand("{,max 2}, {dropout 0.1,}, dense 2, {,softmax}")[2] == "dense 2"
    assert expand("concat(conv 1@1 {,nobias}, {relu,} | conv 1@3 same, {,relu}), dense 2")[1:3] == [
        "concat(conv 1@1, relu | conv 1@3 same, relu), dense 2",
        "concat(conv 1@1 | conv 1@3 same), dense 2",
    ]
    assert expand("conv 8@3x3, {relu,},, max 2")[1] == "conv 8@3x3,, max 2"  # a slip stays one


@pytest.mark.parametrize(
    ("text", "marked", "problem"),
    [
        ("conv {8,{16}}@3", "{", "cannot be nested"),
        ("conv 8}@3", "}", "no opening brace"),
        ("conv {8@3, relu", "{", "not closed"),
        ("conv { , }@3", "{ , }", "hold nothing"),
        ("conv {}@3", "{}", "hold nothing"),
    ],
)
def test_slips_are_shown_where_they_are(text, marked, problem):
    with pytest.raises(NetworkTextError, match=problem) as caught:
        expand(text)
    assert text[caught.value.start : caught.value.stop] == marked
    assert caught.value.stop <= text.rindex(marked) + len(marked)


def test_a_thousand_networks_are_the_most():
    ten = "{" + ",".join(map(str, range(10))) + "}"
    assert len(expand(f"conv {ten}@{ten} pad {ten}")) == 1000
    with pytest.raises(NetworkError, match=r"stand for 2,000 networks, but at most 1,000"):
        expand(f"conv {ten}@{ten} pad {ten}, {{relu,tanh}}")


def test_what_cannot_be_built_is_told_with_its_reason():
    possible, impossible = candidates(expand("conv 4@{3x3,9x9}, {relu,rleu}, dense 2"), (1, 8, 8), 2)
    assert [one.network for one in possible] == ["conv 4@3x3, relu, dense 2, softmax"]
    assert possible[0].graph.input_shape == (1, 8, 8)
    assert [one.text for one in impossible] == [
        "conv 4@3x3, rleu, dense 2",
        "conv 4@9x9, relu, dense 2",
        "conv 4@9x9, rleu, dense 2",
    ]
    assert "rleu" in impossible[0].reason
    assert "larger than the 8x8 image" in impossible[1].reason
    assert "\n" not in impossible[0].reason


def test_networks_that_come_out_the_same_are_there_once():
    possible, _ = candidates(expand("conv 4@{3,3x3} stride {1,2}, dense 2"), (1, 8, 8), 2)
    assert [one.name for one in possible] == ["conv 4@3 stride 1, dense 2", "conv 4@3 stride 2, dense 2"]


def test_where_none_can_be_built_the_first_reason_is_told():
    with pytest.raises(NetworkError, match=r"none of the 2 networks can be built; conv 4@9x9, dense 2: conv1"):
        candidates(expand("conv {4,8}@9x9, dense 2"), (1, 8, 8), 2)
    with pytest.raises(NetworkTextError) as caught:
        candidates(expand("conv {4,8}@3x3, rleu"), (1, 8, 8), 2)
    assert "^^^^" in str(caught.value)


def test_ranges_of_whole_numbers_and_steps_stand_for_all_their_values():
    assert expand("conv {8..10}@3x3, dense 2") == [f"conv {n}@3x3, dense 2" for n in (8, 9, 10)]
    assert expand("dropout {0.1..0.3 by 0.1}, dense {4..16 by 4}")[::4] == [
        f"dropout {share}, dense 4" for share in (0.1, 0.2, 0.3)
    ]


def test_a_name_puts_the_same_choice_into_several_places():
    assert expand("conv {n=4,8}@3x3 same, residual(conv {n}@3x3 same), dense 2") == [
        f"conv {n}@3x3 same, residual(conv {n}@3x3 same), dense 2" for n in (4, 8)
    ]


@pytest.mark.parametrize(
    ("text", "marked", "problem"),
    [
        ("conv {0.1..0.5}@3", "{0.1..0.5}", "no end of numbers"),
        ("conv {8..64 log}@3", "{8..64 log}", "no end of numbers"),
        ("conv {64..8}@3", "{64..8}", "smaller number first"),
        ("conv {8..}@3", "{8..}", "write one alone, like 16..64"),
        ("conv {8,16..64}@3", "{8,16..64}", "write one alone"),
        ("conv {8..16 by 9}@3", "{8..16 by 9}", "do not fit between its ends"),
        ("dropout {0..0.5 log}", "{0..0.5 log}", "begin above 0"),
        ("conv {n=8,16}@3, conv {n=8,16}@3", "{n=8,16}", "n has its alternatives already: write {n}"),
    ],
)
def test_slips_in_ranges_and_names_are_shown_where_they_are(text, marked, problem):
    with pytest.raises(NetworkTextError, match=problem) as caught:
        expand(text)
    assert text[caught.value.start : caught.value.stop] == marked
