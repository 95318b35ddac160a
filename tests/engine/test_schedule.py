"""The driver: phases in order, each task once, threads that wait for one another, and the control word given back."""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.engine import schedule
from lanewise.engine.native import Library
from lanewise.engine.schedule import (
    Call,
    Executable,
    Phase,
    Place,
    Section,
    aligned,
    run_threads,
)
from lanewise.lanes.ir import I32, LANES, Program
from lanewise.lanes.program import Recorder
from lanewise.target import host

pytestmark = pytest.mark.usefixtures("all_processors")

Array = npt.NDArray[Any]
BYTES = 4 * LANES


def add_one() -> Program:
    """x += 1"""
    k = Recorder("add one")
    x = k.scalars("x", (LANES,), I32)
    x.set_vector(x.vector(0) + 1, 0)
    return k.program()


def sum_of(count: int) -> Program:
    """y = (y + sum of x) % 2**20"""
    k = Recorder("sum")
    x, y = k.scalars("x", (count, LANES), I32), k.scalars("y", (LANES,), I32)
    total = k.register(y.vector(0))
    for n in k.loop(count):
        total.add(x.vector(n, 0))
    y.set_vector(k.apply("iand", total, 2**20 - 1), 0)
    return k.program()


def tally(steps: int, tasks: int, repeats: int) -> Array:
    return aligned((steps, tasks, repeats, LANES), np.int32)


def per_repeat(base: str, tasks: int, repeats: int) -> Place:
    return Place(base, by_step=BYTES * tasks * repeats, by_task=BYTES * repeats, by_repeat=BYTES)


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 24])
@pytest.mark.parametrize(("steps", "tasks", "repeats"), [(1, 1, 1), (5, 7, 3), (200, 3, 2), (1, 300, 1), (3, 0, 1)])
def test_each_task_runs_once(threads: int, steps: int, tasks: int, repeats: int) -> None:
    """More threads than tasks, more than cores, one, many: each repetition of each task of each step, once."""
    first, second = tally(steps, tasks, repeats), tally(steps, tasks, 1)
    section = Section((Call(add_one(), (per_repeat("first", tasks, repeats),)),), repeats)
    both = Section((Call(add_one(), (per_repeat("second", tasks, 1),)),) * 2)
    executable = Executable([Phase(tasks, (section, both))], host())
    for times in (1, 2):
        executable.run({"first": first, "second": second}, steps=steps, threads=threads)
        assert (first == times).all()
        assert (second == 2 * times).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_phases_wait_for_one_another(threads: int) -> None:
    """Each task reads what all tasks of the phase before wrote, over many steps: one early reader spoils the sums."""
    tasks, steps = 6, 300
    sums = [Call(sum_of(tasks), (Place(a), Place(b, by_task=BYTES))) for a, b in (("x", "y"), ("y", "z"), ("z", "x"))]
    executable = Executable([Phase(tasks, (Section((call,)),)) for call in sums], host())
    arrays = {name: aligned((tasks, LANES), np.int32) for name in "xyz"}
    arrays["x"][:] = np.arange(tasks * LANES).reshape(tasks, LANES)
    expected = {name: array.copy() for name, array in arrays.items()}
    executable.run(arrays, steps=steps, threads=threads)
    for _ in range(steps):
        for a, b in (("x", "y"), ("y", "z"), ("z", "x")):
            expected[b] = (expected[b] + expected[a].sum(axis=0)) % 2**20
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("threads", [1, 3])
def test_counted_sections_stop_at_the_number_of_groups(threads: int) -> None:
    tasks, repeats = 4, 3
    counts = np.array([12, 0, 1, 3, 4, 11, 100], np.int64)
    counted, absent = tally(len(counts), tasks, repeats), tally(len(counts), tasks, repeats)
    always = tally(len(counts), tasks, 1)
    phase = Phase(
        tasks,
        (
            Section((Call(add_one(), (per_repeat("always", tasks, 1),)),)),
            Section((Call(add_one(), (per_repeat("counted", tasks, repeats),)),), repeats, "present"),
            Section((Call(add_one(), (per_repeat("absent", tasks, repeats),)),), repeats, "absent"),
        ),
    )
    executable = Executable([phase], host())
    arrays = {"counted": counted, "absent": absent, "always": always}
    executable.run(arrays, steps=len(counts), threads=threads, counts=counts)
    assert (always == 1).all()
    for came, count in zip(counted[..., 0].reshape(len(counts), -1), counts, strict=True):
        np.testing.assert_array_equal(came, np.arange(tasks * repeats) < count)
    np.testing.assert_array_equal(counted + absent, np.ones_like(counted))


@pytest.mark.parametrize("threads", [1, 3])
def test_kinds_of_tasks(threads: int) -> None:
    """Each kind of task runs its own calls, counting from its own first."""
    counts = (3, 0, 1, 40)
    arrays = {f"kind{n}": aligned((50, LANES), np.int32) for n in range(len(counts))}
    kinds = [(count, (Call(add_one(), (Place(f"kind{n}", by_task=BYTES),)),)) for n, count in enumerate(counts)]
    phase = Phase.of_kinds(kinds)
    assert phase.tasks == sum(counts)
    Executable([phase], host()).run(arrays, steps=7, threads=threads)
    for n, count in enumerate(counts):
        np.testing.assert_array_equal(arrays[f"kind{n}"][:, 0], 7 * (np.arange(50) < count))


def test_some_tasks_have_groups() -> None:
    """Groups are counted from the first task that has them."""
    tasks, repeats, counts = 5, 2, np.array([3], np.int64)
    counted = tally(1, tasks, repeats)
    section = Section((Call(add_one(), (per_repeat("x", tasks, repeats),)),), repeats, "present", first=2)
    Executable([Phase(tasks, (section,))], host()).run({"x": counted}, counts=counts)
    np.testing.assert_array_equal(counted[0, :, :, 0], [[1, 1], [1, 0], [0, 0], [0, 0], [0, 0]])


def test_tasks_may_be_left_open() -> None:
    executable = Executable([Phase(None, (Section((Call(add_one(), (Place("x", by_task=BYTES),)),)),))], host())
    for tasks in (3, 1, 5):
        x = aligned((6, LANES), np.int32)
        executable.run({"x": x}, tasks=tasks, threads=2)
        np.testing.assert_array_equal(x[:, 0], np.arange(6) < tasks)


def test_memory_of_each_thread() -> None:
    """`by_thread` gives each thread its own: what threads count there adds up."""
    x = aligned((4, LANES), np.int32)
    executable = Executable([Phase(64, (Section((Call(add_one(), (Place("x", by_thread=BYTES),)),)),))], host())
    executable.run({"x": x}, steps=10, threads=4)
    assert x[:, 0].sum() == 640
    assert (x == x[:, :1]).all()


def test_offsets() -> None:
    x = aligned((3, LANES), np.int32)
    Executable([Phase(1, (Section((Call(add_one(), (Place("x", BYTES),)),)),))], host()).run({"x": x})
    assert x[:, 0].tolist() == [0, 1, 0]


def test_callers_take_turns() -> None:
    """Several Python threads with one executable: each gets its own result."""
    executable = Executable([Phase(None, (Section((Call(add_one(), (Place("x", by_task=BYTES),)),)),))], host())
    arrays = [aligned((tasks, LANES), np.int32) for tasks in range(1, 9)]

    def caller(x: Array) -> None:
        for _ in range(50):
            executable.run({"x": x}, tasks=len(x), threads=2)

    callers = [threading.Thread(target=caller, args=(x,)) for x in arrays]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert all((x == 50).all() for x in arrays)


# Waiting


@dataclass
class Waits:
    """What threads that wait have called so far. `enough_slept` is set when they have slept often enough."""

    enough: int
    yields: int = 0
    slept: int = 0
    enough_slept: threading.Event = field(default_factory=threading.Event)

    def give_way(self) -> int:
        self.yields += 1
        return 0

    def pause(self, how_long: int) -> int:
        self.slept += 1
        if self.slept >= self.enough:
            self.enough_slept.set()
        time.sleep(0.001)
        return 0


def waits_for_a_long_task(monkeypatch: pytest.MonkeyPatch, threads: int) -> Waits:
    """Run one task that all threads but one wait for, and that ends when they have slept three times each."""
    waits, over = Waits(3 * (threads - 1)), []
    give_way = ctypes.CFUNCTYPE(ctypes.c_int)(waits.give_way)
    sleep = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint)(waits.pause)
    task = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: over.append(waits.enough_slept.wait(600)))
    functions = [int(ctypes.cast(function, ctypes.c_void_p).value or 0) for function in (give_way, sleep, task)]
    monkeypatch.setattr(schedule, "_waiting_functions", lambda: (*functions[:2], 50))
    monkeypatch.setattr(Library, "addresses", lambda self: functions[2:])
    executable = Executable([Phase(1, (Section((Call(add_one(), (Place("x"),)),)),))], host())
    executable.run({"x": aligned((LANES,), np.int32)}, threads=threads)
    assert over == [True], "who waits did not come to rest"
    return waits


@pytest.mark.parametrize("threads", [2, 6])
def test_who_waits_long_sleeps(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    waits = waits_for_a_long_task(monkeypatch, threads)
    assert waits.yields == schedule.YIELDS * (threads - 1)


@pytest.mark.skipif(os.name == "nt", reason="sleeps are long there")
def test_nobody_offers_a_core_instead_of_sleeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux puts a thread that yields behind all others: training on a busy machine would take thrice its share."""
    assert waits_for_a_long_task(monkeypatch, 2).yields == 0


def test_offers_come_before_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "YIELDS", 7)
    assert waits_for_a_long_task(monkeypatch, 3).yields == 14


def test_threads_without_a_processor_of_their_own_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "SPINS", 10**12)
    monkeypatch.setattr(schedule, "default_threads", lambda: 1)
    waits_for_a_long_task(monkeypatch, 2)


# Denormals


def product() -> Program:
    k = Recorder("product")
    x, y = k.lanes("x", (2,)), k.lanes("y", (2,))
    y[0] = x[0] * 0.1  # a denormal result
    y[1] = x[1] * 1e20  # a denormal operand
    return k.program()


def keeps_denormals() -> bool:
    return bool(np.float32(2e-38) * np.float32(0.1) != 0 and np.float32(1e-40) * np.float32(1e20) != 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_denormals_are_zero_inside_and_kept_outside(threads: int) -> None:
    x, y = aligned((2, LANES)), aligned((3, 2, LANES))
    x[0], x[1], y[:] = 2e-38, 1e-40, 5.0
    executable = Executable(
        [Phase(3, (Section((Call(product(), (Place("x"), Place("y", by_task=2 * BYTES))),)),))], host()
    )
    assert keeps_denormals()
    executable.run({"x": x, "y": y}, threads=threads)
    assert keeps_denormals(), "the caller's control word was not given back"
    assert (y == 0).all(), "denormals were not flushed inside"


def test_denormals_without_the_driver_are_kept() -> None:
    """It is the driver that flushes them: the test above would else prove nothing."""
    x, y = aligned((2, LANES)), aligned((2, LANES))
    x[0], x[1] = 2e-38, 1e-40
    library = Library([product()], host())
    pointers = (ctypes.c_void_p * 2)(x.ctypes.data, y.ctypes.data)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.addresses()[0])(ctypes.addressof(pointers))
    assert (y > 0).all()


# Threads of Python around the driver


def test_run_threads_enter_together() -> None:
    barrier, seen = threading.Barrier(4, timeout=600), []

    def function(job: int, n: int) -> None:
        barrier.wait()
        seen.append((job, n))

    run_threads(function, 7, 4)
    assert sorted(seen) == [(7, n) for n in range(4)]


def test_no_thread_enters_if_one_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would wait for it for ever, on memory that is gone."""
    started: list[int] = []
    over: list[int] = []
    entered: list[int] = []
    start = _thread.start_new_thread

    def limited(function: Callable[..., object], arguments: tuple[int]) -> int:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.extend(arguments)
        return start(lambda n: (function(n), over.append(n)), arguments)

    monkeypatch.setattr(_thread, "start_new_thread", limited)
    with pytest.raises(RuntimeError, match="can't start"):
        run_threads(lambda job, n: entered.append(n), 0, 4)
    assert started == [0, 1]
    for _ in range(60_000):
        if len(over) == 2:
            break
        time.sleep(0.01)
    assert sorted(over) == [0, 1]
    assert entered == []


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
def test_no_rain_of_interrupts_lets_it_return_before_all_are_out() -> None:
    def interrupt(number: int, frame: object) -> None:
        if raining:
            raise KeyboardInterrupt

    before, raining = signal.signal(signal.SIGALRM, interrupt), False
    early = 0
    random = np.random.default_rng(0)
    try:
        for _ in range(100):
            counts = [0, 0]
            lock = threading.Lock()

            def function(job: int, n: int, counts: list[int] = counts, lock: threading.Lock = lock) -> None:
                with lock:
                    counts[0] += 1
                time.sleep(0.005)
                with lock:
                    counts[1] += 1

            signal.setitimer(signal.ITIMER_REAL, float(random.uniform(1e-4, 5e-3)), 1e-3)
            try:
                raining = True
                run_threads(function, 0, 2)
                raining = False
            except KeyboardInterrupt:
                raining = False
            early += counts not in ([0, 0], [2, 2])
    finally:
        raining = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert early == 0


def test_interrupt_is_raised_when_all_are_out() -> None:
    out: list[int] = []

    def function(job: int, n: int) -> None:
        if n == 0:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)
        out.append(n)

    with pytest.raises(KeyboardInterrupt):
        run_threads(function, 0, 3)
    assert sorted(out) == [0, 1, 2]


def test_an_interrupted_run_leaves_the_executable_usable() -> None:
    x = aligned((64, LANES), np.int32)
    executable = Executable([Phase(64, (Section((Call(add_one(), (Place("x", by_task=BYTES),)),)),))], host())
    done = 0

    def run_for_ever() -> None:
        nonlocal done
        while True:
            executable.run({"x": x}, steps=5, threads=2)
            done += 1

    timer = threading.Timer(0.02, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_for_ever()
    timer.join()
    assert (x == x[0, 0]).all(), "a step was left half done"
    executable.run({"x": x}, steps=5, threads=2)
    assert 5 * done < x[0, 0] <= 5 * (done + 2)


# Odds and ends


def test_aligned() -> None:
    for shape, dtype in ((3, np.float32), ((2, 5, 16), np.int32), ((7,), np.uint8)):
        array = aligned(shape, dtype)
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
        assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert array.dtype == dtype
        assert not array.any()
