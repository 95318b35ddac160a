"""Programs that several tests read."""

from __future__ import annotations

from lanewise.lanes.ir import F32, I32, LANES, OPERATIONS, U8, Program
from lanewise.lanes.program import Recorder, Value


def every_statement() -> Program:
    """A program with each kind of statement and each operation, for texts that are read and for renderers."""
    k = Recorder("every statement")
    x, y = k.lanes("x", (3, 4), [(0, 0), (1, 1)]), k.lanes("y", (3, 4))
    w, n = k.scalars("w", (40,)), k.scalars("n", (32,), I32)
    pixels, reals = k.scalars("pixels", (9,), U8), k.scalars("reals", (9,))
    total = k.register(0.0)
    for i in k.loop(3):
        for c in k.loop(4):
            total.accumulate(w[i * 4 + c], x[i, c - 1])
            y[i, c] = total
    real, whole = total.get(), n.vector(0)
    operands: dict[str, Value | float] = {F32: real, I32: whole, "?": real}
    for op, (arguments, _) in OPERATIONS.items():
        k.apply(op, *(operands[a] for a in arguments))
    n.set_vector(k.gather(pixels, whole, 9, k.lane_number()), 16)
    y[0, 0] = k.gather(reals, whole, 3, whole) + x.lane(3, 0, 0)
    y[0, 1] = k.shuffle(real, w.vector(24), [31 - lane for lane in range(LANES)])
    w[39] = real * 0.1
    y.set_vector(real, 2, 0, more=True)
    return k.program()
