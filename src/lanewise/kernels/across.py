"""The few operations that look across lanes. Their trees are fixed: no tile, thread or target may change them."""

from __future__ import annotations

from lanewise.lanes.program import LANES, Recorder, Value


def lane_sum(k: Recorder, value: Value) -> Value:
    """The sum of all lanes, in lane 0: halves are added, then quarters, and so on.

    (((v0 + v8) + (v4 + v12)) + ((v2 + v10) + (v6 + v14))) + (the same for the odd lanes)
    """
    for step in (8, 4, 2, 1):
        value = value + k.shuffle(value, value, [(n + step) % LANES for n in range(LANES)])
    return value


def transpose(k: Recorder, rows: list[Value]) -> list[Value]:
    """Lane n of result m is lane m of row n: 16 values of 16 images become 16 images of 16 values."""
    rows = list(rows)
    for step in (1, 2, 4, 8):
        for m in range(LANES):
            if m & step:
                continue
            a, b = rows[m], rows[m + step]
            rows[m] = k.shuffle(a, b, [LANES + n - step if n & step else n for n in range(LANES)])
            rows[m + step] = k.shuffle(a, b, [LANES + n if n & step else n + step for n in range(LANES)])
    return rows
