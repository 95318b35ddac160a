"""Says that something will not fit into memory before it is allocated."""

from __future__ import annotations

import os

from lanewise.errors import TooLargeError
from lanewise.processors import memory_left, proc_bytes
from lanewise.ranks import active


def available_memory() -> int | None:
    """Bytes that can be had without swapping or breaking a container's limit, where the system tells; ranks share."""
    known = [bytes_ for bytes_ in (_free_memory(), memory_left()) if bytes_ is not None]
    ranks = active()
    return min(known, default=None) if ranks is None or not known else min(known) // ranks.on_host


def _free_memory() -> int | None:
    if (available := proc_bytes("meminfo", "MemAvailable")) is not None:
        return available
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


FEWER = "use fewer filters or units, pool earlier, or make the images smaller"


def check_memory(what: str, needed: int, batch_size: int | None = None, hint: str = FEWER) -> None:
    """Raise if there is less free memory than needed.

    Parameters
    ----------
    what : str
        What needs it, for the message.
    needed : int
        Bytes.
    batch_size : int, optional
        Lets the message suggest a smaller one.
    hint : str
        What needs less.

    Raises
    ------
    TooLargeError
    """
    available = available_memory()
    if available is not None and needed > available:
        if batch_size is not None and batch_size > 128:
            hint += f", or a batch smaller than {batch_size}"
        raise TooLargeError(
            f"{what} needs {needed / 2**30:.1f} GB of memory, but only {available / 2**30:.1f} GB are free; {hint}"
        )
