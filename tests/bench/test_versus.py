"""The user's own comparison: who is here, and a short race with nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from lanewise.bench import versus
from lanewise.bench.environment import Environment
from lanewise.bench.nets import Net
from lanewise.bench.peers import LANEWISE, ONNX_RUNTIME, PEERS
from lanewise.bench.process import WorkerError
from lanewise.bench.race import Entry, Settings

TINY = Net("tiny", "dense 3", (1, 4, 4), 3)


class Installed:
    """A distribution that is installed."""

    def __init__(self, name: str, version: str) -> None:
        self.metadata, self.version = {"Name": name}, version


def only(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    found = [Installed(name, version) for name, version in versions.items()]
    monkeypatch.setattr(versus.metadata, "distributions", lambda: found)  # type: ignore[attr-defined]


def test_whoever_is_installed_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Torch="2.13", tensorflow_cpu="2.21", numpy="2.4")
    here, absent, versions = versus.present((*PEERS, ONNX_RUNTIME))
    assert {peer.framework for peer in here} == {"torch"}
    assert absent == ("keras", "jax", "onnxruntime")
    assert versions == {"torch": "2.13"}


def test_alone_lanewise_still_has_its_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    found = versus.measure(TINY, batch=16, threads=1, seconds=0.2, say=lambda sentence: None)
    for entries in (found.train, found.infer, found.latency):
        assert [entry.peer for entry in entries] == [LANEWISE]
        assert len(entries[0].rates) == versus.ROUNDS
        assert found.images_per_second(entries) > 0
    assert min(found.cold.build, found.cached.build) > 0
    assert found.absent == ("torch", "keras", "jax", "onnxruntime")


def test_a_network_that_lanewise_cannot_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)

    def nobody(*_: Any) -> list[Entry]:
        return [Entry("tiny", LANEWISE, problem="too large")]

    monkeypatch.setattr(versus, "run", nobody)
    monkeypatch.setattr(versus, "measure_first", lambda *_, **__: None)
    with pytest.raises(WorkerError, match="too large"):
        versus.measure(TINY, batch=16, threads=1, seconds=0.2, say=lambda sentence: None)


def test_the_time_is_shared_among_races_rounds_and_racers(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, torch="2.13", onnxruntime="1")
    asked: list[tuple[str, int, int, float]] = []

    def record(nets: Any, racers: list[Any], settings: Settings, say: Any) -> list[Entry]:
        asked.append((settings.kind, settings.batch, settings.threads, settings.burst * len(racers) * settings.rounds))
        return [Entry("tiny", LANEWISE, (1.0,))]

    monkeypatch.setattr(versus, "run", record)
    monkeypatch.setattr(versus, "measure_first", lambda *_, **__: None)
    versus.measure(TINY, batch=16, threads=2, seconds=10, say=lambda sentence: None)
    assert asked == [
        ("train", 16, 2, pytest.approx(6)),
        ("infer", 16, 2, pytest.approx(2)),
        ("infer", 1, 1, pytest.approx(2)),
    ]


def test_a_busy_machine_is_told() -> None:
    machine = {"cpu": "X", "cores": 2, "system": "Y", "python": "3", "busy": 0.1}
    idle, busy = (Environment(machine | {"busy": load}, {"numpy": "2"}, "today") for load in (0.1, 1.7))
    assert idle.sentences == ["X, 2 cores, Y; today", "Python 3, numpy 2"]
    assert "1.7 processors were busy" in busy.with_versions({"torch": "1"}).sentences[-1]
    assert busy.with_versions({"torch": "1"}).versions == {"numpy": "2", "torch": "1"}


def test_figures_come_with_versions_of_what_lanewise_runs_on() -> None:
    now = Environment.now()
    assert {"lanewise", "numpy", "onnx"} <= set(now.versions)
    assert "pytest" not in now.versions
    assert now.machine["cores"] >= 1
