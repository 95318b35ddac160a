"""A worker does the work that everybody agreed on, and says in one line why it cannot."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lanewise.bench import data, ops, workload
from lanewise.bench.nets import NETS, Net
from lanewise.bench.peers import LANEWISE, PEERS, Peer
from lanewise.bench.process import Worker, WorkerError
from lanewise.bench.workload import Task, Workload
from lanewise.network import reference

BRANCHES = Net(
    "branches",
    "conv 3@3x2 same stride 2, relu, residual(conv 3@3x3 same, tanh), concat(conv 4@1x1 | average 3 same stride 1), "
    "flatten, leaky 0.1, dense 1, sigmoid",
    (3, 7, 6),
    classes=2,
)
NORMALISED = Net(
    "normalised",
    "conv 4@3x3 same nobias, batchnorm, gelu, conv 4@3x3 same groups 4, batchnorm, silu, max 2, conv 6@1x1, relu6, "
    "conv 6@3x3, hardswish, dense 8 nobias, batchnorm, hardsigmoid, dense 10",
    (3, 9, 8),
)
FROZEN = Net(
    "frozen",
    "fixed sobel+blur, relu, conv 4@3 frozen, relu, max 2, dense 9 frozen, relu, dense 10, softmax",
    (1, 10, 9),
    classes=10,
)


def task(net: Net = NETS["lenet"], **options: object) -> Task:
    return replace(Task(net, "train", "float32", batch=32, threads=1, images=64), **options)


def expected_loss(net: Net, chosen: np.ndarray) -> float:
    """By the reference, from the weights that everybody starts from."""
    given = Workload.of(task(net))
    images = data.prepared(given.pixels[chosen], channels_first=True)
    outputs = reference.forward(given.graph, given.weights, images)[-1].reshape(len(chosen), -1)
    if given.binary:
        outputs = np.hstack([1 - outputs, outputs])
    return float(-np.log(outputs[np.arange(len(chosen)), given.labels[chosen]]).mean())


@pytest.mark.parametrize("peer", [LANEWISE, *PEERS], ids=lambda peer: peer.name)
@pytest.mark.parametrize("net", [NETS["lenet"], BRANCHES], ids=lambda net: net.name)
def test_a_worker_does_the_step_that_everybody_does(peer: Peer, net: Net) -> None:
    if find_spec(peer.framework) is None:
        pytest.skip(f"{peer.framework} is not installed here")
    with Worker(peer.framework, threads=1) as worker:
        with pytest.raises(WorkerError, match="nothing is built"):
            worker.ask(run=1)
        worker.ask(build=task(net, mode=peer.mode).to_json())
        answer = worker.ask(run=1)
    assert answer["seconds"] > 0
    expected = expected_loss(net, next(data.batches(32, 64)))
    assert answer["loss"] == pytest.approx(expected, rel=1e-4 if peer.exact else 1e-2)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_nobody_learns_what_is_frozen(peer: Peer) -> None:
    if find_spec(peer.framework) is None:
        pytest.skip(f"{peer.framework} is not installed here")
    losses = []
    for one in (LANEWISE, peer):
        with Worker(one.framework, threads=1) as worker:
            worker.ask(build=task(FROZEN, mode=one.mode).to_json())
            losses.append(worker.ask(run=6)["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if peer.exact else 5e-2)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_batch_of_one_group_is_normalised_alike(peer: Peer) -> None:
    if find_spec(peer.framework) is None:
        pytest.skip(f"{peer.framework} is not installed here")
    losses = []
    for one in (LANEWISE, peer):
        with Worker(one.framework, threads=1) as worker:
            worker.ask(build=task(NORMALISED, mode=one.mode, batch=16).to_json())
            losses.append(worker.ask(run=4)["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if peer.exact else 5e-2)


@pytest.mark.parametrize("framework", ["lanewise", "onnxruntime"])
@pytest.mark.parametrize(("net", "batch"), [(NETS["lenet"], 1), (BRANCHES, 16)], ids=["one image", "branches"])
def test_predictions_are_of_the_saved_file(framework: str, net: Net, batch: int, tmp_path: Path) -> None:
    pytest.importorskip(framework)
    workload.save_model(net, tmp_path / "model.onnx")
    with Worker(framework, threads=1) as worker:
        worker.ask(build=task(net, kind="infer", batch=batch, model=str(tmp_path / "model.onnx")).to_json())
        answer = worker.ask(run=3)
    assert answer["loss"] == pytest.approx(expected_loss(net, np.arange(2 * batch, 3 * batch)), rel=1e-4)


def test_a_framework_that_is_not_there_is_one_line() -> None:
    with Worker("nosuch", threads=1) as worker, pytest.raises(WorkerError, match="with_nosuch"):
        worker.ask(build=task().to_json())


def test_our_own_errors_speak_for_themselves() -> None:
    with (
        Worker("lanewise", threads=1) as worker,
        pytest.raises(WorkerError, match=r"^the network ends with 10 outputs"),
    ):
        worker.ask(build=task(Net("x", "dense 10", (1, 2, 2), 3)).to_json())


def test_a_worker_that_ends_says_its_last_words() -> None:
    with Worker("lanewise", threads=1) as worker:
        worker._process.kill()
        with pytest.raises(WorkerError, match="its process ended: "):
            worker.ask(run=1)


def test_a_task_comes_through_a_pipe() -> None:
    assert Task.from_json(task(BRANCHES).to_json()) == task(BRANCHES)


def test_every_batch_is_new_until_all_images_were_there() -> None:
    endless = data.batches(100, 2048)
    seen = np.concatenate([next(endless) for _ in range(21)])
    assert sorted(seen[:2048].tolist()) == list(range(2048))


@pytest.mark.parametrize(
    ("shape", "batch", "count"), [((3, 32, 32), 128, 2048), ((3, 32, 32), 100, 2000), ((3, 224, 224), 128, 128)]
)
def test_large_images_are_fewer(shape: tuple[int, int, int], batch: int, count: int) -> None:
    assert data.image_count(Net("", "dense 10", shape), batch) == count


def test_prepared_images_are_scaled() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (data.BLOCK + 3, 2, 5, 3), dtype=np.uint8)
    expected = pixels.astype(np.float32) / 64 - 2
    np.testing.assert_array_equal(data.prepared(pixels), expected)
    np.testing.assert_array_equal(data.prepared(pixels, channels_first=True), expected.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("text", ["conv 4@3x3, flatten, dense 10", "conv 4@3x3, flatten, relu, dense 10"])
def test_weights_for_channels_last_compute_the_same(text: str) -> None:
    given = Workload.of(task(Net("", text, (1, 7, 7))))
    (first, *_), (last, *_) = (
        [step for step in ops.steps(given.graph, given.weights, channels_last=order) if step.weights][1:]
        for order in (False, True)
    )
    image = np.random.default_rng(0).standard_normal((4, 5, 5)).astype(np.float32)
    by_channel = first.weights[0].reshape(10, -1) @ image.reshape(-1)
    by_place = image.transpose(1, 2, 0).reshape(-1) @ last.weights[0]
    np.testing.assert_allclose(by_channel, by_place, rtol=1e-4, atol=1e-5)


def test_kernels_for_channels_last_turn_their_axes() -> None:
    given = Workload.of(task(Net("", "conv 4@3x2, flatten, dense 10", (5, 7, 7))))
    conv = ops.steps(given.graph, given.weights, channels_last=True)[0].weights[0]
    assert conv.shape == (3, 2, 5, 4)
    assert conv[2, 1, 3, 0] == given.weights[0][0, 3, 2, 1]


def test_values_are_let_go_of_after_their_last_reader() -> None:
    given = Workload.of(task(BRANCHES))
    walked = ops.steps(given.graph, given.weights, channels_last=False)
    order: list[int] = []

    def apply(number: int, step: ops.LayerStep, inputs: list[int]) -> int:
        assert tuple(inputs) == step.inputs
        order.append(number)
        return number + 1

    assert ops.walk(walked, 0, apply) == len(walked)
    assert order == list(range(len(walked)))


def test_workers_use_this_interpreter_by_default() -> None:
    with Worker("lanewise", threads=1) as worker:
        assert worker._process.args[0] == sys.executable
