"""Mixing: each image with the one in the next lane, and its label likewise, by random numbers of its own.

    mixup    y[i, r, c] = (1 - t) x[i, r, c] + t x'[i, r, c]       t from 0 to `mixup`
    cutmix   y[i, r, c] = x'[i, r, c] in a rectangle, else x[i, r, c];   t its share of the image

where x' is the image in the next lane, and in the first one for the last. With both, a coin decides which of the two is
done to an image. t is the share of the other image's label (`loss.py`).

Zhang and others 2018, "mixup: Beyond Empirical Risk Minimization", where t follows a beta distribution. With
parameter 1 that is uniform; and t and 1 - t make the same pair, so `mixup` 0.5 does as much. Yun and others 2019,
"CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features".
"""

from __future__ import annotations

from lanewise.kernels import random
from lanewise.kernels.augmentation import CUT_FIRST_PLACES, CUT_SIZE_PLACES, MIX_PLACES, Augment, Rectangle
from lanewise.kernels.gather import UNROLLED_CHANNELS
from lanewise.kernels.layout import Layout
from lanewise.lanes.program import I32, LANES, Program, Recorder, kernel

NEXT = tuple((n + 1) % LANES for n in range(LANES))
"""The lane that each lane's image is mixed with."""


@kernel
def mix(y: Layout, augment: Augment) -> Program:
    """Mix the images of a group, in place.

    Parameters
    ----------
    y : Layout
        Of shape (channels, rows, columns).
    augment : Augment
        Its `mixup` and `cutmix`.

    Buffers: images (i32, 16: the number of each lane's image), key (i32, 2: seed, epoch), y, shares (f32, 16: t).
    """
    k = Recorder("mix")
    channels, rows, columns = y.shape
    images = k.scalars("images", (LANES,), I32).vector(0)
    numbers = random.stream(k, k.scalars("key", (2,), I32), images)
    ys, shares = y.buffer(k, "y"), k.scalars("shares", (LANES,))
    cut = Rectangle(k, numbers, (rows, columns), augment.cutmix, CUT_SIZE_PLACES, CUT_FIRST_PLACES)
    blend, share = k.constant(0.0), k.constant(0.0)
    if augment.mixup:
        share = blend = random.uniform(k, random.bits(k, numbers, k.integer(MIX_PLACES[0]))) * augment.mixup
    if augment.cutmix:
        share = k.apply("to_float", cut.sizes[0] * cut.sizes[1]) * (1.0 / (rows * columns))
    if augment.mixup and augment.cutmix:
        coin = k.apply("shr", random.bits(k, numbers, k.integer(MIX_PLACES[1])), 31)
        cut.sizes[1] = cut.sizes[1] * coin
        blend = k.apply("where_ult", coin, 1, blend, k.constant(0.0))
        share = k.apply("where_ult", coin, 1, blend, share)
    for r in k.loop(rows):
        cut.start()
        for c in k.loop(columns):
            taken = cut.next()
            for i in range(channels) if channels <= UNROLLED_CHANNELS else k.loop(channels):
                own = ys[i, r, c]
                other = k.shuffle(own, own, NEXT)
                mixed = k.apply("fma", blend, other - own, own) if augment.mixup else own
                ys[i, r, c] = taken(other, mixed)
    shares.set_vector(share, 0)
    return k.program()
