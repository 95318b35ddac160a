"""Losses: how wrong the outputs of 16 images are, and the gradient of that; smoothing s moves targets off 0 and 1.

    softmax   p[k] = exp(z[k]) / sum of exp(z)              q[k] = (1 - s) [k = label] + s / K
              loss = - sum over k of q[k] log p[k]          dz[k] = weight (p[k] - q[k])
    sigmoid   p = 1 / (1 + exp(-z))                         q = (1 - s) label + s / 2
              loss = - q log p - (1 - q) log (1 - p)        dz = weight (p - q)

An image that was `mixed` with another, of which it got the share t, has a second label:
(1 - t) [k = label] + t [k = other] stands for [k = label], (1 - t) label + t other for label.

Buffers, lane n belonging to image n: logits and dlogits (one element of 16 lanes for each output), labels (i32, 16),
weights (f32, 16), loss (f32, 16), correct (f32, 16), in the order logits, labels, weights, dlogits, loss, correct, and
if images are mixed others (i32, 16), shares (f32, 16).
A weight is the image's own, divided by the batch's sum of weights, and 0 for lanes without an image. `loss` is written
without the weight; `correct` is 1 where the image is classified rightly and else 0, or the share of the label that it
is classified as if it was mixed.
"""

from __future__ import annotations

from lanewise.kernels import functions
from lanewise.lanes.program import I32, LANES, Buffer, Program, Recorder, Value, kernel


def _declare(k: Recorder, outputs: int) -> tuple[Buffer, Buffer, Buffer, Buffer, Buffer, Buffer]:
    return (
        k.lanes("logits", (outputs,)),
        k.scalars("labels", (LANES,), I32),
        k.scalars("weights", (LANES,)),
        k.lanes("dlogits", (outputs,)),
        k.scalars("loss", (LANES,)),
        k.scalars("correct", (LANES,)),
    )


def _other(k: Recorder) -> tuple[Value, Value]:
    """The other label of each image that was mixed, and its share t."""
    other, t = k.scalars("others", (LANES,), I32).vector(0), k.scalars("shares", (LANES,)).vector(0)
    return k.apply("to_float", other), t


@kernel
def softmax_cross_entropy(classes: int, label_smoothing: float = 0.0, mixed: bool = False) -> Program:
    """Cross-entropy of softmax(logits) against one label from 0 to classes - 1 for each image.

    With m = max z and S = sum of exp(z[k] - m), in the order of the classes, nothing overflows:

        loss = log S - (1 - s) (z[label] - m) - s / K * sum over k of (z[k] - m)

    where z[label] + t (z[other] - z[label]) stands for z[label] if images are mixed. `correct` says whether the first
    of the largest logits is the label's; of mixed images, that label's share.

    Parameters
    ----------
    classes : int
    label_smoothing : float
    mixed : bool
        Whether images have a second label.
    """
    k = Recorder("softmax_cross_entropy")
    logits, labels, weights, dlogits, losses, correct = _declare(k, classes)
    label, weight = k.apply("to_float", labels.vector(0)), weights.vector(0)
    mix = _other(k) if mixed else None

    largest, best, number = k.register(logits[0]), k.register(0.0), k.register(0.0)
    own = k.register(0.0)
    others = k.register(0.0) if mix else None
    for j in k.loop(classes):
        z, so_far, class_number = logits[j], largest.get(), number.get()
        best.set(k.apply("where_gt", z, so_far, class_number, best))
        largest.set(k.apply("max", z, so_far))
        own.set(k.apply("where_eq", class_number, label, z, own))
        if mix and others:
            others.set(k.apply("where_eq", class_number, mix[0], z, others))
        number.add(1.0)
    most = largest.get()

    total, total_shifted = k.register(0.0), k.register(0.0)
    for j in k.loop(classes):
        shifted = logits[j] - most
        dlogits[j] = e = functions.exp(k, shifted)
        total.add(e)
        if label_smoothing:
            total_shifted.add(shifted)
    share = k.apply("div", 1.0, total)

    rest, off = 1.0 - label_smoothing, label_smoothing / classes
    on = k.apply("fma", mix[1], -rest, rest + off) if mix else rest + off
    number.set(k.constant(0.0))
    for j in k.loop(classes):
        target = k.apply("where_eq", number.get(), label, on, off)
        if mix:
            target = target + k.apply("where_eq", number.get(), mix[0], mix[1] * rest, 0.0)
        dlogits[j] = weight * (dlogits[j] * share - target)
        number.add(1.0)

    chosen = k.apply("fma", mix[1], others.get() - own.get(), own.get()) if mix and others else own.get()
    loss = k.apply("fma", chosen - most, -rest, functions.log(k, total.get()))
    losses.set_vector(k.apply("fma", total_shifted, -off, loss) if label_smoothing else loss, 0)
    correct.set_vector(_share_of(k, best.get(), label, mix), 0)
    return k.program()


@kernel
def sigmoid_cross_entropy(label_smoothing: float = 0.0, mixed: bool = False) -> Program:
    """Cross-entropy of sigmoid(logit), one output, against labels 0 and 1.

    With u = z for label 0 and u = -z for label 1, so that a small error is not the difference of numbers near 1:

        loss = max(u, 0) + log(1 + exp(-|u|)) - s / 2 * u
        dz = weight * (sigmoid(u) - s / 2), with its sign turned for label 1

    where s / 2 + (1 - s) t stands for s / 2 in images that are `mixed` with one of the other label.
    `correct` says whether (logit > 0) is the label; of mixed images, that label's share.
    """
    k = Recorder("sigmoid_cross_entropy")
    logits, labels, weights, dlogits, losses, correct = _declare(k, 1)
    z, label = logits[0], k.apply("to_float", labels.vector(0))
    sign = k.apply("where_eq", label, 0.0, 1.0, -1.0)
    u = z * sign
    wrong: Value | float = label_smoothing / 2
    mix = _other(k) if mixed else None
    if mix:
        other, t = mix
        wrong = k.apply("where_eq", other, label, 0.0, t * (1.0 - label_smoothing)) + label_smoothing / 2
    dlogits[0] = weights.vector(0) * sign * (functions.sigmoid(k, u) - wrong)
    loss = k.apply("max", u, 0.0) + _log_1_plus(k, functions.exp(k, functions.negative(k, functions.magnitude(k, u))))
    losses.set_vector(k.apply("fma", u, wrong * -1.0, loss), 0)
    correct.set_vector(_share_of(k, k.apply("where_gt", z, 0.0, 1.0, 0.0), label, mix), 0)
    return k.program()


def _share_of(k: Recorder, answer: Value, label: Value, mix: tuple[Value, Value] | None) -> Value:
    """The share that an answer has in an image: 1 - t of the label, t of the other label that was mixed in."""
    if mix is None:
        return k.apply("where_eq", answer, label, 1.0, 0.0)
    other, t = mix
    return k.apply("where_eq", answer, label, k.constant(1.0) - t, 0.0) + k.apply("where_eq", answer, other, t, 0.0)


def _log_1_plus(k: Recorder, e: Value) -> Value:
    """log(1 + e) for e from 0 to 1, exact to a few units in the last place for small e too.

    With w = 1 + e rounded: log w + (what the rounding lost) / w.
    """
    w = e + 1.0
    lost = e - (w - 1.0)
    return functions.log(k, w) + lost / w
