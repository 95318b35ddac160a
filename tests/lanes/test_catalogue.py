"""What is known of programs without recording them: the truth about all kernels, and never of sources gone by."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lanewise.engine import inference, trainer
from lanewise.engine.single_plan import SinglePlanner
from lanewise.errors import ProgramError
from lanewise.kernels import optimizers
from lanewise.kernels.augmentation import Augment
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.single.blocked import Blocked
from lanewise.lanes import catalogue
from lanewise.lanes.catalogue import Catalogued, exact, kernel
from lanewise.lanes.ir import Program
from lanewise.lanes.program import Recorder
from lanewise.network.graph import Graph
from lanewise.private import SECRET
from tests.cases import LAYER_CASES, NETWORK_CASES, Case
from tests.engine.support import network, parameters_for, raw_for
from tests.kernels.support import all_kernels


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of its own, and at the end none of its programs left in memory."""
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "programs"


def entries(folder: Path) -> list[Path]:
    """All files of the catalogue but the secret that seals them."""
    return [path for path in folder.iterdir() if path.name != SECRET]


class Probe:
    """A kernel, new to the process, that counts how often it is recorded."""

    def __init__(self, factor: float = 2.0, module: str = "lanewise.kernels.probe") -> None:
        self.recorded, self.factor = 0, factor

        def probe(size: int, *, add: bool = False, double: bool = False) -> Program:
            self.recorded += 1
            k = Recorder("probe")
            x, y = k.lanes("x", (size,)), k.lanes("y", (size,))
            for n in k.loop(size):
                y[n] = x[n] * (2 * self.factor if double else self.factor) + (y[n] if add else 0.0)
            return k.program()

        probe.__module__ = module
        self.kernel = kernel(probe)

    def __call__(self, *args: Any, **options: Any) -> Program:
        return self.kernel(*args, **options)


def facts(program: Program) -> tuple[object, ...]:
    return program.name, program.digest, program.buffers


# Known again


def test_known_without_recording(folder: Path) -> None:
    first, again = Probe(), Probe()
    recorded, known = first(3), again(3)
    assert facts(known) == facts(recorded)
    assert [spec.scalars for spec in known.buffers] == [48, 48]
    assert (first.recorded, again.recorded) == (1, 0)
    assert str(known) == str(recorded)
    assert (known.types, known.register_types) == (recorded.types, recorded.register_types)
    assert again.recorded == 1
    assert [path.suffix for path in entries(folder)] == [".json"]


def test_other_arguments_are_other_programs() -> None:
    first, again = Probe(), Probe()
    orders = [partial(Probe.__call__, size=3), partial(Probe.__call__, size=4)]
    orders += [partial(Probe.__call__, size=3, **{name: True}) for name in ("add", "double")]
    programs = [order(first) for order in orders]
    assert first.recorded == len({program.digest for program in programs}) == 4
    assert [facts(order(again)) for order in orders] == [facts(program) for program in programs]
    assert again.recorded == 0


def test_once_in_a_process() -> None:
    probe = Probe()
    assert probe(3) is probe(3)
    assert probe.recorded == 1


def test_the_name_is_not_in_the_digest() -> None:
    one, other = Recorder("one"), Recorder("other")
    for k in (one, other):
        x = k.lanes("x", (1,))
        x[0] = x[0] * 2.0
    assert one.program().digest == other.program().digest


def test_mistakes_are_made_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ProgramError, match="sgd: 20 scalars are not a multiple of 16"):
            optimizers.sgd(20, nesterov=True)


class Collected(Exception):
    """Thrown out of an engine as soon as it has all its programs."""


def programs_of(build: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """What would have been compiled."""
    found: list[Program] = []

    def collect(phases: list[Any], *_: object) -> None:
        found.extend(call.program for phase in phases for section in phase.sections for call in section.calls)
        raise Collected

    monkeypatch.setattr(trainer, "Executable", collect)
    monkeypatch.setattr(inference, "Executable", collect)
    with pytest.raises(Collected):
        build()
    return found


def all_programs(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    given, images = parameters_for(graph), raw_for(graph, "uint8")
    plan = SinglePlanner(graph, given, images, registers=32, winograd=True).finish()
    programs = [call.program for call in plan.calls]
    programs += programs_of(lambda: inference.Inference(graph, given, images), monkeypatch)
    if graph.parameters and len(graph.output_shape) == 1:
        options: dict[str, Any] = {"augment": Augment(1, 1)}
        for name in ("sgd", "adamw"):
            options["optimizer"] = trainer.Optimizer(name)
            programs += programs_of(partial(trainer.Trainer, graph, given, images, **options), monkeypatch)
    return programs


def forget() -> None:
    for function in all_kernels():
        function.cache_clear()


WIDE = Case("winograd", "conv 32@3 same, relu, conv 16@3 same, relu, dense 3", (32, 8, 8))


OTHERS = [pytest.param(case, marks=pytest.mark.slow) for n, case in enumerate(LAYER_CASES) if n % 4]
"""Layers whose kernels are those of the other layers, with other sizes."""


@pytest.mark.parametrize("case", [*NETWORK_CASES, WIDE, *LAYER_CASES[::4], *OTHERS], ids=str)
def test_every_kernel_is_what_it_is_known_as(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    text = case.text if "sigmoid" in case.text else f"{case.text}, dense 3"
    graph = network(text, case.input_shape)
    forget()
    recorded = all_programs(graph, monkeypatch)
    forget()
    known = all_programs(graph, monkeypatch)
    forget()
    assert len(known) == len(recorded) > 3
    for program, truth in zip(known, recorded, strict=True):
        assert isinstance(program, Catalogued), f"{truth.name} was recorded again"
        assert not isinstance(truth, Catalogued)
        assert facts(program) == facts(truth)
        assert str(program) == str(truth)


# Kept well


def flipped(entry: bytes) -> bytes:
    return entry[:-9] + bytes([entry[-9] ^ 1]) + entry[-8:]


@pytest.mark.parametrize(
    "damage",
    [flipped, lambda entry: entry[:-20], lambda entry: b"", lambda entry: b"{}", lambda entry: entry + b"\n"],
    ids=["flipped bit", "cut", "empty", "foreign", "longer"],
)
def test_damaged_entry_is_made_again(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    recorded = Probe()(3)
    (path,) = entries(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again = Probe()
    assert facts(again(3)) == facts(recorded)
    assert again.recorded == 1
    assert path.read_bytes() == whole


def test_entry_of_another_program_is_made_again(folder: Path) -> None:
    Probe()(3)
    (three,) = entries(folder)
    Probe()(4)
    (four,) = set(entries(folder)) - {three}
    three.write_bytes(four.read_bytes())
    again = Probe()
    assert again(3).buffers[0].scalars == 48
    assert again.recorded == 1


def test_no_folder_is_no_failure(folder: Path) -> None:
    folder.parent.write_text("in the way")
    for _ in range(2):
        probe = Probe()
        assert probe(3).buffers[0].scalars == 48
        assert probe.recorded == 1


PROCESS = """
from lanewise.network.graph import build
from lanewise.network.text import parse
from lanewise.engine.inference import Inference
from tests.engine.support import raw_for, parameters_for, raw_for
graph = build(parse("conv 6@5 same, relu, max 2, conv 16@3 same, relu, max 2, dense 10"), (1, 28, 28))
Inference(graph, parameters_for(graph), raw_for(graph))
"""


def test_two_processes_at_once(folder: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PROCESS]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    kept = {path: path.read_bytes() for path in entries(folder)}
    assert len(kept) > 3
    assert {path.suffix for path in kept} == {".json"}, "a temporary file was left"
    subprocess.run(command, check=True, cwd=root, timeout=600)
    assert {path: path.read_bytes() for path in entries(folder)} == kept


# Never of sources gone by


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's sources, taken for those in memory."""
    source, copy = Path(catalogue.__file__).parents[1], tmp_path / "copied"
    for name in catalogue.SOURCES:
        shutil.copytree(source / name, copy / name)
    monkeypatch.setattr(catalogue, "__file__", str(copy / "lanes" / "catalogue.py"))
    monkeypatch.setattr(catalogue, "_STARTED", time.time() + 60)
    return copy


def digest() -> str | None:
    return catalogue.sources_digest.__wrapped__()


def commented(path: Path) -> None:
    path.write_text(path.read_text() + "#")


CHANGES = {
    "a kernel": lambda copy: commented(copy / "kernels" / "pool.py"),
    "a kernel further down": lambda copy: commented(copy / "kernels" / "single" / "conv.py"),
    "the recorder": lambda copy: commented(copy / "lanes" / "program.py"),
    "one more file": lambda copy: (copy / "kernels" / "norm.py").write_text(""),
    "another name": lambda copy: (copy / "kernels" / "pool.py").rename(copy / "kernels" / "pools.py"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_sources_are_noticed(copied: Path, change: str) -> None:
    before = digest()
    assert before == digest() is not None
    CHANGES[change](copied)
    assert digest() not in (before, None)


def test_changes_of_the_same_size_are_noticed(copied: Path) -> None:
    before, path = digest(), copied / "kernels" / "tiles.py"
    path.write_text(path.read_text().replace("0.35", "0.36"))
    assert digest() != before


def test_sources_newer_than_the_process(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded from them may not be what they say now."""
    monkeypatch.setattr(catalogue, "_STARTED", (copied / "kernels" / "pool.py").stat().st_ctime - 1)
    assert digest() is None


def test_sources_that_cannot_be_found(copied: Path) -> None:
    shutil.rmtree(copied)
    assert digest() is None


@pytest.mark.parametrize("sources", ["others", None])
def test_other_sources_are_recorded(sources: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    Probe(2.0)(3)
    monkeypatch.setattr(catalogue, "sources_digest", lambda: sources)
    for _ in range(2 if sources is None else 1):
        probe = Probe(3.0)
        assert "f32 3.0" in str(probe(3))
        assert probe.recorded == 1


def test_kernels_changed_in_a_running_process() -> None:
    """Their code would be kept as that of the kernels in the sources."""
    Probe(2.0)(3)
    changed = Probe(3.0)(3)
    with pytest.raises(ProgramError, match=r"probe: recorded otherwise than it is known; remove the folder .*programs"):
        str(changed)


# What an argument may be


@dataclass(frozen=True)
class Foreign:
    size: int = 3


def test_exact_texts() -> None:
    values = [
        0,
        1,
        True,
        False,
        None,
        1.0,
        -0.0,
        0.0,
        0.1,
        "1",
        (1,),
        (1, 1),
        ((1,), 1),
        (),
        "(1,)",
        "a', 'b",
        ("a", "b"),
    ]
    values += [Layout((1, 2, 3)), Layout((1, 2, 3), (0, 0, 0, 1)), Blocked((1, 2, 3)), Conv(1, 2, (3, 3))]
    assert len({exact(value) for value in values}) == len(values)
    assert exact(Layout((1, 2, 3))) == exact(Layout((1, 2, 3), (0, 0, 0, 0)))
    alike = {exact(type(name, (Layout,), {"__module__": Layout.__module__})((1, 2, 3))) for name in ("A", "B")}
    assert len(alike) == 2


@pytest.mark.parametrize("value", [np.float32(1), np.zeros(2), [1], {}, Foreign(), len, (1, (2, Foreign()))], ids=repr)
def test_arguments_without_exact_text(value: object) -> None:
    with pytest.raises(TypeError):
        exact(value)


def test_what_has_no_exact_text_is_recorded(folder: Path) -> None:
    for _ in range(2):
        probe = Probe()
        probe(np.int64(3))
        assert probe.recorded == 1
    assert not folder.exists()


def test_kernels_of_others_are_recorded() -> None:
    """Their sources are not in the digest."""
    for _ in range(2):
        probe = Probe(module="somebody.kernels")
        probe(3)
        assert probe.recorded == 1
