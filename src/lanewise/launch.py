"""Whether a launcher like `mpiexec` started this process as one of several: what its environment says of that."""

from __future__ import annotations

import os

OFF = "LANEWISE_RANKS"
"""Set to "off" in the environment, each process trains alone, whoever started it."""

LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("SLURM_STEP_NUM_TASKS", "PMIX_RANK"),
)
"""Where launchers say how many processes they started, and which of them this one is: Open MPI; MPICH, Intel MPI and
Slurm by PMI; Slurm by PMIx, which leaves the number to Slurm.

A launcher may itself have been started by one further down, as in a shell that Slurm gave: that one's are inherited.
"""

PMIX = "PMIX_NAMESPACE"
"""Where PMIx says whose processes these are. What is not Slurm's may be any number, which the library knows."""


def launched() -> bool:
    """Whether it did, and they are to train together."""
    if os.environ.get(OFF) == "off":
        return False
    size, rank = _told()
    return rank is not None if size is None else size > 1


def size_told() -> int | None:
    """How many processes the launcher says that it started, if it does."""
    return _told()[0]


def number() -> int:
    """The number of this process among those that were started with it; 0 if there is but one."""
    return (_told()[1] or 0) if launched() else 0


def unconnected() -> int:
    """How many processes Slurm started that know nothing of each other: 0 unless there are several.

    Without `--mpi` that is what `srun -n 4` does, and each process trains a model of its own. The first one is told.
    """
    if os.environ.get(OFF) == "off" or _told()[1] is not None or os.environ.get("SLURM_PROCID") != "0":
        return 0
    size = os.environ.get("SLURM_STEP_NUM_TASKS", "")
    return int(size) if size.isdecimal() and int(size) > 1 else 0


def _told() -> tuple[int | None, int | None]:
    """How many processes there are and which one this is, as far as the innermost launcher says."""
    for names in LAUNCHERS:
        size, rank = (int(text) if (text := os.environ.get(name, "")).isdecimal() else None for name in names)
        if names[1] == "PMIX_RANK":
            slurm = os.environ.get(PMIX, "slurm.").startswith("slurm.")
            return (size if slurm and rank is not None else None), rank
        if size is not None:
            return size, rank
    return None, None
