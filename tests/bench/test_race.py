"""How speeds are compared and told; nothing is timed here but one short race of Lanewise against itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lanewise.bench import race, tables
from lanewise.bench.nets import NETS, Net
from lanewise.bench.peers import LANEWISE, ONNX_RUNTIME, PEERS, missing, versions_of
from lanewise.bench.process import WorkerError
from tests.bench.support import BFLOAT16, CHANNELS_LAST, KERAS, TORCH, entries


def test_speeds_are_compared_within_rounds() -> None:
    lines = {line.entry.peer: line for line in race.lines(entries(), "mid")}
    assert lines[TORCH].ratios == (2.0, 2.5)
    assert lines[TORCH].ratio == 2.25
    assert lines[TORCH].images_per_second == 350
    assert [line.entry.peer for line in race.lines(entries(), "mid")] == [BFLOAT16, LANEWISE, CHANNELS_LAST, TORCH]


def test_anybody_can_be_what_the_others_are_compared_with() -> None:
    lines = {line.entry.peer: line for line in race.lines(entries(), "mid", own=TORCH)}
    assert lines[LANEWISE].ratios == (0.5, 0.4)


def test_bfloat16_is_shown_but_never_the_best() -> None:
    best = race.best_framework(entries(), "mid")
    assert best is not None
    assert best.entry.peer == CHANNELS_LAST
    assert [line.entry.peer for line in race.losses_of_lanewise(entries())] == [BFLOAT16]


def test_whoever_does_other_work_is_not_timed() -> None:
    losses = {LANEWISE: 2.3, TORCH: 2.3001, BFLOAT16: 2.31}
    for peer in (TORCH, BFLOAT16):
        race._check_loss(peer, losses, roughly=False)
    for wrong in (2.31, float("nan")):
        with pytest.raises(WorkerError, match="other work"):
            race._check_loss(TORCH, losses | {TORCH: wrong}, roughly=False)


def test_dropout_is_by_chance_but_not_by_any() -> None:
    race._check_loss(TORCH, {LANEWISE: 2.3, TORCH: 2.5}, roughly=True)
    with pytest.raises(WorkerError, match="other work"):
        race._check_loss(TORCH, {LANEWISE: 2.3, TORCH: 3.5}, roughly=True)


def test_tables_name_who_is_missing() -> None:
    cells = {row[0]: row[1:] for row in tables.race_table(entries(), "mid", "").rows}
    assert cells["torch channels_last"] == ("600", "1.25x", "1.25–1.25")
    assert cells["keras"] == ("–", "–", "not installed (keras)")


def test_latency_is_the_other_way_round() -> None:
    cells = {row[0]: row[1:] for row in tables.latency_table(entries(), "mid", "").rows}
    assert cells["torch channels_last"] == ("1,670", "0.80", "0.80–0.80")


def test_losses_are_named() -> None:
    said = tables.verdicts(entries())
    assert "mid: 1.25 times the speed of the fastest framework in float32, torch channels_last." in said
    assert "Lanewise LOSES on mid: 0.50 times the speed of torch bfloat16, which rounds to bfloat16." in said
    assert tables.loses_to(entries()) == [{"net": "mid", "peer": "torch bfloat16", "ratio": 0.5}]
    assert tables.verdicts(entries()[:3], "training")[-1] == "training: no framework was faster."
    assert tables.verdicts(entries()[:1]) == []


@pytest.mark.parametrize(
    ("value", "text"), [(31_415.9, "31,400"), (128.4, "128"), (12.34, "12.3"), (0.851, "0.85"), (99.97, "100.0")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert tables.figure(value) == text


def test_what_a_peer_needs() -> None:
    assert missing(KERAS, {"keras": "3"}) == ["tensorflow-cpu or tensorflow"]
    assert missing(KERAS, {"keras": "3", "tensorflow": "2"}) == []
    assert versions_of([KERAS, TORCH], {"keras": "3", "numpy": "2"}) == {"keras": "3"}
    assert missing(ONNX_RUNTIME, {}) == ["onnxruntime"]


def test_every_round_is_measured_and_problems_are_told() -> None:
    again, absent = replace(LANEWISE, name="again"), replace(PEERS[0], name="absent", framework="nosuch")
    racers = [race.Racer(LANEWISE), race.Racer(again, threads=1), race.Racer(absent)]
    settings = race.Settings(threads=1, batch=16, rounds=2, burst=0.01)
    said: list[str] = []
    found = race.run([Net("tiny", "dense 2", (1, 4, 4), 2)], racers, settings, said.append)
    assert [(entry.peer, len(entry.rates)) for entry in found] == [(LANEWISE, 2), (again, 2), (absent, 0)]
    assert "with_nosuch" in found[2].problem
    assert said[-1] == "tiny: round 2 of 2"


class Runner:
    """A worker that takes so many seconds a step and writes down when it was asked."""

    def __init__(self, name: str, seconds: float, asked: list[str]) -> None:
        self.name, self.seconds, self.asked = name, seconds, asked

    def ask(self, **request: Any) -> dict[str, Any]:
        if "run" not in request:
            return {"ready": True}
        self.asked.append(self.name)
        return {"seconds": request["run"] * self.seconds, "loss": 2.3}


def test_nobody_always_follows_the_same_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(race, "SETTLE", 0.0)
    asked: list[str] = []
    speeds = {"a": 0.01, "b": 0.02, "c": 0.04}
    workers = {
        race.Racer(replace(LANEWISE, name=name)): Runner(name, seconds, asked) for name, seconds in speeds.items()
    }
    settings = race.Settings(batch=16, rounds=3, burst=0.08)
    found = list(race._race(NETS["lenet"], workers, tmp_path / "model.onnx", settings, lambda _: None))
    assert asked[-9:] == [*"abc", *"bca", *"cab"]
    assert [entry.rates for entry in found] == [pytest.approx([16 / seconds] * 3) for seconds in speeds.values()]


def test_a_burst_takes_about_as_long_as_it_should() -> None:
    assert race.steps_of_a_burst(Runner("a", 0.01, []), 0.5) == 50
    assert race.steps_of_a_burst(Runner("a", 3.0, []), 0.5) == 1


def test_all_nets_can_be_built() -> None:
    assert {name: net.graph.parameter_count for name, net in NETS.items()} == {
        "lenet": 61_706,
        "signboard": 162_998,
        "mid": 1_116_970,
        "wide": 963_466,
        "resnet8": 77_706,
        "resnet8bn": 78_714,
        "resnet20": 274_042,
        "mobile": 145_258,
        "photo": 432_506,
        "airbench": 1_975_096,
    }
