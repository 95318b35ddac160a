"""What `lanewise bench` asks for and says, on figures made up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lanewise.bench import versus
from lanewise.bench.cold_start import First
from lanewise.bench.nets import NETS
from lanewise.bench.peers import LANEWISE, ONNX_RUNTIME, PEERS
from lanewise.bench.race import Entry
from lanewise.cli.bench import chosen_net
from tests.cli.conftest import failed, misused, run

FIRST = First(0.1, 0.1, 0.5, 0.01, 0.01, 10**8, 2 * 10**8)
PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def versus_of(net, alone=False):
    def entries(own, *others):
        found = [Entry(net.name, LANEWISE, (own,)), *(Entry(net.name, peer, (rate,)) for peer, rate in others)]
        return found[:1] if alone else found

    absent = Entry(net.name, PEERS[4], problem="ValueError: no")
    training = entries(30_000.0, (PEERS[0], 10_000.0), (PEERS[3], 60_000.0))
    return versus.Versus(
        net,
        training if alone else [*training, absent],
        entries(50_000.0, (ONNX_RUNTIME, 40_000.0)),
        entries(10_000.0, (ONNX_RUNTIME, 20_000.0)),
        FIRST,
        replace(FIRST, build=0.04),
        {} if alone else {"torch": "2.13"},
        ("torch", "keras", "jax", "onnxruntime") if alone else ("jax",),
    )


@pytest.fixture
def asked(monkeypatch):
    """What `versus.measure` was asked for; it answers at once."""
    given = {"alone": False}

    def measure(net, **options):
        given.update(options, net=net)
        return versus_of(net, given["alone"])

    monkeypatch.setattr(versus, "measure", measure)
    return given


def test_everything_is_passed_on(asked):
    run("bench", "signboard", "--batch", 64, "--threads", 1, "--seconds", "1.5m")
    assert (asked["batch"], asked["threads"], asked["seconds"]) == (64, 1, 90)
    assert asked["net"].graph == NETS["signboard"].graph


def test_who_wins_and_who_loses_is_said(asked):
    shown = run("bench", "lenet").stdout
    rows = [line.split() for line in shown.splitlines()]
    assert ["torch", "10,000", "3.00x", "3.00–3.00"] in rows
    assert ["onnxruntime", "50.0", "2.00", "2.00–2.00"] in rows
    assert any(row[:1] == ["keras"] and row[-1] == "no" for row in rows)
    assert "training, lenet: 3.00 times the speed of the fastest framework in float32, torch." in shown
    assert "training, Lanewise LOSES on lenet: 0.50 times the speed of torch bfloat16, which rounds" in shown
    assert "one image, Lanewise LOSES on lenet: 0.50 times the speed of onnxruntime" in shown
    assert "predicting: no framework was faster" in shown
    assert "not counted as best" in shown
    assert "torch 2.13" in shown
    assert "compiling 0.50 s the first time, 0.04 s from then on" in shown
    assert "jax; to compare with one: pip install jax" in shown


def test_alone_it_says_its_own_figures_and_whom_to_install(asked):
    asked["alone"] = True
    shown = run("bench", "lenet").stdout
    assert "training 30,000 images/s" in shown
    assert "predicting 50,000 images/s; one image in 100 µs" in shown
    assert "pip install torch or pip install keras tensorflow" in shown
    assert "Verdict" not in shown
    assert "over rounds" not in shown


def test_json(asked):
    result = run("bench", "lenet", "--threads", 1, "--json")
    told = json.loads(result.stdout)
    assert told["input"] == [28, 28, 1]
    assert told["threads"] == 1
    assert told["training"]["images_per_second"] == 30_000
    assert told["training"]["loses_to"] == [{"net": "lenet", "peer": "torch bfloat16", "ratio": 0.5}]
    assert told["training"]["results"][3]["problem"] == "ValueError: no"
    assert told["compile_seconds"] == {"cold": 0.5, "cached": 0.04}
    assert told["versions"]["torch"] == "2.13"
    nested = [told["compile_seconds"], told["first_training"]["cold"], told["training"]]
    nested += [*told["training"]["results"], *told["training"]["loses_to"]]
    assert {key for key in set(told).union(*nested) if f"`{key}`" not in PAGE.read_text()} == set()


@pytest.mark.parametrize(
    ("arguments", "shape", "last"),
    [
        (("auto", None, 10), (3, 32, 32), "dense 10, softmax"),
        (("auto", (1, 8, 8), 2), (1, 8, 8), "dense 1, sigmoid"),
        (("lenet", None, 10), (1, 28, 28), "dense 10, softmax"),
        (("lenet", (3, 32, 32), 10), (3, 32, 32), "dense 10, softmax"),
        (("conv 4@3x3, dense 5", None, 5), (3, 32, 32), "dense 5, softmax"),
    ],
)
def test_networks(arguments, shape, last):
    net = chosen_net(*arguments)
    assert net.shape == shape
    assert net.text.endswith(last)
    assert net.graph.input_shape == shape


def test_what_is_wrong_is_said_before_anything_is_measured(asked):
    result = run("bench", "conv 4@3x3, rleu")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "^^^^" in result.stderr
    assert "there are 5 classes" in failed(run("bench", "lenet", "--classes", 5))
    assert "is no shape of images" in misused(run("bench", "--input", "x"))
    assert "more than the" in misused(run("bench", "--threads", 100_000))
    assert "is no time" in misused(run("bench", "--seconds", "soon"))
    assert "net" not in asked
