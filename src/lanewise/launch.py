"""Whether a launcher like `mpiexec` started this process as one of several: what its environment says of that."""

from __future__ import annotations

import os

OFF = "LANEWISE_RANKS"
"""Set to "off" in the environment, each process trains alone, whoever started it."""

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
"""Where launchers say how many processes they started: MPICH's and Slurm's PMI, Open MPI."""

OTHERS = ("PMIX_RANK",)
"""What launchers set that leave the number to the library: PMIx, as Slurm may have it."""

RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
"""Where they say which of them this one is."""


def launched() -> bool:
    """Whether it did, and they are to train together."""
    if os.environ.get(OFF) == "off":
        return False
    size = size_told()
    return any(name in os.environ for name in OTHERS) if size is None else size > 1


def size_told() -> int | None:
    """How many processes the launcher says that it started, if it does."""
    return next((int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdecimal()), None)


def number() -> int:
    """The number of this process among those that were started with it; 0 if there is but one."""
    return next((int(os.environ[name]) for name in RANKS if name in os.environ), 0) if launched() else 0
