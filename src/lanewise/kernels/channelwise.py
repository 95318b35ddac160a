"""What kernels share that treat each channel as a whole: its elements, and their sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lanewise.kernels.layout import Layout
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import Index, Recorder, Value

CHANNELS = 4
"""Channels that are summed side by side, to hide the latency of additions, and then worked on again, from the cache."""

UNROLL = 8

Place = tuple[Index, Index, Index]
"""(channel, row, column)."""


def positions(k: Recorder, layout: Layout, channel: Index) -> Iterator[Place]:
    """All elements of a channel, several side by side.

    Parameters
    ----------
    k : Recorder
    layout : Layout
    channel : Index
        A number, or what a loop counts.
    """
    _, rows, columns = layout.shape
    for r in k.loop(rows):
        for first, width in blocks(k, columns, UNROLL):
            for q in range(width):
                yield channel, r, first + q


def channels_together(k: Recorder, channels: int) -> Iterator[list[Index]]:
    """All channels, a few at a time."""
    for first, width in blocks(k, channels, CHANNELS):
        yield [first + p for p in range(width)]


def products(
    k: Recorder, x: Layout, each: list[Index], terms: Callable[[int, Place], tuple[Value, Value]]
) -> list[Value]:
    """For each of a few channels the sum of b * c, lane by lane.

    Parameters
    ----------
    k : Recorder
    x : Layout
    each : list of Index
        The channels.
    terms : callable (number of the channel, place)
        Gives b and c at a place.
    """
    _, rows, columns = x.shape
    totals = [k.register(0.0) for _ in each]
    for r in k.loop(rows):
        parts = [k.register(0.0) for _ in each]
        for c in k.loop(columns):
            for p, i in enumerate(each):
                parts[p].accumulate(*terms(p, (i, r, c)))
        for total, part in zip(totals, parts, strict=True):
            total.add(part)
    return [total.get() for total in totals]


def summed(
    k: Recorder, x: Layout, each: list[Index], terms: Callable[[int, Place], tuple[Value, Value, Value]]
) -> list[tuple[Value, Value]]:
    """For each of a few channels the sum of a and that of b * c, lane by lane.

    Parameters
    ----------
    k : Recorder
    x : Layout
    each : list of Index
        The channels.
    terms : callable (number of the channel, place)
        Gives a, b and c at a place.
    """
    _, rows, columns = x.shape
    sums, products = ([k.register(0.0) for _ in each] for _ in range(2))
    for r in k.loop(rows):
        row_sums, row_products = ([k.register(0.0) for _ in each] for _ in range(2))
        for c in k.loop(columns):
            for p, i in enumerate(each):
                a, *factors = terms(p, (i, r, c))
                row_sums[p].add(a)
                row_products[p].accumulate(*factors)
        for total, part in zip(sums + products, row_sums + row_products, strict=True):
            total.add(part)
    return [(s.get(), q.get()) for s, q in zip(sums, products, strict=True)]
