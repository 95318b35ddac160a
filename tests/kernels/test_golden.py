"""One recorded program of each kernel, small enough to be read: the difference is the review of a change.

`pytest --update-golden tests/kernels/test_golden.py` writes the texts to tests/golden/kernels/.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from lanewise import kernels
from lanewise.kernels import (
    batchnorm,
    border,
    conv,
    conv_pooled_gradient,
    conv_weight_gradient,
    dense,
    gather,
    layernorm,
    loss,
    lrn,
    mixing,
    muon,
    optimizers,
    pointwise,
    pool,
    prelu,
    scale,
    similarity,
    winograd,
    winograd_weight_gradient,
)
from lanewise.kernels.augmentation import Augment
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool
from lanewise.kernels.single import conv as single_conv
from lanewise.kernels.single import dense as single_dense
from lanewise.kernels.single import features
from lanewise.kernels.single import winograd as single_winograd
from lanewise.kernels.single.blocked import Blocked
from lanewise.lanes.program import Program
from tests.conftest import Golden
from tests.kernels.support import all_kernels

FLAT, SMALL, LARGE = Layout((2, 1, 1)), Layout((1, 2, 2)), Layout((1, 4, 4))
HALVES = Pool((2, 2), (2, 2))

CONV = Conv(3, 2, (2, 2), padding=(0, 0, 0, 1))
CONV_X, CONV_Y = Layout((2, 3, 3), (0, 0, 0, 1)), Layout((3, 2, 3))
ONE = Conv(1, 1, (2, 2))
THREES = Conv(1, 1, (3, 3), padding=(1, 1, 1, 1))
WIDE = Conv(1, 16, (3, 3), padding=(1, 1, 1, 1), bias=False)
MANY = Conv(16, 16, (3, 3), padding=(1, 1, 1, 1), bias=False)


def around(conv: Conv, size: int) -> tuple[Layout, Layout]:
    """x and y of a 3x3 convolution by Winograd that keeps the size, with the borders that it reads."""
    x, y = Layout((conv.channels, size, size)), Layout((conv.filters, size, size))
    return x.with_border(winograd.x_border(conv, x, y)), y.with_border(winograd.dy_border(conv, x, y))


def winograd_one() -> Program:
    tiles = single_winograd._tiles(MANY, 2, 2, 2)
    x = Blocked((16, 2, 2))
    x = x.with_border(single_winograd.x_border(MANY, tiles, x))
    return single_winograd.forward(MANY, tiles, x, Blocked((16, 2, 2)))


CASES: dict[str, tuple[Callable[..., Program], Callable[[], Program]]] = {}


def case(kernel: Callable[..., Program], *arguments: Any, **options: Any) -> None:
    """Let a kernel stand in a file by its module and name."""
    module = kernel.__module__.removeprefix("lanewise.kernels.")
    CASES[f"{module}.{kernel.__name__}"] = kernel, lambda: kernel(*arguments, **options)


case(batchnorm.forward, SMALL, SMALL, 0.5, True, relu=True)
case(batchnorm.again, SMALL, SMALL, True)
case(batchnorm.apply, SMALL, SMALL, 0.5)
case(batchnorm.backward_parameters, SMALL, SMALL, False)
case(batchnorm.backward, SMALL, SMALL, SMALL, True, False)
case(batchnorm.backward_applied, SMALL, SMALL, 0.5, False)
case(batchnorm.update_statistics, 16, 4)
case(border.clear, Layout((1, 2, 1), (1, 1, 0, 2)))
case(conv.forward, CONV, CONV_X, CONV_Y, relu=True)
case(conv.backward_input, ONE, Layout((1, 3, 3)), SMALL.with_border((1, 1, 1, 1)), Layout((1, 3, 3)), mask=True)
case(conv_weight_gradient.backward_weight, ONE, Layout((1, 3, 3)), SMALL)
case(conv_pooled_gradient.backward_weight, ONE, Layout((1, 3, 3)), Layout((1, 1, 1)), HALVES)
case(dense.forward, 6, 3)
case(dense.backward_input, 3, 2)
case(dense.backward_weight, 3, 2)
case(dense.backward_bias, 2)
case(dense.backward_weight_slice, 2, 1, 1, 2, 1)
case(layernorm.forward, SMALL, SMALL, 0.5)
case(layernorm.backward, SMALL, SMALL, SMALL, 0.5, True)
case(lrn.forward, Layout((4, 1, 2)), Layout((4, 1, 2)), 1, 0.25, 0.75, 2.0)
case(lrn.backward, *[Layout((5, 1, 2))] * 4, 1, 0.25, 0.75, 2.0, True)
case(pool.max_forward, HALVES, LARGE, SMALL)
case(pool.argmax_backward, HALVES, Layout((1, 1, 1)), SMALL)
case(pool.max_backward, HALVES, SMALL, Layout((1, 1, 1)), Layout((1, 1, 1)), SMALL, False)
case(pool.average_forward, HALVES, SMALL, Layout((1, 1, 1)))
case(pool.average_backward, HALVES, SMALL, Layout((1, 1, 1)), SMALL, False)
case(pool.global_average_forward, SMALL, Layout((1, 1, 1)))
case(pool.global_average_backward, SMALL, Layout((1, 1, 1)), SMALL, False)
case(pointwise.activation, "tanh", (), Layout((1, 1, 1)), Layout((1, 1, 1)))
case(pointwise.activation_backward, "relu", (), FLAT, FLAT, FLAT, "y", True)
case(pointwise.softmax, FLAT, FLAT)
case(pointwise.softmax_backward, FLAT, FLAT, FLAT, False)
case(pointwise.dropout, Layout((1, 1, 1)), Layout((1, 1, 1)), 0.5, 7)
case(pointwise.dropout_backward, Layout((1, 1, 1)), Layout((1, 1, 1)), 0.5, 7, True)
case(pointwise.add, (FLAT, FLAT), FLAT, relu=True)
case(pointwise.mean, FLAT, FLAT)
case(pointwise.multiply, SMALL, Layout((1, 1, 1)), SMALL)
case(pointwise.multiply_backward, Layout((1, 1, 1)), SMALL, SMALL, True)
case(pointwise.multiply_backward_factors, SMALL, SMALL, Layout((1, 1, 1)), False)
case(pointwise.copy, FLAT, FLAT)
case(pointwise.copy_backward, FLAT, FLAT, True)
case(pointwise.join, (FLAT, Layout((1, 1, 1))), Layout((3, 1, 1)))
case(pointwise.join_backward, Layout((3, 1, 1)), FLAT, 1, False)
case(gather.gather, (2, 2, 1), "u8", SMALL, Augment(shift_columns=1, flip_columns=True))
case(loss.softmax_cross_entropy, 2, 0.1)
case(loss.sigmoid_cross_entropy)
case(mixing.mix, SMALL, Augment(mixup=0.5, cutmix=0.5))
case(muon.direction, 2, 3)
case(muon.gram, 2, 1)
case(muon.polynomial, 1)
case(muon.product, 1, 1, 1)
case(muon.step, 1, 18)
case(optimizers.sum_shards, 16, 5, 32)
case(optimizers.sum_squares, 2, 32, 48)
case(optimizers.clip, 2)
case(optimizers.sgd, 16, nesterov=True)
case(optimizers.adamw, 16)
case(optimizers.average, 32)
case(optimizers.zero, 32)
case(prelu.forward, SMALL, SMALL)
case(prelu.backward_input, SMALL, SMALL, SMALL, True)
case(prelu.backward_slope, SMALL, SMALL, False)
case(scale.forward, SMALL, SMALL, relu=True)
case(scale.backward_input, SMALL, SMALL, True)
case(scale.backward_parameters, SMALL, SMALL, False)
case(similarity.compare, 16, 16, 2)
case(winograd.transform_weights, THREES, *around(THREES, 2))
case(winograd.forward, THREES, *around(THREES, 2), relu=True)
case(winograd.backward_input, THREES, around(THREES, 2)[0], around(THREES, 2)[1], Layout((1, 2, 2)))
case(winograd_weight_gradient.backward_weight, WIDE, *around(WIDE, 2))
case(single_conv.forward, Conv(2, 1, (2, 2)), Blocked((1, 3, 3)), Blocked((2, 2, 2)), activation=("relu", ()))
case(single_dense.forward, Blocked((2, 1, 1)), 2, activation=("relu", ()))
case(features.prepare, Blocked((1, 1, 2)))
case(features.flatten, Blocked((2, 1, 2)))
case(features.layer_norm, Blocked((18, 1, 1)), Blocked((18, 1, 1)), 0.5)
case(features.lrn, Blocked((34, 1, 1)), Blocked((34, 1, 1)), 2, 0.25, 0.75, 2.0)
case(features.join, (Blocked((2, 1, 1)), Blocked((1, 1, 1))), Blocked((3, 1, 1)))
case(features.scale_and_shift, Blocked((2, 1, 2)), Blocked((2, 1, 2)))
case(features.prelu, Blocked((2, 1, 2)), Blocked((2, 1, 2)))
case(features.softmax, Blocked((2, 1, 1)))
CASES["winograd.forward, 4x4"] = (
    winograd.forward,
    lambda: winograd.forward(WIDE, *around(WIDE, 3)),
)  # many channels, too
CASES["single.winograd.forward"] = single_winograd.forward, winograd_one

LONGEST = 450
"""Lines of a text that somebody still reads."""


def test_every_kernel_has_a_text() -> None:
    covered = {kernel for kernel, _ in CASES.values()}
    missing = [f"{kernel.__module__}.{kernel.__name__}" for kernel in all_kernels() if kernel not in covered]
    assert not missing, f"{', '.join(missing)}: add a `case` each, and write its text with --update-golden"


@pytest.mark.parametrize("name", CASES)
def test_program_text(name: str, golden: Golden) -> None:
    text = str(CASES[name][1]())
    golden(f"kernels/{name.replace(', ', '_')}.txt", text)
    assert text.count("\n") < LONGEST


def test_each_kernel_has_a_text() -> None:
    modules = [import_module(info.name) for info in pkgutil.walk_packages(kernels.__path__, "lanewise.kernels.")]
    found = {
        f"{module.__name__.removeprefix('lanewise.kernels.')}.{name}"
        for module in modules
        for name, value in vars(module).items()
        if hasattr(value, "__wrapped__") and hasattr(value, "cache_info") and value.__module__ == module.__name__
        if inspect.signature(value).return_annotation == "Program"
    }
    assert found == {name.partition(",")[0] for name in CASES}
