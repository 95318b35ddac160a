"""The benchmarks' command line and reports, on figures made up; nothing is timed here."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from benchmarks import (
    busy,
    compiling,
    default,
    environment,
    features,
    files,
    foreign,
    growth,
    infer,
    kernels,
    learners,
    memory,
    mnist,
    normalisation,
    odd,
    parts,
    report,
    svg,
    threads,
    train,
)
from benchmarks.__main__ import chosen_peers, main
from click.testing import CliRunner
from PIL import Image

from lanewise.bench.cold_start import First
from lanewise.bench.environment import Environment
from lanewise.bench.nets import NETS
from lanewise.bench.peers import LANEWISE, ONNX_RUNTIME, PEERS
from lanewise.bench.race import Entry, Settings
from lanewise.bench.tables import Table
from lanewise.engine.fuse import fuse
from lanewise.network import summary
from lanewise.training.recipe import network_for, output_layers
from tests.bench.support import entries
from tests.model_file.models import foreign as exported

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("command", list(main.commands))
def test_every_command_parses(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0, result.output
    assert "--json" in result.output
    assert "--markdown" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--nets", "lenet,nosuch"),
        ("train", "--peers", "nosuch"),
        ("train", "--rounds", "0"),
        ("infer", "--batches", "128,x"),
        ("infer", "--batches", "0"),
        ("growth", "--axes", "nosuch"),
        ("busy", "--busy", "0,-1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert arguments[2].rpartition(",")[2] in result.output


def test_one_thread_is_not_compared_with_itself() -> None:
    result = CliRunner().invoke(main, ["threads", "--threads", "1"])
    assert result.exit_code == 2
    assert "give --threads 2 or more" in result.output


def test_busy_has_a_row_for_each_number_of_busy_processes() -> None:
    turns = [busy.Turn(n, threads, 2.0, (1.0, 1.5, 3.25)) for n in (0, 4) for threads in (1, 2)]
    (table,) = busy.report("lenet", turns, 3).tables
    assert table.columns == ("busy processes", "1 thread", "2 threads")
    cell = "1.50 (1.00 to 3.25; 2.0x)"
    assert table.rows == (("0", cell, cell), ("4", cell, cell))


def test_a_framework_stands_for_all_its_modes() -> None:
    assert {peer.name for peer in chosen_peers(("jax", "torch compile"))} == {
        "torch compile",
        "jax",
        "jax reshaped pools",
    }


def test_the_report_says_who_is_missing_and_where_lanewise_loses() -> None:
    made = train.report(entries(), Settings())
    assert ("keras", "–", "–", "not installed (keras)") in made.tables[0].rows
    assert "LOSES on mid: 0.50 times the speed of torch bfloat16" in "\n".join(made.remarks)
    assert "shown for honesty" in made.remarks[-1]
    assert made.figures["loses_to"] == [{"net": "mid", "peer": "torch bfloat16", "ratio": 0.5}]


def predictions() -> dict[int, list[Entry]]:
    pairs = {1: (20_000.0, 10_000.0), 128: (10_000.0, 20_000.0)}
    return {
        batch: [
            Entry("mid", LANEWISE, (own,)),
            Entry("mid", ONNX_RUNTIME, (other,)),
            Entry("wide", LANEWISE, (own,)),
            Entry("wide", ONNX_RUNTIME, problem="gone"),
        ]
        for batch, (own, other) in pairs.items()
    }


def test_predictions_in_batches() -> None:
    made = infer.throughput(predictions(), Settings(kind="infer"))
    cells = {row[0]: row[1:] for row in made.tables[0].rows}
    assert cells["mid, batch 128"] == ("10,000", "20,000", "0.50x", "0.50–0.50")
    assert cells["wide, batch 128"] == ("10,000", "–", "–", "gone")
    assert "batch 128, Lanewise LOSES on mid: 0.50 times the speed of onnxruntime." in made.remarks
    assert "batch 1: no framework was faster." in made.remarks
    assert made.figures["batches"]["128"]["loses_to"] == [{"net": "mid", "peer": "onnxruntime", "ratio": 0.5}]
    assert made.figures["batches"]["128"]["results"][3]["problem"] == "gone"


def test_predictions_one_by_one() -> None:
    made = infer.latency(predictions(), Settings(threads=1, batch=1, kind="infer"))
    assert made.tables[0].rows == (("mid", "50.0", "100", "0.50", "0.50–0.50"), ("wide", "50.0", "–", "–", "gone"))


def test_threads_are_compared_with_one() -> None:
    several, one = threads.peers(2)
    found = [
        Entry("mid", several, (190.0, 380.0)),
        Entry("mid", one, (100.0, 200.0)),
        Entry("wide", several, problem="gone"),
        Entry("wide", one, (1.0,)),
    ]
    made = threads.report(found, Settings())
    assert made.tables[0].columns[1:3] == ("1 thread", "2 threads")
    assert made.tables[0].rows == (
        ("mid", "150", "285", "1.90x", "1.90–1.90"),
        ("wide", "–", "–", "–", "gone"),
    )


def test_first_trainings() -> None:
    cold = First(0.1, 0.2, 0.5, 0.01, 0.01, 0, 0)
    runs = {
        "cold": [cold, replace(cold, build=0.7), replace(cold, build=3.0)],
        "cached": [replace(cold, build=0.03)],
        "torch": [First(0.2, 1.8, 0.0, 0.5, 0.1, 0, 0)],
        "torch channels_last": [First(0.1, 0.1, 0.0, 0.1, 0.1, 0, 0)],
    }
    made = compiling.report({"mid": runs}, 128, 2)
    assert made.tables[0].rows == (("mid", "0.700", "0.030", "0.20"),)
    assert made.tables[1].rows == (
        ("mid, cold", "1.00", "10.0", ""),
        ("mid, cached", "0.33", "10.0", ""),
        ("mid, torch", "2.40", "100", "from the start"),
        ("mid, torch channels_last", "0.20", "100", "after 1.09 s"),
    )
    assert made.figures["nets"]["mid"]["cold"][2]["build"] == 3.0
    slower = compiling.report({"mid": runs | {"torch": [First(0.0, 0.1, 0.0, 0.001, 0.001, 0, 0)]}}, 128, 2)
    assert slower.tables[1].rows[2][-1] == "not for long, or never"


def taken(peer: str, batch: int, images: int, megabytes: float) -> memory.Taken:
    return memory.Taken("mid", peer, batch, images, First(0, 0, 0, 0, 0, 10_000_000, int(1e6 * megabytes)))


def test_memory_for_photographs_stands_beside_pytorch_without_curves() -> None:
    batch, images = memory.LARGE
    found = [taken("lanewise", batch, images, 300), taken("torch", batch, images, 1200)]
    made = memory.report(found, memory.LARGE)
    (table,) = made.tables
    assert table.title == "Memory of training, batch 32, 128 images"
    assert [row[-1] for row in table.rows] == ["1.00", "0.25"]
    assert "mid: 0.25 of the least that PyTorch takes." in made.remarks
    weights = {name: sum(math.prod(p.shape) for p in net.graph.parameters) for name, net in memory.PHOTOGRAPHS.items()}
    # torchvision's, and two statistics for each number that is normalised
    assert weights == {"resnet18": 11_181_642 + 9_600, "mobilenetv2": 2_236_682 + 34_112}


def test_memory_and_its_curves() -> None:
    found = [
        *(taken("lanewise", batch, memory.IMAGES, 50 + batch) for batch in memory.BATCHES),
        *(taken("lanewise", memory.BATCH, count, count) for count in memory.COUNTS[1:]),
        *(taken("torch", batch, memory.IMAGES, 300 + batch) for batch in memory.BATCHES),
        *(taken("torch", memory.BATCH, count, 2 * count) for count in memory.COUNTS[1:]),
        taken("torch channels_last", memory.BATCH, memory.IMAGES, 356),
        taken(memory.EMPTY_CACHE.name, memory.BATCH, memory.IMAGES, 200),
    ]
    made = memory.report(found)
    assert made.tables[0].rows == (
        ("mid, lanewise", "10.0", "178", "1.00"),
        ("mid, torch", "10.0", "428", "0.42"),
        ("mid, torch channels_last", "10.0", "356", "0.50"),
        ("mid, lanewise, empty cache", "10.0", "200", "0.89"),
    )
    assert "mid: 0.50 of the least that PyTorch takes." in made.remarks
    over_batch, over_images = made.tables[1:]
    assert over_batch.columns == ("", "16", "64", "128", "256", "512", "1,024")
    assert over_batch.rows[0] == ("mid, lanewise", "66.0", "114", "178", "306", "562", "1,070")
    assert over_images.rows == (
        ("mid, lanewise", "178", "8,190", "32,800"),
        ("mid, torch", "428", "16,400", "65,500"),
    )
    by_batch, by_images = memory.charts(found)
    assert by_batch.series["mid, lanewise"][0] == (16, 66.0)
    assert [x for x, _ in by_images.series["mid, torch"]] == list(memory.COUNTS)


def test_memory_without_curves() -> None:
    made = memory.report([taken("lanewise", memory.BATCH, memory.IMAGES, 100)])
    assert len(made.tables) == 1


def test_cliffs_are_neighbours_that_differ() -> None:
    points = [
        growth.Point("batch", 16, 0.1, 100.0),
        growth.Point("batch", 32, 0.1, 155.0),
        growth.Point("batch", 64, 0.1, 90.0),
        growth.Point("filters", 4, 0.1, 10.0),
    ]
    assert growth.cliffs(points) == [(points[2], points[1])]
    made = growth.report(points, threads=2)
    assert "batch 64 runs at 90.0 GF/s, its neighbour 32 at 155: 1.72 times." in made.remarks
    assert made.tables[0].rows[0] == ("16", "100", "100")
    assert "No two neighbours" in growth.report(points[:2], threads=2).remarks[-1]


def test_the_fastest_pass_of_each_shape_counts() -> None:
    slow, fast = growth.Point("batch", 16, 0.2, 50.0), growth.Point("batch", 16, 0.1, 100.0)
    other = growth.Point("batch", 32, 0.3, 70.0)
    assert growth.fastest([[slow, other], [fast, other]]) == [fast, other]


def test_the_work_of_a_step() -> None:
    graph = growth.net_of(4, 2).graph
    first = 3 * 2 * (4 * 3 - 2) ** 2  # weights of one position but for those in the border
    second = 2 * 2 * (2 * 3 - 2) ** 2
    assert growth.work(graph) == 2 * (2 * first + 3 * second + 3 * 20)


def test_a_chart_is_a_image() -> None:
    drawn = svg.document(
        [svg.Chart("a & b", "x", "y", {"one": [(1, 0.0), (10, 5.0), (100, 10.0)], "<": [(1, 1.0)]})] * 2
    )
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    lines = [line.attrib["points"] for line in root.iter(f"{space}polyline")]
    assert len(lines) == 4
    (left, bottom), (middle, half), (right, top) = (map(float, point.split(",")) for point in lines[0].split())
    assert middle - left == pytest.approx(right - middle, abs=0.2)
    assert bottom - half == pytest.approx(half - top, abs=0.2)
    assert {text.text for text in root.iter(f"{space}text")} >= {"a & b", "x", "y", "one", "<", "100"}


def test_numbers_of_a_chart_are_round_and_names_apart() -> None:
    lines = {"low": [(1.0, 40.0), (8.0, 41.0)], "lower": [(1.0, 40.0), (8.0, 40.0)]}
    root = ElementTree.fromstring(svg.document([svg.Chart("c", "x", "y", lines)]))
    texts = {text.text: text.attrib for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"0", "10", "20", "30", "40", "50"} <= set(texts)
    assert abs(float(texts["low"]["y"]) - float(texts["lower"]["y"])) >= svg.LINE_HEIGHT
    crowded = {"one": [(float(x), 3.0 * x) for x in (8, 30, 31, 32, 33, 1000)]}
    root = ElementTree.fromstring(svg.document([svg.Chart("c", "x", "y", crowded, log_y=True)]))
    said = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"8", "32", "1,000", "10", "100", "10,000"} <= said
    assert not {"31", "33"} & said


def test_every_kernel_of_a_net_is_measured() -> None:
    found = {
        (layer.partition(",")[0], kernel): work for layer, _, kernel, _, work in kernels._programs("signboard", 32)
    }
    first, second = "conv 16@3x3 same", "conv 32@3x3 same"
    direct = [(layer, kernel) for layer, kernel in found if layer.startswith("conv") and "Winograd" not in kernel]
    assert direct == [
        *((first, kernel) for kernel in ("forward", "weight gradient")),
        *((second, kernel) for kernel in ("forward", "input gradient", "weight gradient")),
    ]
    operations = fuse(NETS["signboard"].graph, training=True).operations.values()
    used = {(kind, operation.number) for operation in operations for kind in operation.winograd}
    assert used
    names = {"forward": "forward", "input": "input gradient", "weight": "weight gradient"}
    assert {(layer, kernel) for layer, kernel in found if "Winograd" in kernel} == {
        (first if node == 1 else second, f"{names[kind]}, Winograd")
        for kind, node in used
        if (kind, node) != ("input", 1)
    }
    assert found[first, "forward"] == 2 * 16 * 900 * 16 * 27


def test_markdown_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    made = report.Report("x", (Table("Title", ("a|b", "c"), (("d", "1"),)),), ("Remark.",), {"answer": 42})
    report.show(made, Environment.now().with_versions({"torch": "0"}), markdown=True, json_file=file)
    printed = capsys.readouterr().out
    assert (
        f"**Title**  \n{Environment.now().processor}\n\n| a\\|b | c |\n| --- | ---: |\n| d | 1 |\n\n- Remark."
        in printed
    )
    figures = json.loads(file.read_text())
    assert figures["answer"] == 42
    assert figures["machine"]["cores"] >= 1
    assert {"lanewise", "torch"} <= set(figures["versions"])


def test_nothing_is_installed_where_there_is_no_environment(tmp_path: Path) -> None:
    assert environment.installed(tmp_path) == {}
    assert environment.racers_of(list(PEERS), tmp_path, {}) == []
    (racer,) = environment.racers_of(list(PEERS[:1]), tmp_path, {"torch": "2"})
    assert racer.python == environment.python_of(tmp_path)
    assert (racer.paths[0] / "lanewise").is_dir()


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "signboard" in done.stdout


def test_mnist_says_how_often_the_target_was_reached() -> None:
    parts = dict.fromkeys(mnist.PARTS, 0.5)
    one = {"accuracy": 0.992, "parts": parts, "network": "dense 10", "epochs": 4, "images": 54_001, "test": 10_000}
    runs = [
        {"name": "seed 0, empty cache", "seconds": 4.0, **one},
        {"name": "seed 0, full cache", "seconds": 3.0, **one},
        {"name": "lanewise train, seed 0", "seconds": 3.5, "accuracy": 0.98},
    ]
    made = mnist.report(runs, 0.99)
    assert made.tables[0].rows[0] == ("seed 0, empty cache", "99.20 %", *["0.50"] * 5, "1.50", "4.00")
    assert made.tables[0].rows[-1] == ("lanewise train, seed 0", "98.00 %", *["–"] * 6, "3.50")
    assert made.remarks[0].startswith("2 of 3 runs reached 99.0 %")
    assert "4.00 s the first time, 3.00 s (median)" in made.remarks[1]


def test_kernels_that_are_slower_than_wanted_are_named() -> None:
    def speed(layer: str, filters: int | None, kernel: str, share: float) -> kernels.Speed:
        return kernels.Speed("mid", layer, filters, kernel, 1.0, 100.0 * share, 100.0, share)

    found = [
        speed("conv 8", 8, "forward", 0.65),
        speed("conv 8", 8, "forward, Winograd", 0.1),
        speed("conv 6", 6, "forward", 0.1),
        speed("dense 10", None, "forward", 0.1),
    ]
    assert kernels.report(found, "avx512").remarks[-2:] == (
        "avx512: 0 of 1 direct convolutions with 8 filters or more reach 70% of the matrix product.",
        "BELOW: mid, conv 8, forward: 65%.",
    )
    assert kernels.shares(found, "avx2").rows == (("mid: conv 8", "65 %", "", ""), ("mid: conv 6", "10 %", "", ""))
    assert kernels.report(found, "avx2").remarks[-1].startswith("avx2: 1 of 1 direct convolutions")
    assert kernels.verdict(found, "x86-64") == []


def test_networks_from_elsewhere_are_compared_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "c = Conv(x, w) r = Relu(c) a = GlobalAveragePool(r) f = Flatten(a) y = Gemm(f, d)"
    arrays = {"w": (4, 3, 2, 2), "d": (4, 3)}
    onnx.save(exported("float[N,3,9,8] x => float[N,3] y", text, **arrays), tmp_path / "good.legacy.onnx")
    odd = text.replace("Relu(c)", "Sin(c)")
    onnx.save(exported("float[N,3,9,8] x => float[N,3] y", odd, **arrays), tmp_path / "odd.dynamo.onnx")
    monkeypatch.setattr(foreign, "LIGHT", tmp_path / "nowhere")
    made = foreign.measure(tmp_path, (), 1, 0.001, lambda sentence: None)
    good, refused = made.tables[0].rows
    assert good[:4] == ("good", "legacy", "5", "read")
    assert float(good[4]) < foreign.ENOUGH
    assert refused[:2] == ("odd", "dynamo")
    assert "(Sin): the operator is not supported" in refused[3]
    assert len(good) == 8
    assert float(good[5].replace(",", "")) > 0
    assert made.remarks[0] == "Of 2 files 1 are read; none of them wrong."
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n| network | exporter |\n| --- | ---: |\n| old | legacy |\n\nThe rest.\n")
    for _ in range(2):
        foreign.put_into(page, made, Environment.now())
        assert "| old |" not in page.read_text()
        assert page.read_text().count("| good |") == page.read_text().count("**Networks from elsewhere") == 1
        assert page.read_text().endswith("|\n\nThe rest.\n")
    assert len(foreign.measure(tmp_path, ("good",), 1, 0, lambda sentence: None).tables[0].rows) == 1


def test_both_frameworks_learn_the_same_batches_at_the_same_rates() -> None:
    recipe = learners.Recipe(epochs=2, batch=10, peak=0.1)
    batches = recipe.batches(25, seed=3)
    assert batches.shape == (4, 10)
    assert all(len(set(epoch.ravel().tolist())) == 20 for epoch in np.split(batches, 2))
    assert (batches == recipe.batches(25, seed=3)).all()
    assert (batches != recipe.batches(25, seed=4)).any()
    rates = recipe.learning_rates(10)
    assert rates.tolist() == pytest.approx([0, 0.05, *np.linspace(0.1, 0.0125, 8)])


def test_plain_networks_have_pools_where_their_filters_grow() -> None:
    assert learners.LEARNERS["plain12"].text.count("conv") == 12
    assert learners.LEARNERS["plain12"].text.count("max 2") == 2


def test_accuracies_of_both_frameworks_have_a_row_each() -> None:
    made = normalisation.report({"plain4": {"lanewise": [0.5, 0.6], "torch": [0.5, 0.5]}}, learners.Recipe(3), 1000)
    assert made.tables[0].rows == (
        ("plain4, lanewise", "55.0", "50.0, 60.0"),
        ("plain4, torch", "50.0", "50.0, 50.0"),
    )


def test_the_default_has_a_row_for_each_number_of_images() -> None:
    runs = [
        default.Run(1000, 0, 0.5, 60, 20.0, 12.0, {}, {}),
        default.Run(1000, 1, 0.6, 60, 22.0, 14.0, {}, {}),
        default.Run(100, 0, 0.25, 150, 8.0, 8.0, {"sgd": 0.5, "muon": 0.55}, {"sgd": 2.5, "muon": 2}),
    ]
    assert default.report(runs, ["--no-tta"], 1).tables[0].rows == (
        ("1,000", "55.0 (50.0, 60.0)", "21.0", "13.0", "60", "–", "–", "–"),
        ("100", "25.0 (25.0)", "8.00", "8.00", "150", "50.0 (50.0)", "55.0 (55.0)", "2.5, 2.0"),
    )


def test_the_default_is_trained_by_the_command_that_users_have(tmp_path: Path) -> None:
    images, labels = np.zeros((40, 8, 8, 1), np.uint8), np.arange(40) % 2
    images[labels == 1, :, 4:] = 255
    np.savez(tmp_path / "40.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    run, network = default._lanewise(tmp_path / "40.npz", 40, 3, ["--epochs", "2", "--network", "dense 1"], 1)
    assert (run.images, run.seed, run.epochs, network) == (40, 3, 2, "dense 1, sigmoid")
    assert 0 < run.processor < 60


def odd_run(network: str, accuracy: float, torch: dict[float, float], seed: int = 0, setbacks: int = 0) -> odd.Run:
    return odd.Run("some.npz", network, seed, 0.1, accuracy, 0.05, setbacks, torch)


def test_odd_networks_that_are_dead_or_below_the_best_of_three_rates_are_marked() -> None:
    """The best rate is the one that is best on average, not that of each seed."""
    runs = [
        odd_run("wide", 0.5, {0.01: 0.5, 0.05: 0.6, 0.2: 0.1}),
        odd_run("wide", 0.6, {0.01: 0.6, 0.05: 0.4, 0.2: 0.1}, seed=1),
        odd_run("deep", 0.57, {0.01: 0.1, 0.05: 0.2, 0.2: 0.6}),
        odd_run("tanh", 0.12, {0.01: 0.1, 0.05: 0.1, 0.2: 0.1}),
    ]
    made = odd.report(runs, 8, 1)
    assert made.tables[0].rows == (
        ("wide", "55.0", "0.05", "55.0", "50.0", "10.0", "+0.0", ""),
        ("deep", "57.0", "0.05", "10.0", "20.0", "60.0", "-3.0", "below"),
        ("tanh", "12.0", "0.05", "10.0", "10.0", "10.0", "+2.0", "dead"),
    )
    assert made.remarks[-1] == "some.npz, deep: below; some.npz, tanh: dead."
    assert f"wide: {learners.ODD['wide']}" in made.remarks
    alone = odd.report([odd_run("wide", 0.5, {})], None, 1)
    assert alone.tables[0].rows[0][3:] == ("–", "–", "–", "–", "")
    assert alone.remarks[-1] == "None is dead."
    fine = odd.report([odd_run("wide", 0.5, {0.01: 0.4, 0.05: 0.5, 0.2: 0.1})], None, 1)
    assert fine.remarks[-1] == "None is dead or more than 2 points below the best."


@pytest.mark.parametrize("name", learners.ODD)
def test_odd_networks_fit_their_images(name: str) -> None:
    assert len(learners.ODD) == 12
    for size, classes in ((32, 10), (30, 2)):
        graph, _ = network_for(f"{learners.ODD[name]}, {output_layers(classes)}", (3, size, size), classes)
        assert summary.totals(summary.summary(graph)).multiply_adds < 10e6


def test_odd_networks_are_trained_and_what_pytorch_reached_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 8, 8, 3), np.uint8), (np.arange(40) % 2).astype(np.int32)
    images[0][images[1] == 1, :, 4:] = 255
    monkeypatch.setattr(odd, "images_of", lambda path, folder: (images, images))
    monkeypatch.setitem(learners.ODD, "wide", "conv 4@3x3, relu")
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(odd, "_torch", lambda question, python: asked.append(question) or dict.fromkeys(odd.RATES, 0.9))
    for folder in (tmp_path, tmp_path, None):
        made = odd.measure(
            ["wide"], [tmp_path / "some.npz"], 2, 1, 1, folder, tmp_path / "known.jsonl", lambda line: None
        )
        (run,) = made.figures["runs"]
        assert run["torch"] == {0.01: 0.9, 0.05: 0.9, 0.2: 0.9}
        assert run["guessing"] == 0.5
    assert len(asked) == 1
    assert (asked[0]["network"], asked[0]["epochs"], asked[0]["batch"]) == (
        "conv 4@3x3, relu, dense 1, sigmoid",
        2,
        64,
    )


def test_the_first_images_of_each_class_are_read(tmp_path: Path) -> None:
    files = []
    for shade in (10, 200, 10, 200):
        made = io.BytesIO()
        Image.new("RGB", (32, 32), (shade, shade, shade)).save(made, "JPEG")
        files.append(made.getvalue())
    np.savez(
        tmp_path / "images.npz",
        jpeg_test=np.frombuffer(b"".join(files), np.uint8),
        off_test=np.cumsum([0, *map(len, files)]),
        y_test=[0, 1, 0, 1],
    )
    pixels, labels = normalisation.read(tmp_path / "images.npz", "test", 1)
    assert labels.tolist() == [0, 1]
    assert abs(pixels.mean(axis=(1, 2, 3)) - [10, 200]).max() < 3


def test_photographs_are_raced_against_onnx_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "c = Conv(x, w) r = Relu(c) a = GlobalAveragePool(r) f = Flatten(a) y = Gemm(f, d)"
    arrays = {"w": (4, 3, 2, 2), "d": (4, 3)}
    onnx.save(exported("float[N,3,9,8] x => float[N,3] y", text, **arrays), tmp_path / "net.legacy.onnx")
    made = features.measure([tmp_path / "net.legacy.onnx"], (1, 2), 3, 1, 2, lambda sentence: None)
    assert [row[0] for row in made.tables[0].rows] == ["net, 3 images", "net, one image"]
    assert made.remarks == ("All outputs agree.",)
    monkeypatch.setattr(features, "_difference", lambda ours, theirs: 0.1)
    made = features.measure([tmp_path / "net.legacy.onnx"], (2,), 2, 1, 1, lambda sentence: None)
    assert made.remarks == ("Outputs differ too much: net.",)


def test_parts_of_the_recipe_are_compared_seed_by_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (60, 4, 4), np.uint8), np.arange(60) % 3
    np.savez(tmp_path / "few.npz", x_train=x[:45], y_train=y[:45], x_test=x[45:], y_test=y[45:])
    for seed in (0, 1, 2):
        train, test = parts.split(str(tmp_path / "few.npz"), seed)
        assert (train.counts(), test.counts()) == ((15,) * 3, (5,) * 3)
        every = np.concatenate([train.pixels, test.pixels]).reshape(60, -1)
        assert (np.unique(every, axis=0) == np.unique(x.reshape(60, -1), axis=0)).all()
        assert (test.pixels[..., 0] == x[45:]).all() == (seed == 0)
    options = json.dumps({"epochs": 1, "network": "dense 3"})
    asked = [str(tmp_path / "few.npz"), "--seeds", "2", "--part", "the recipe itself", "--part", "ema 0.99"]
    asked += ["--options", options, "--file", str(tmp_path / "kept.jsonl")]
    first = CliRunner().invoke(parts.main, asked)
    assert first.exit_code == 0, first.output
    lines = (tmp_path / "kept.jsonl").read_text()
    monkeypatch.delattr(parts, "trained")  # what is known is not computed again
    assert CliRunner().invoke(parts.main, asked).output == first.output
    assert (tmp_path / "kept.jsonl").read_text() == lines
    known = [json.loads(line) for line in lines.splitlines()]
    for one, accuracy in zip(known, (0.5, 0.6, 0.4, 0.44), strict=True):
        one["accuracy"] = accuracy
    assert [row.split("|")[1:4] for row in parts.rows(known)][2:] == [
        [" the recipe itself ", " 45.0 (50.0, 40.0) ", " +0.0 ± 0.0 "],
        [" ema 0.99 ", " 52.0 (60.0, 44.0) ", " +7.0 ± 3.0 "],
    ]


def test_folders_of_files_are_read_by_both_and_have_a_row_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path / "cache"))
    files.make(tmp_path / "images", 20, 16)
    assert len(list((tmp_path / "images").rglob("*.png"))) == 20
    assert files.read(str(tmp_path / "images"), 16)["seconds"] > 0
    command = [sys.executable, "-c", 'print(\'{"ready": 1, "seconds": 2}\')']
    run = files._watched("20 files", "nobody", command, dict(os.environ))
    (table,) = files.report([run], 2).tables
    assert table.rows[0][:3] == ("20 files: nobody", "1.00", "2.00")
