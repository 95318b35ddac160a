"""What the driver is told to do, as values here and as the tables of 64-bit numbers that `driver.ll` reads."""

from __future__ import annotations

import _thread
import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lanewise.caching import Cache
from lanewise.engine.native import Library
from lanewise.forking import ForkSafeLock
from lanewise.lanes.program import Program
from lanewise.target import Target, default_threads

MOST_ARGUMENTS = 64

SPINS, YIELDS = 20_000, 2000 if os.name == "nt" else 0
"""How often a thread that waits for the others looks before it yields its core to others, and before it sleeps.

20,000 looks take about 1 ms: a sleep is long beside most waits, and a virtual processor that sleeps wakes slowly. With
more threads than processors it does not spin: the one that it waits for may need this very core. It yields only where
the shortest sleep is long, as on Windows: on a busy machine a thread of Linux that yields its core is put behind all
others, and loses the share of the processor that a sleep would leave it.
"""
WAIT_SECONDS = 0.1
"""How long the calling thread sleeps at most before it looks whether all are out."""

SECTION_FIELDS = 7

_ALL = 2**62  # tasks: more than any phase has


@dataclass(frozen=True, slots=True)
class Place:
    """An address: base + offset + thread * by_thread + step * by_step + task * by_task + repeat * by_repeat, in bytes.

    `base` names an array that is given when the schedule runs.
    """

    base: str
    offset: int = 0
    by_thread: int = 0
    by_step: int = 0
    by_task: int = 0
    by_repeat: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel and where its buffers are."""

    program: Program
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Calls that a task runs `repeats` times.

    Where repetitions are groups of images, a step may have fewer than all: those that are "present" run, or those that
    are "absent"; the phase's first one is group number `before`. Of the phase's tasks, it is the `tasks` from `first`
    on (by default all) that run them, and `by_task` counts from that one.
    """

    calls: tuple[Call, ...]
    repeats: int = 1
    groups: Literal["all", "present", "absent"] = "all"
    first: int = 0
    tasks: int | None = None
    before: int = 0


@dataclass(frozen=True, slots=True)
class Phase:
    """Tasks that are independent of one another; all threads meet when they are done.

    Attributes
    ----------
    tasks : int or None
        None for as many as `Executable.run` is told.
    sections : tuple of Section
    function : callable or None
        Called instead, by one thread, where there are no sections. What it raises is raised behind the steps of the
        run, in which it is called no more.
    """

    tasks: int | None
    sections: tuple[Section, ...]
    function: Callable[[], None] | None = None

    @staticmethod
    def of_kinds(kinds: Iterable[tuple[int, tuple[Call, ...]]]) -> Phase:
        """A phase of several kinds of tasks, one kind after the other: how many, and what each of them calls."""
        sections, end = [], 0
        for tasks, calls in kinds:
            sections.append(Section(calls, first=end, tasks=tasks))
            end += tasks
        return Phase(end, tuple(sections))


class Executable:
    """A schedule with its kernels compiled. It holds no data: arrays are bound by name at each run.

    Parameters
    ----------
    phases : sequence of Phase
        What a step does, in order.
    target : Target
        The processor that the kernels are compiled for.
    cache : Cache, optional
        Where machine code is kept; the folder of the user's caches by default.
    """

    def __init__(self, phases: Sequence[Phase], target: Target, cache: Cache | None = None) -> None:
        self.phases = tuple(phases)
        calls = [call for phase in phases for section in phase.sections for call in section.calls]
        self._library = Library([call.program for call in calls], target, cache)
        self._addresses = iter(self._library.addresses())
        self._driver = self._library.driver()
        self.bases = sorted({place.base for call in calls for place in call.places})
        self._kept: list[NDArray[np.int64]] = []
        self._counted: list[tuple[int, NDArray[np.int64]]] = []
        self._callbacks: list[Any] = []
        self._raised: list[BaseException] = []
        self._phases = self._table([self._phase(phase) for phase in phases])
        self._most = default_threads()  # which reads files of the system: as long as a small network takes
        self._waiting = self._table([[SPINS, YIELDS, *_waiting_functions()]])
        self._running = ForkSafeLock()

    @property
    def cache(self) -> Cache:
        """The cache that served it; its counts tell what was compiled."""
        return self._library.cache

    def run(
        self,
        arrays: dict[str, NDArray[Any]],
        *,
        steps: int = 1,
        threads: int = 1,
        tasks: int = 0,
        counts: NDArray[np.int64] | None = None,
    ) -> None:
        """Run `steps` steps on `threads` threads. A second caller waits until the first is done.

        Parameters
        ----------
        arrays : dict of base name to C-contiguous array
        steps, threads : int
        tasks : int
            For phases that leave it open.
        counts : int64 array of `steps`, how many groups each has; for sections of those present or absent
        """
        with self._running:  # the tables are filled in for one run at a time
            left = {} if counts is None else {before: counts - before for before, _ in self._counted}
            for before, record in self._counted if left else ():
                record[5] = left[before].ctypes.data
            for record, phase in zip(self._phases.reshape(-1, 3), self.phases, strict=True):
                record[0] = tasks if phase.tasks is None else phase.tasks
            bases = np.array([arrays[name].ctypes.data for name in self.bases], np.int64)
            meeting = barrier(threads)
            job = np.array(
                [
                    bases.ctypes.data,
                    steps,
                    threads,
                    len(self.phases),
                    self._phases.ctypes.data,
                    meeting.ctypes.data,
                    self._waiting.ctypes.data,
                ],
                np.int64,
            )
            self._waiting[0] = self.spins(threads)
            run_threads(self._driver, job.ctypes.data, threads)
            if self._raised:
                raise self._raised.pop()

    def spins(self, threads: int) -> int:
        """How often one of so many threads looks before it yields or sleeps."""
        return SPINS if threads <= self._most else 0

    # tables

    def _table(self, rows: list[list[int]]) -> NDArray[np.int64]:
        table = np.array(rows, np.int64).reshape(-1)
        self._kept.append(table)
        return table

    def _phase(self, phase: Phase) -> list[int]:
        if phase.function is not None:
            call = self._table([[self._callback(phase.function), 0, 0]])
            return [0, 1, self._table([[0, _ALL, 1, 1, call.ctypes.data, 0, 0]]).ctypes.data]
        table = self._table([self._section(section) for section in phase.sections])
        for number, section in enumerate(phase.sections):
            if section.groups != "all":
                self._counted.append((section.before, table[SECTION_FIELDS * number :][:SECTION_FIELDS]))
        return [0, len(phase.sections), table.ctypes.data]

    def _section(self, section: Section) -> list[int]:
        calls = self._table([self._call(call) for call in section.calls])
        tasks = _ALL if section.tasks is None else section.tasks
        absent = section.groups == "absent"
        return [section.first, tasks, section.repeats, len(section.calls), calls.ctypes.data, 0, absent]

    def _call(self, call: Call) -> list[int]:
        assert len(call.places) == len(call.program.buffers) <= MOST_ARGUMENTS, call.program.name
        rows = [
            [self.bases.index(p.base), p.offset, p.by_thread, p.by_step, p.by_task, p.by_repeat] for p in call.places
        ]
        return [next(self._addresses), len(rows), self._table(rows).ctypes.data]

    def _callback(self, function: Callable[[], None]) -> int:
        """The address of native code that calls a function of Python; the driver passes no errors on."""

        def call(_pointers: int) -> None:
            if not self._raised:
                try:
                    function()
                except BaseException as error:
                    self._raised.append(error)

        self._callbacks.append(_CALLBACK(call))
        return _address(self._callbacks[-1])


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def run_threads(function: Callable[[int, int], None], job: int, threads: int) -> None:
    """Call function(job, n) for n = 0 .. threads - 1 at the same time; native code runs without Python's lock.

    The threads wait for one another inside, so either all of them enter or none, and this returns when all are out,
    whenever Ctrl-C is pressed: it is raised at the end. Hence the caller's own thread, the one that Ctrl-C interrupts,
    only waits.

    Parameters
    ----------
    function : callable (job, n)
    job : int
        Passed on.
    threads : int
        From 1.
    """
    if threads == 1:
        function(job, 0)
        return
    workers, open_to_all = [_Worker() for _ in range(threads)], False

    def enter(n: int) -> None:
        try:
            workers[n].mask.acquire()
            if open_to_all:
                function(job, n)
        finally:
            workers[n].leave()

    started = 0
    try:
        for n in range(threads):
            _thread.start_new_thread(enter, (n,))  # `Thread.start` waits for an `Event`
            started = n + 1
        open_to_all = True
    finally:  # also when the system has no more threads to give
        _wait_for(workers, started)


class _Worker:
    """What a thread waits for before it enters, and what it says when it is out.

    Locks alone, as the system has them: an `Event` takes a lock of its own to be set or waited for, and an interrupt at
    the wrong instruction leaves that locked for ever.
    """

    __slots__ = ("left", "mask", "out")

    def __init__(self) -> None:
        self.mask, self.out, self.left = threading.Lock(), threading.Lock(), False
        self.mask.acquire()
        self.out.acquire()

    def leave(self) -> None:
        """Say that it is out: only the thread itself does."""
        self.left = True
        self.out.release()


def _wait_for(workers: Sequence[_Worker], started: int) -> None:
    """Open all masks and return when all who started have left, whatever is raised meanwhile: they use the arrays."""
    # An interrupt may come between two instructions of the loop that catches interrupts, just after another one.
    try:
        _see_out(workers, started)
    finally:
        try:
            _see_out(workers, started)
        finally:
            _see_out(workers, started)


def _see_out(workers: Sequence[_Worker], started: int) -> None:
    """Do so, but for an interrupt at one of a few instructions.

    What counts is what each thread says itself when it is out: `Thread.join`, interrupted, takes it for dead.
    """
    raised: BaseException | None = None
    waiting = True
    while waiting:
        try:
            for worker in workers:
                if worker.mask.locked():
                    worker.mask.release()
            for worker in workers[:started]:
                while not worker.left:
                    worker.out.acquire(timeout=WAIT_SECONDS)  # in vain if it was interrupted when it had got it
            waiting = False
        except BaseException as error:
            raised = error
    if raised is not None:
        raise raised


def barrier(threads: int) -> NDArray[np.int64]:
    """Where threads meet, before anybody is there: a cache line each for two counts, and for each thread's tasks."""
    return aligned((2 + threads, 8), np.int64)


def _waiting_functions() -> tuple[int, int, int]:
    """The system's functions that yield the core to another thread and that sleep, and what to tell the latter."""
    library: Any = ctypes.WinDLL("kernel32") if os.name == "nt" else ctypes.CDLL(None)  # type: ignore[attr-defined,unused-ignore]
    if os.name == "nt":
        return _address(library.SwitchToThread), _address(library.Sleep), 1  # millisecond
    return _address(library.sched_yield), _address(library.usleep), 50  # microseconds


def _address(function: Any) -> int:
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def aligned(shape: Sequence[int] | int, dtype: Any = np.float32) -> NDArray[Any]:
    """A zeroed array that starts on a cache line."""
    count = int(np.prod(shape))
    item = np.dtype(dtype).itemsize
    raw = np.zeros(count * item + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return np.asarray(raw[start : start + count * item].view(dtype).reshape(shape))
