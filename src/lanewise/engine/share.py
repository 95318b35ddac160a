"""Which shards of each batch are this process's, where ranks share them: a node of the tree of shards each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.engine.parameters import Floats
from lanewise.errors import OptionError
from lanewise.kernels.shards import nodes
from lanewise.lanes.program import LANES
from lanewise.ranks import Ranks

MOST_SHARDS = 64


@dataclass(frozen=True, slots=True)
class Share:
    """A batch in shards, and what of it is computed here.

    Attributes
    ----------
    ranks : the processes that share a batch, or None
    groups : of 16 images, of the whole batch
    groups_per_shard : of which the last shard may have fewer
    shards : how many there are
    first, own : the first that is computed here, and how many are
    bounds : the first lane of each rank, and the end of all
    """

    ranks: Ranks | None
    groups: int
    groups_per_shard: int
    shards: int
    first: int
    own: int
    bounds: tuple[int, ...]

    @staticmethod
    def of(batch_size: int, ranks: Ranks | None) -> Share:
        """Cut a batch into shards, by its size alone, and take those of this rank.

        Raises
        ------
        OptionError
            There are more ranks than shards.
        """
        groups = -(-batch_size // LANES)
        groups_per_shard = -(-groups // MOST_SHARDS)
        shards = -(-groups // groups_per_shard)
        parts = ((0, shards),) if ranks is None else nodes_of(shards, ranks.size, batch_size)
        first, own = parts[0 if ranks is None else ranks.rank]
        starts = (LANES * groups_per_shard * first for first, _ in parts)
        return Share(ranks, groups, groups_per_shard, shards, first, own, (*starts, LANES * groups))

    @property
    def lanes(self) -> slice:
        """Those of a batch that are computed here."""
        rank = 0 if self.ranks is None else self.ranks.rank
        return slice(self.bounds[rank], self.bounds[rank + 1])

    @property
    def lane_count(self) -> int:
        """How many these are."""
        own = self.lanes
        return int(own.stop - own.start)

    def by_lane(self, array: NDArray[Any], absent: int, dtype: type[np.generic]) -> NDArray[Any]:
        """An array of steps, (steps, batch), with a column for each lane of the batch's groups.

        Parameters
        ----------
        array : (steps, batch)
        absent : int
            The value of lanes behind the batch.
        dtype : type
        """
        array = np.asarray(array, dtype)
        lanes = self.bounds[-1]
        if array.shape[1] == lanes:
            return array
        padded = np.full((len(array), lanes), absent, dtype)
        padded[:, : array.shape[1]] = array
        return padded

    def of_all(self, *own: Floats) -> list[Floats]:
        """What all ranks have of some arrays, each (steps, lanes), of which `own` are our lanes."""
        if self.ranks is None:
            return list(own)
        rows = np.zeros((self.bounds[-1], len(own), len(own[0])), np.float32)
        rows[self.lanes] = np.stack(own).transpose(2, 0, 1)
        self.ranks.share(rows, self.bounds)
        return [np.ascontiguousarray(rows[:, n].T) for n in range(len(own))]


def nodes_of(shards: int, ranks: int, batch_size: int) -> tuple[tuple[int, int], ...]:
    """The shards of each rank, a node of their tree: the first, and how many.

    Parameters
    ----------
    shards, ranks, batch_size : int

    Raises
    ------
    OptionError
        There are more ranks than shards.
    """
    if ranks > shards:
        most = 1 << shards.bit_length() - 1
        alone = "one process, without mpiexec" if most == 1 else f"{most} ranks (mpiexec -n {most})"
        larger = (
            f", or a batch of {ranks * LANES} images (--batch-size {ranks * LANES})" if ranks <= MOST_SHARDS else ""
        )
        raise OptionError(
            f"a batch of {batch_size} images is cut into {shards} shard{'s' * (shards > 1)}, too few for {ranks} "
            f"ranks: start {alone}{larger}"
        )
    return tuple(nodes(shards, ranks.bit_length() - 1))
