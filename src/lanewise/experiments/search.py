"""`lanewise.search`: networks, learning rates and augmentation, chosen by trying, by any number of workers.

found = lanewise.search("photos", trials=50, network="conv {16..64}@{3x3,5x5}, relu, max 2, dense 10", folder="tried")
print(found)
found.save_page("search.html")
model = lanewise.train("photos", **found.settings())
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from lanewise.data.images import ImageSets
from lanewise.data.load import Source
from lanewise.experiments.search_plan import Plan, SearchProgress
from lanewise.experiments.search_result import SearchResult
from lanewise.extras import need


def search(
    source: Source | ImageSets,
    *,
    trials: int = 50,
    network: str | Sequence[str] | None = None,
    objectives: str | Sequence[str] = "accuracy",
    folder: str | os.PathLike[str] | None = None,
    storage: str | None = None,
    study: str = "search",
    heartbeat: float = 10.0,
    progress: Callable[[SearchProgress], None] | None = None,
    **options: Any,
) -> SearchResult:
    """Search for the network and the options of training that do best on the validation images.

    An option of training may have alternatives: a list, text with commas, "none,shift", or a range, "0.01..0.3".
    Without any, networks from small to large, learning rates and augmentation are searched. The test set is not looked
    at.

    Parameters
    ----------
    source : path, (images, labels), or ImageSets
        As for `lanewise.train`.
    trials : int
        Number of trainings, those of all workers together.
    network : str or list of str, optional
        Text with braces that hold alternatives or a range, like "conv {16..64}@{3x3,5x5}, relu, dense 10".
    objectives : str or sequence of str
        "accuracy" or "loss", alone or with "weights", "multiply-adds" and "latency". With one objective, trials that
        fall behind are stopped.
    folder : path, optional
        Where the models of the best trials are kept, and the database if `storage` names no other: the same call goes
        on with the study, and several at once share it.
    storage : str, optional
        Address of a database, like "postgresql://user@host/name", for workers on several machines.
    study : str
        Its name in the database.
    heartbeat : float
        Seconds between signs of life of a worker; after six without, its trial is begun again by another.
    progress : callable, optional
        Given a `SearchProgress` while training, and after each trial.
    **options
        Those of `lanewise.train`, such as `epochs`, or `budget`, the seconds of each training.

    Returns
    -------
    SearchResult

    Raises
    ------
    OptionError
        There is nothing to choose, the database cannot be reached, or the study there is of other images or settings.
    MissingPackageError
        Optuna is not installed.
    """
    need("optuna", "a search", "search")
    from lanewise.experiments.search_worker import Worker

    plan = Plan(source, trials, network, objectives, folder, storage, study, heartbeat, options)
    return Worker(plan).run(progress)
