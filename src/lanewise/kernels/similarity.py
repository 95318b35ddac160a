"""How alike images are, all with all: the most like of each group of others, mirrored or not.

    s[n, j]    = sum over i of x[n, 0, i] known[j, 0, i]        of what mirroring leaves alone
    t[n, j]    = sum over i of x[n, 1, i] known[j, 1, i]        of what mirroring turns round
    best[n, g] = max over j in group g of s[n, j] + |t[n, j]|

Image n asks in a lane; the known ones are broadcast, like the weights of a fully connected layer. The products are
never written down, only the largest of each group.
"""

from __future__ import annotations

from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import LANES, Program, Recorder, kernel

QUESTIONS = 8
"""Groups of 16 images that ask one after the other, while the known ones are in the cache."""

ASKED = QUESTIONS * LANES
"""Images that ask in one call."""


@kernel
def compare(numbers: int, known: int, size: int, *, registers: int = 32) -> Program:
    """Buffers: x, known, best, for `known` images in groups of `size` that follow one another.

    An image is `numbers` numbers that mirroring leaves alone, and as many that it turns round.
    """
    k = Recorder("likeness compare")
    x = k.lanes("x", (QUESTIONS, 2, numbers))
    y = k.scalars("known", (known, 2, numbers))
    best = k.lanes("best", (QUESTIONS, known // size))
    for q in k.loop(QUESTIONS):
        for g in k.loop(known // size):
            most = k.register(-2.0)
            for j, height in blocks(k, size, max(1, registers // 4)):
                kept, turned = ([k.register() for _ in range(height)] for _ in range(2))
                for i, width in blocks(k, numbers, 4):
                    for n in range(width):
                        same, odd = x[q, 0, i + n], x[q, 1, i + n]
                        for m in range(height):
                            kept[m].accumulate(y[g * size + j + m, 0, i + n], same)
                            turned[m].accumulate(y[g * size + j + m, 1, i + n], odd)
                for m in range(height):
                    t = turned[m].get()
                    alike = kept[m].get() + k.apply("max", t, k.apply("sub", 0.0, t))
                    k.write(most, k.apply("max", most.get(), alike))
            best[q, g] = most.get()
    return k.program()
