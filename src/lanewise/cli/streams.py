"""Standard output and standard error that may go away while the work goes on.

The reader of a pipe leaves (`lanewise train photos | head`), the terminal closes, the disk of a log is full, or nobody
opened the stream to begin with: what is written from then on is dropped, and the command does what it was asked to do.
`lost` says afterwards whether something was lost that a user would want to know of.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

GONE = frozenset((errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ECONNRESET))
"""Nobody is there any more to read: no reason to complain."""


PLAIN = {
    **{"µ": "u", "°": " degrees", "²": "2", "×": "x", "–": "-", "—": "-", "…": "...", "•": "*"},
    **dict(zip("▁▂▃▄▅▆▇█", "12345678", strict=True)),
}
"""Our own words and bars where the terminal speaks ASCII."""

SPINNER = frozenset(map(chr, range(0x2800, 0x2900)))
"""Patterns of dots that turn where somebody waits."""

ERRORS = "lanewise"
"""How a stream takes characters that its encoding does not have: ours in plain ones, those of names escaped."""


def _in_plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(
        PLAIN.get(c) or ("*" if c in SPINNER else c.encode("unicode_escape").decode()) for c in characters
    ), error.end


codecs.register_error(ERRORS, _in_plain)


class Lasting(io.RawIOBase):
    """The bytes of a stream; after a failure they are dropped."""

    def __init__(self, descriptor: int | None) -> None:
        self.descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        """Say yes: whatever is written is taken."""
        return True

    def isatty(self) -> bool:
        """Say whether a terminal is there, or was until now."""
        with suppress(OSError):
            return self.descriptor is not None and os.isatty(self.descriptor)
        return False

    def fileno(self) -> int:
        """Give the descriptor, for what asks the terminal for its size."""
        if self.descriptor is None:
            raise io.UnsupportedOperation("nobody opened this stream")
        return self.descriptor

    def write(self, data: object) -> int:
        """Write, or drop."""
        view = memoryview(data)  # type: ignore[arg-type]
        if self.descriptor is None or self.error is not None:
            return view.nbytes
        try:
            return os.write(self.descriptor, view)
        except BlockingIOError:
            raise
        except OSError as error:
            self.error = error
            return view.nbytes


def make_lasting() -> None:
    """Put such streams in the place of this process's own, if they are its own."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            # The first file to be opened would otherwise become the stream, and what is printed would land in it.
            with suppress(OSError):
                _fill(number)
            setattr(sys, name, _text(Lasting(None), "utf-8", ERRORS))
        elif stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            with suppress(OSError, ValueError):
                stream.flush()
                setattr(sys, name, _text(Lasting(stream.fileno()), stream.encoding, ERRORS))


def silence() -> None:
    """Drop whatever is printed from now on: another rank says the same."""
    for name in ("stdout", "stderr"):
        setattr(sys, name, _text(Lasting(None), "utf-8", ERRORS))


def lost() -> str | None:
    """Why standard output could not be written to the end; None if it was, or if its reader went away."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    if isinstance(raw, Lasting) and raw.error is not None and raw.error.errno not in GONE:
        return os.strerror(raw.error.errno or 0).lower()
    return None


def _text(raw: Lasting, encoding: str, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors, line_buffering=raw.isatty() or raw.descriptor == 2
    )


def _fill(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        if descriptor != number:
            os.dup2(descriptor, number)
            os.close(descriptor)
