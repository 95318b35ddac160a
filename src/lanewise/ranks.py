"""The ranks of one training: processes that `mpiexec` started, on one machine or many, each with a part of each batch.

    with together() as ranks:          None where there is one process only; else the same calls in each
        ranks.agree(value)             what the first rank has
        ranks.gather(value)            what each has
        ranks.add(vector)              the sum of the vectors of all, by a binary tree over their numbers
        ranks.share(rows, bounds)      each has some rows; then all have all

Nothing of MPI is imported unless a launcher started the process, which its environment says. All is sent and received
plainly, in an order of our own: that of a library's sums is its own affair. Whoever waits looks now and then whether
another rank has failed, and then fails, too, so that an error anywhere ends all, wherever they are.
Why it is as it is: docs/decisions/mpi.md.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import LanewiseError, OptionError
from lanewise.extras import need
from lanewise.launch import OFF, launched, size_told

SMALL = 2**14
"""Bytes of a vector from which on ranks add halves, quarters, ... of it, instead of all."""

LOOKS, NAP = 2000, 50e-6
"""How often a rank that waits looks before it sleeps between two looks, and for how many seconds."""

CONTENT, FAILED = 1, 2
"""Tags of messages: what is exchanged; that a rank has failed, and why."""


class RankError(LanewiseError):
    """Another rank failed."""


class Ranks:
    """This process among others; what each method does, all of them do at the same time.

    Attributes
    ----------
    rank, size : the number of this process, and how many there are
    on_host, first_here : how many of them are on this machine, and whether it is the first of these
    neighbours : how many of these share the processors that this one may use, itself included
    """

    def __init__(self, communicator: Any, mpi: Any) -> None:
        self._communicator, self._mpi = communicator, mpi
        self.rank, self.size = int(communicator.rank), int(communicator.size)
        self.host = socket.gethostname()
        self._failed = False
        self._scratch = np.empty(0, np.float32)
        places = self.gather([self.host, sorted(_processors())])
        self.neighbours = places.count(places[self.rank])
        self.hosts: list[str] = [host for host, _ in places]
        self.on_host = self.hosts.count(self.host)
        self.first_here = self.hosts.index(self.host) == self.rank

    def named(self, rank: int) -> str:
        """A rank and where it runs."""
        return f"rank {rank}" + (f" on {self.hosts[rank]}" if len(set(self.hosts)) > 1 else "")

    def parts(self, count: int) -> list[int]:
        """Bounds of as many parts of so many things as there are ranks."""
        return [count * n // self.size for n in range(self.size + 1)]

    # values that JSON can hold

    def agree(self, value: Any) -> Any:
        """The value that the first rank has."""
        if self.rank == 0:
            for other in range(1, self.size):
                self._send_value(value, other)
            return json.loads(json.dumps(value))
        return self._receive_value(0)

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in order."""
        if self.rank > 0:
            self._send_value(value, 0)
            return list(self.agree(None))
        return list(self.agree([value, *(self._receive_value(other) for other in range(1, self.size))]))

    def _send_value(self, value: Any, other: int) -> None:
        content = np.frombuffer(json.dumps(value).encode(), np.uint8)
        length = np.array([len(content)], np.int64)
        self._exchange([(length, other), (content, other)], [])

    def _receive_value(self, other: int) -> Any:
        length = np.zeros(1, np.int64)
        self._exchange([], [(length, other)])
        content = np.empty(int(length[0]), np.uint8)
        self._exchange([], [(content, other)])
        return json.loads(content.tobytes())

    # arrays

    def add(self, vector: NDArray[np.float32]) -> None:
        """Put the sum of all ranks' vectors into each: rank 0 + rank 1, 2 + 3, ..., then pairs of these, and so on.

        Large ones by recursive halving: at each level two ranks exchange halves of what they have, so that each adds
        one; then they give each other the sums. Every number is added in the same order either way.
        """
        if vector.nbytes > len(self._scratch) * 4:
            self._scratch = np.empty(len(vector), np.float32)
        first, end = 0, len(vector)
        added: list[tuple[int, slice, slice]] = []
        for level in range(self.size.bit_length() - 1):
            other, upper = self.rank ^ (1 << level), bool(self.rank >> level & 1)
            if vector.nbytes < SMALL:
                mine = theirs = slice(first, end)
            else:
                middle = (first + end) // 2
                halves = slice(first, middle), slice(middle, end)
                mine, theirs = halves[::-1] if upper else halves
                added.append((other, mine, theirs))
                first, end = mine.start, mine.stop
            came = self._scratch[: mine.stop - mine.start]
            self._exchange([(vector[theirs], other)], [(came, other)])
            vector[mine] += came
        for other, mine, theirs in reversed(added):
            self._exchange([(vector[mine], other)], [(vector[theirs], other)])

    def share(self, rows: NDArray[Any], bounds: Sequence[int]) -> None:
        """Give all ranks all rows, of which each has those from one bound to the next.

        Parameters
        ----------
        rows : array
            C-contiguous.
        bounds : sequence of int
            One more than there are ranks.
        """
        for level in range(self.size.bit_length() - 1):
            width, other = 1 << level, self.rank ^ (1 << level)
            mine, theirs = (
                rows[bounds[start] : bounds[start + width]]
                for start in (side // width * width for side in (self.rank, other))
            )
            self._exchange([(mine, other)], [(theirs, other)])

    def _exchange(self, sent: list[tuple[NDArray[Any], int]], received: list[tuple[NDArray[Any], int]]) -> None:
        """Send and receive; give up where another rank has failed."""
        waiting = [self._communicator.Irecv(_bytes(array), other, CONTENT) for array, other in received]
        requests = waiting + [self._communicator.Isend(_bytes(array), other, CONTENT) for array, other in sent]
        looks = 0
        try:
            while not self._mpi.Request.Testall(requests):
                looks += 1
                if looks > LOOKS or looks % 64 == 0:
                    self._check()
                if looks > LOOKS:
                    time.sleep(NAP)
        except BaseException:
            _abandoned.append((sent, received))
            for request in waiting:
                request.Cancel()
            raise

    # failures

    def _check(self) -> None:
        """Raise what another rank has failed with."""
        status = self._mpi.Status()
        if self._communicator.Iprobe(self._mpi.ANY_SOURCE, FAILED, status):
            content = np.empty(status.Get_count(self._mpi.BYTE), np.uint8)
            self._communicator.Recv(content, status.Get_source(), FAILED)
            self._failed = True
            raise RankError(f"{self.named(status.Get_source())}: {content.tobytes().decode()}")

    def fail(self, error: BaseException) -> None:
        """Tell all others that this one has failed, unless it was one of them who told."""
        if self._failed:
            return
        self._failed = True
        text = str(error) if isinstance(error, LanewiseError) else f"{type(error).__name__}: {error}".rstrip(": ")
        content = np.frombuffer((text or "failed").encode(), np.uint8)
        for other in range(self.size):
            if other != self.rank:
                self._communicator.Isend(content, other, FAILED)
        _abandoned.append(content)


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _processors() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


_active: Ranks | None = None

_abandoned: list[Any] = []
"""Arrays that MPI may still read or write, as their exchange was never finished: never freed."""


def active() -> Ranks | None:
    """The ranks that work together now; None where this process works alone."""
    return _active


@contextmanager
def together() -> Iterator[Ranks | None]:
    """Work together with the other processes that a launcher started, if it did.

    Raises
    ------
    OptionError
        Their number will not do, or the launcher is not that of mpi4py's library.
    RankError
        Another rank failed.
    """
    global _active
    if _active is not None or not launched():
        yield _active
        return
    ranks = _connect()
    if ranks is None:
        yield None
        return
    _active = ranks
    try:
        yield ranks
    except BaseException as error:
        ranks.fail(error)
        raise
    finally:
        _active = None


def _connect() -> Ranks | None:
    need("mpi4py", "training on several ranks", "mpi")
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    told = size_told()
    if told is not None and told != world.size:
        raise OptionError(
            f"the launcher started {told} processes, but mpi4py's library ({MPI.get_vendor()[0]}) sees {world.size}: "
            f'start them with the mpiexec of that library, or set {OFF}="off" to train in each process alone'
        )
    if world.size == 1:
        return None
    check_size(world.size)
    return Ranks(world.Dup(), MPI)  # whose messages cannot be taken for those of a training before, or of a user's


def check_size(size: int) -> None:
    """Refuse a number of ranks that is no power of two."""
    if size & (size - 1):
        less = 1 << size.bit_length() - 1
        raise OptionError(
            f"{size} ranks cannot share the tree of sums evenly: start {less} or {2 * less} "
            f"(mpiexec -n {less}), and give each more threads"
        )


def agreed(value: float, ranks: Ranks | None = None) -> float:
    """A measured number, like seconds, that decides how work goes on: the first rank's, where there are several."""
    ranks = ranks or _active
    return value if ranks is None else float(ranks.agree(value))
