"""What is known of kernels recorded before, so that they need not be recorded again.

Recording takes most of the time in which a known network gets ready. But whoever plans with a program asks for its
buffers alone, and the cache of machine code for its digest. So these are kept on disk, under the kernel, its arguments
and the digest of all sources that recording depends on; statements are recorded when somebody looks at them.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache, lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, cast

from lanewise.caching import Cache, cache_folder
from lanewise.errors import ProgramError
from lanewise.lanes.ir import BufferSpec, Program

Arguments = ParamSpec("Arguments")

SOURCES = ("lanes", "kernels")
"""The folders of the package that decide what is recorded."""

_STARTED = time.time()  # the sources in memory are those of about now


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know of a program beside its statements."""

    name: str
    digest: str
    buffers: tuple[BufferSpec, ...]

    @staticmethod
    def of(program: Program) -> Facts:
        """Those of a recorded program."""
        return Facts(program.name, program.digest, program.buffers)

    def to_bytes(self) -> bytes:
        """For `from_bytes`."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Facts:
        """Put together what `to_bytes` took apart."""
        record = json.loads(data)
        return Facts(record["name"], record["digest"], tuple(BufferSpec(**spec) for spec in record["buffers"]))


class Catalogued(Program):
    """A program whose facts are known; what it does is recorded when somebody looks.

    Parameters
    ----------
    facts : Facts
    record : callable
        Records the program.
    """

    def __init__(self, facts: Facts, record: Callable[[], Program]) -> None:
        self._facts, self._record = facts, record
        vars(self).update(name=facts.name, buffers=facts.buffers, digest=facts.digest)

    def __getattr__(self, name: str) -> Any:
        """What only the recorded program knows, its statements and their types: so it is recorded."""
        if name not in ("body", "types", "register_types"):
            raise AttributeError(name)
        recorded = self._record()
        if Facts.of(recorded) != self._facts:  # kernels were changed in a running process, this one or one before
            raise ProgramError(f"{self.name}: recorded otherwise than it is known; remove the folder {_folder()}")
        vars(self).update(body=recorded.body, types=recorded.types, register_types=recorded.register_types)
        return vars(self)[name]


def kernel(record: Callable[Arguments, Program]) -> Callable[Arguments, Program]:
    """Decorate a function that records a program: for the same arguments it is called once, as programs never change.

    That holds between processes, too, for kernels of this package. `__wrapped__` is the function as it was, which a
    test calls that changes what kernels are made from.
    """
    own = record.__module__.startswith(f"{_PACKAGE}.kernels.")

    @lru_cache(maxsize=256)
    @wraps(record)
    def find(*args: Arguments.args, **options: Arguments.kwargs) -> Program:
        def recorded() -> Program:
            return record(*args, **options)

        order = _order(record, args, options) if own else None
        return recorded() if order is None else _catalogued(order, recorded)

    find.__wrapped__ = record
    return cast(Callable[Arguments, Program], find)


def _catalogued(order: str, record: Callable[[], Program]) -> Program:
    recorded: list[Program] = []

    def build() -> bytes:
        recorded.append(record())
        return Facts.of(recorded[0]).to_bytes()

    facts = Facts.from_bytes(_opened(_folder()).get(hashlib.sha256(order.encode()).hexdigest(), build))
    return recorded[0] if recorded else Catalogued(facts, record)


def _folder() -> Path:
    return cache_folder("programs")


@cache
def _opened(folder: Path) -> Cache:
    return Cache(folder, ".json")


# the order: a text that is the same exactly where the same is recorded

_PACKAGE = __name__.partition(".")[0]


def _order(record: Callable[..., Program], args: tuple[Any, ...], options: dict[str, Any]) -> str | None:
    """The kernel, its arguments and the sources; None where they do not say all that there is to know."""
    sources = sources_digest()
    if sources is None:
        return None
    try:
        given = ", ".join([*map(exact, args), *(f"{name}={exact(options[name])}" for name in sorted(options))])
    except TypeError:
        return None
    return f"{sources} {record.__module__}.{record.__qualname__}({given})"


def exact(value: object) -> str:
    """The text of an argument, different for different ones.

    Raises
    ------
    TypeError
        If it is not made of plain values and of dataclasses that stand in the sources which the digest covers.
    """
    kind = type(value)
    if kind in (int, bool, float, str, type(None)):
        return repr(value)
    if kind is tuple:
        return f"({','.join(map(exact, cast(tuple[object, ...], value)))})"
    if is_dataclass(kind) and kind.__module__.startswith(tuple(f"{_PACKAGE}.{folder}." for folder in SOURCES)):
        return f"{kind.__module__}.{kind.__qualname__}{exact(tuple(getattr(value, f.name) for f in fields(kind)))}"
    raise TypeError(f"{kind} has no exact text")


@cache
def sources_digest() -> str | None:
    """The digest of all sources that recording depends on; None if newer than this process or not to be read.

    A few dozen files are read once a process, in about a millisecond.
    """
    own = Path(__file__)
    root, digest = own.parents[1], hashlib.sha256(f"{sys.version} {sys.byteorder}".encode())
    try:
        paths = sorted(path for folder in SOURCES for path in (root / folder).rglob("*.py"))
        for path in paths:
            status = path.stat()
            if max(status.st_mtime, status.st_ctime) > _STARTED:
                return None
            text = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()} {len(text)}\n".encode() + text)
    except OSError:
        return None
    return digest.hexdigest() if own in paths else None
