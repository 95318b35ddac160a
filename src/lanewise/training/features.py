"""The features of images: what a network that was trained on others gives before its last layer.

Each image goes through the network once. What comes out is kept on disk by network and image, so that the next training
on these images begins where this one did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lanewise.cache_limit import keep_within_limit
from lanewise.caching import Cache, cache_folder
from lanewise.data.images import Pixels
from lanewise.engine.many import for_many
from lanewise.engine.parameters import Floats
from lanewise.network.comparing import comparable
from lanewise.network.graph import Graph
from lanewise.preprocessing import Preprocessing, type_of
from lanewise.ranks import Ranks
from lanewise.version import __version__

CHUNK = 64
"""Images between two reports of progress."""

SHELVES = 64
"""Files that the features of one network are kept in."""

KEPT = 2**13
"""Values of an image, at most, that are kept: maps would fill a disk."""

_KEY = 16

Done = Callable[[int, int], None]
"""Told how many images are done, of how many."""


@dataclass(eq=False)
class Backbone:
    """A network up to its features, or up to maps before them.

    Attributes
    ----------
    graph : Graph
        Its output is the features.
    parameters : sequence of arrays
    preprocessing : Preprocessing
    threads : int, optional
    """

    graph: Graph
    parameters: Sequence[Floats]
    preprocessing: Preprocessing
    threads: int | None = None
    cache: Cache = field(default_factory=lambda: Cache(cache_folder("features"), ".features"))

    def features(self, pixels: Pixels, done: Done | None = None, ranks: Ranks | None = None) -> Floats:
        """The features of images, from disk as far as they are there.

        Parameters
        ----------
        pixels : (N, rows, columns, channels) uint8 or float32
            Raw.
        done : callable, optional
            Told how many images are done, of how many that are computed here.
        ranks : Ranks, optional
            Processes that each compute those of a part of the images, and then have all. The first one of each machine
            keeps them.

        Returns
        -------
        (N, features) or (N, channels, rows, columns) float32
        """
        result = np.empty((len(pixels), *self.graph.output_shape), np.float32)
        bounds = [0, len(pixels)] if ranks is None else ranks.parts(len(pixels))
        first, end = bounds[ranks.rank if ranks else 0 :][:2]
        if result[:1].size > KEPT:
            self._compute(pixels, np.arange(first, end), result, done)
            if ranks is not None:
                ranks.share(result, bounds)
            return result
        keys = [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=_KEY).digest() for image in pixels]
        shelves = _Shelves(self.cache, self._name(pixels), result[:1].size)
        known = shelves.read(keys)
        for place, key in enumerate(keys):
            if key in known:
                result[place] = known[key].reshape(result.shape[1:])
        unknown = np.array([place for place, key in enumerate(keys) if key not in known], np.int64)
        new = unknown[(first <= unknown) & (unknown < end)]
        complete = 0

        def count(images: int, all_images: int) -> None:
            nonlocal complete
            complete = images
            if done is not None:
                done(images, all_images)

        try:
            self._compute(pixels, new, result, count)
            if ranks is not None:
                ranks.share(result, bounds)
                new, complete = unknown, len(unknown) * ranks.first_here
        finally:  # what an interruption leaves is not computed again
            shelves.write({keys[place]: result[place] for place in new[:complete]})
        return result

    def _compute(self, pixels: Pixels, places: NDArray[np.int64], result: Floats, done: Done | None) -> None:
        """Fill in the results of the images at some places."""
        if not len(places):
            return
        run = self._runner(pixels)
        for first in range(0, len(places), CHUNK):
            some = places[first : first + CHUNK]
            result[some] = run(pixels[some])
            if done is not None:
                done(first + len(some), len(places))

    def _name(self, pixels: Pixels) -> str:
        """A digest of all that features depend on besides an image."""
        digest = hashlib.blake2b(digest_size=_KEY)
        digest.update(
            repr((__version__, comparable(self.graph), self.preprocessing, pixels.shape[1:], pixels.dtype.str)).encode()
        )
        for array in self.parameters:
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _runner(self, pixels: Pixels) -> Callable[[Pixels], Floats]:
        """What computes features of some images."""
        preprocessing = self.preprocessing.taking(type_of(pixels))
        return for_many(self.graph, self.parameters, preprocessing, threads=self.threads).run


class _Shelves:
    """Features on disk, in as many files as there are shelves: by the first byte of an image's key.

    Parameters
    ----------
    cache : Cache
    name : str
        Of the network.
    width : int
        Features of an image.
    """

    def __init__(self, cache: Cache, name: str, width: int) -> None:
        self.cache, self.name = cache, name
        self.record = np.dtype([("key", f"V{_KEY}"), ("features", "<f4", (width,))])

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """Those of these images that are there."""
        found: dict[bytes, Floats] = {}
        wanted = set(keys)
        for shelf in {key[0] % SHELVES for key in wanted}:
            for record in self._records(shelf):
                key = record["key"].tobytes()
                if key in wanted:
                    found[key] = record["features"]
        return found

    def write(self, new: dict[bytes, Floats]) -> None:
        """Add some."""
        for shelf in {key[0] % SHELVES for key in new}:
            here = {key: features for key, features in new.items() if key[0] % SHELVES == shelf}
            records = np.empty(len(here), self.record)
            for record, (key, features) in zip(records, here.items(), strict=True):
                record["key"], record["features"] = np.void(key), features.reshape(-1)
            self.cache.keep(self._entry(shelf), self._records(shelf).tobytes() + records.tobytes())
        keep_within_limit()

    def _records(self, shelf: int) -> NDArray[np.void]:
        content = self.cache.find(self._entry(shelf)) or b""
        whole = len(content) % self.record.itemsize == 0
        return np.frombuffer(content if whole else b"", self.record)

    def _entry(self, shelf: int) -> str:
        return f"{self.name}-{shelf:02d}"
