"""The benchmarks' command line and tables; nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import data, environment, race, report, train
from benchmarks.__main__ import chosen_peers, main
from benchmarks.nets import NETS
from benchmarks.peers import LANEWISE, PEERS, chain
from benchmarks.process import Worker, WorkerError
from click.testing import CliRunner

from lanewise.network import reference

ROOT = Path(__file__).parent.parent

TORCH, CHANNELS_LAST, _, BFLOAT16 = PEERS[:4]


def entries() -> list[race.Entry]:
    """Two rounds; the machine was slow in the second."""
    return [
        race.Entry("mid", LANEWISE, (1000.0, 500.0)),
        race.Entry("mid", TORCH, (500.0, 200.0)),
        race.Entry("mid", CHANNELS_LAST, (800.0, 400.0)),
        race.Entry("mid", BFLOAT16, (2000.0, 1000.0)),
        race.Entry("mid", PEERS[4], problem="not installed (keras)"),
    ]


def test_every_command_parses() -> None:
    for command in ("train", "kernels", "mnist", "signboard", "install"):
        result = CliRunner().invoke(main, [command, "--help"])
        assert result.exit_code == 0, result.output
        assert "--json" in result.output
        assert "--markdown" in result.output


@pytest.mark.parametrize("option", [["--nets", "lenet,nosuch"], ["--peers", "nosuch"], ["--rounds", "0"]])
def test_unknown_names_are_refused_before_anything_runs(option: list[str]) -> None:
    result = CliRunner().invoke(main, ["train", *option])
    assert result.exit_code == 2
    assert option[1].rpartition(",")[2] in result.output


def test_a_framework_stands_for_all_its_modes() -> None:
    assert {peer.name for peer in chosen_peers(("jax", "torch compile"))} == {
        "torch compile",
        "jax",
        "jax reshaped pools",
    }


def test_speeds_are_compared_within_rounds() -> None:
    lines = {line.entry.peer: line for line in race.lines(entries(), "mid")}
    assert lines[TORCH].ratios == (2.0, 2.5)
    assert lines[TORCH].ratio == 2.25
    assert lines[TORCH].images_per_second == 350
    assert [line.entry.peer for line in race.lines(entries(), "mid")] == [BFLOAT16, LANEWISE, CHANNELS_LAST, TORCH]


def test_bfloat16_is_shown_but_never_the_best() -> None:
    best = race.best_framework(entries(), "mid")
    assert best is not None
    assert best.entry.peer == CHANNELS_LAST
    assert [line.entry.peer for line in race.losses_of_lanewise(entries())] == [BFLOAT16]


def test_the_report_says_who_is_missing_and_where_lanewise_loses() -> None:
    made = train.report(entries(), race.Settings())
    cells = {row[0]: row[1:] for row in made.tables[0].rows}
    assert cells["torch channels_last"] == ("600", "1.25x", "1.25–1.25")
    assert cells["keras"] == ("–", "–", "not installed (keras)")
    said = "\n".join(made.remarks)
    assert "mid: 1.25 times the best framework in float32, torch channels_last." in said
    assert "LOSES on mid: 0.50 times the speed of torch bfloat16" in said
    assert made.figures["loses_to"] == [{"net": "mid", "peer": "torch bfloat16", "ratio": 0.5}]


def test_whoever_does_other_work_is_not_timed() -> None:
    losses = {LANEWISE: 2.3, TORCH: 2.3001, BFLOAT16: 2.31}
    for peer in (TORCH, BFLOAT16):
        race._check_loss(peer, losses)
    for wrong in (2.31, float("nan")):
        with pytest.raises(WorkerError, match="other work"):
            race._check_loss(TORCH, losses | {TORCH: wrong})


def test_markdown_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    made = report.Report("x", (report.Table("Title", ("a|b", "c"), (("d", "1"),)),), ("Remark.",), {"answer": 42})
    report.show(made, report.Circumstances.now().with_versions({"torch": "0"}), markdown=True, json_file=file)
    printed = capsys.readouterr().out
    assert "**Title**\n\n| a\\|b | c |\n| --- | ---: |\n| d | 1 |\n\n- Remark." in printed
    figures = json.loads(file.read_text())
    assert figures["answer"] == 42
    assert figures["machine"]["cores"] >= 1
    assert {"lanewise", "torch"} <= set(figures["versions"])


@pytest.mark.parametrize(
    ("value", "text"), [(31_415.9, "31,400"), (128.4, "128"), (12.34, "12.3"), (0.851, "0.85"), (99.97, "100.0")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert report.figure(value) == text


def test_nothing_is_installed_where_there_is_no_environment(tmp_path: Path) -> None:
    assert environment.installed(tmp_path) == {}
    assert environment.missing(PEERS[4], {"keras": "3"}) == ["tensorflow-cpu or tensorflow"]
    assert environment.missing(PEERS[4], {"keras": "3", "tensorflow": "2"}) == []


def test_every_batch_is_new_until_all_pictures_were_there() -> None:
    endless = data.batches(100)
    seen = np.concatenate([next(endless) for _ in range(21)])
    assert sorted(seen[: data.PICTURES].tolist()) == list(range(data.PICTURES))


def test_weights_for_channels_last_compute_the_same() -> None:
    net = NETS["lenet"]
    (first, *_), (last, *_) = (
        [step for step in chain.steps(net, channels_last=order) if step.weights and step.weights[0].ndim == 2]
        for order in (False, True)
    )
    picture = np.random.default_rng(0).standard_normal((16, 5, 5)).astype(np.float32)
    by_channel = first.weights[0] @ picture.reshape(-1)
    by_place = picture.transpose(1, 2, 0).reshape(-1) @ last.weights[0]
    np.testing.assert_allclose(by_channel, by_place, rtol=1e-4, atol=1e-5)


def test_a_worker_does_the_steps_that_everybody_does() -> None:
    net = NETS["lenet"]
    pixels, labels = data.pictures(net)
    chosen = next(data.batches(32))
    graph, weights = net.graph, tuple(p for step in chain.steps(net, channels_last=False) for p in step.weights)
    outputs = reference.forward(graph, weights, data.prepared(pixels[chosen]).transpose(0, 3, 1, 2))[-1]
    expected = -np.log(outputs[np.arange(32), labels[chosen]]).mean()
    with Worker(sys.executable, "lanewise", threads=1) as worker:
        with pytest.raises(WorkerError, match="nothing is built"):
            worker.ask(run=1)
        worker.ask(build="lenet", mode="float32", batch=32, threads=1)
        answer = worker.ask(run=1)
    assert answer["seconds"] > 0
    assert answer["loss"] == pytest.approx(expected, rel=1e-4)


def test_a_framework_that_is_not_there_is_one_line() -> None:
    with Worker(sys.executable, "nosuch", threads=1) as worker, pytest.raises(WorkerError, match="with_nosuch"):
        worker.ask(build="lenet", mode="", batch=32, threads=1)


def test_a_worker_that_ends_says_its_last_words() -> None:
    with Worker(sys.executable, "lanewise", threads=1) as worker:
        worker._process.kill()
        with pytest.raises(WorkerError, match="its process ended: "):
            worker.ask(run=1)


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "signboard" in done.stdout
