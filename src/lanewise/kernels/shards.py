"""The order in which the shards of a batch are added: a binary tree over their numbers.

    tree(n shards) = tree(the first ceil(n / 2)) + tree(the last floor(n / 2)),      tree(one shard) = its own

What is below a node depends only on how many shards there are, so whoever has the shards of one node adds them alone,
and nodes are added by pairs: threads, rounds of one machine, or several machines (docs/decisions/shard-tree.md).
"""

from __future__ import annotations

from collections.abc import Callable

from lanewise.lanes.program import Value


def nodes(shards: int, depth: int) -> list[tuple[int, int]]:
    """The 2**depth nodes at a depth of the tree, each as its first shard and how many it has.

    Parameters
    ----------
    shards : int
        At least 2**depth.
    depth : int
    """
    if depth == 0:
        return [(0, shards)]
    left = (shards + 1) // 2
    right = [(left + first, count) for first, count in nodes(shards - left, depth - 1)]
    return nodes(left, depth - 1) + right


def over_shards(shards: int, value: Callable[[int], Value]) -> Value:
    """The sum by the tree.

    Parameters
    ----------
    shards : int
    value : callable
        What shard n has, asked for in the order of numbers.
    """
    if shards == 1:
        return value(0)
    left = (shards + 1) // 2
    total = over_shards(left, value)
    return total + over_shards(shards - left, lambda n: value(left + n))
