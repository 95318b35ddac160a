"""From layers to kernels: one table, read by the fused plan, the unfused plan and the plan for a single image.

A lowering says which program computes an operation, which its inputs' gradients, and which those of its parameters.
Plans find the memory of a program's buffers by their names: x, or x0, x1, ... of several; y, dy, dx; weight, bias,
scale, shift, mean, variance, slope and these with a d before for their gradients; present, moments; transformed
(weights for Winograd's method), plus, argmax, images, key, and scratch...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lanewise.engine.fuse import Operation, conv_of, first_place, pool_of
from lanewise.kernels import (
    batchnorm,
    conv,
    conv_pooled_gradient,
    conv_weight_gradient,
    dense,
    layernorm,
    lrn,
    pointwise,
    pool,
    prelu,
    scale,
    winograd,
)
from lanewise.kernels import winograd_weight_gradient as winograd_weight
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool
from lanewise.kernels.single import features
from lanewise.kernels.single.blocked import Blocked
from lanewise.lanes.program import Program
from lanewise.network import layers
from lanewise.network.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lowered:
    """An operation that is to be computed.

    Attributes
    ----------
    graph, operation
        What is computed.
    registers : int
        How many values of 16 lanes the target's registers hold.
    """

    graph: Graph
    operation: Operation
    registers: int

    @property
    def layer(self) -> layers.Layer:
        """What its node is."""
        return self.operation.node.layer

    @property
    def relu(self) -> bool:
        """Whether its kernel does a ReLU at the end."""
        return self.operation.activation is not None

    @property
    def conv(self) -> Conv:
        """Its geometry, if it is a convolution."""
        return conv_of(self.graph, self.operation.node)

    @property
    def pool(self) -> Pool:
        """Its geometry, if it is a pool."""
        return pool_of(self.operation.node)

    @property
    def joined(self) -> Pool | None:
        """The pool that its kernel does, if it does one."""
        return None if self.operation.pool is None else pool_of(self.graph.nodes[self.operation.pool])


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward(_Lowered):
    """An operation, and how what it reads and leaves lies in memory.

    Attributes
    ----------
    xs : tuple of Layout
        How its inputs lie; of an operation that adds `operation.plus`, that is not among them.
    y : Layout
        How its result lies.
    plus, argmax : Layout, optional
        How the value lies that it adds, and the argmax of its pool, if they are asked for.
    training : bool
        Whether Dropout drops, and BatchNorm takes the statistics of the images that are there.
    accumulate : bool
        Whether it adds to what is noted of these statistics.
    """

    xs: tuple[Layout, ...]
    y: Layout
    plus: Layout | None = None
    argmax: Layout | None = None
    training: bool = False
    accumulate: bool = False

    @property
    def x(self) -> Layout:
        """How its first input lies."""
        return self.xs[0]

    def program(self) -> Program:
        """What computes it."""
        return lowering_of(self.layer).forward(self.layer, self)

    def again(self) -> Program | None:
        """What computes it once more in the backward pass, if that is cheap."""
        lower = lowering_of(self.layer).again
        return None if lower is None else lower(self.layer, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backward(_Lowered):
    """An operation, and how the gradient of its result lies, and that of its input number `position`.

    Attributes
    ----------
    xs : tuple of Layout
        How all its inputs lie.
    x, y, dy, dx : Layout
        How that input and the result lie, and their gradients. For gradients of parameters dx plays no part.
    mask : bool
        Whether x came out of a ReLU and this is the last to add to dx, which then becomes the gradient before it.
    accumulate : bool
        Whether to add to what is there.
    accumulate_parameters : bool
        The same for gradients of parameters, where one program computes these and that of the input.
    """

    position: int = 0
    xs: tuple[Layout, ...] = ()
    x: Layout
    y: Layout
    dy: Layout
    dx: Layout
    mask: bool = False
    accumulate: bool
    accumulate_parameters: bool = False

    def input_gradient(self) -> Program:
        """What writes or adds to dx."""
        return lowering_of(self.layer).input_gradient(self.layer, self)

    def parameter_gradients(self) -> Program:
        """What computes the gradients of its parameters."""
        lower = lowering_of(self.layer).parameter_gradients
        assert lower is not None, self.operation
        return lower(self.layer, self)


@dataclass(frozen=True, slots=True)
class Lowering:
    """The kernels of one kind of layer.

    All are functions of the layer and of what is known of the operation.

    Attributes
    ----------
    forward : callable
        The program that computes the operation.
    input_gradient : callable
        The program that writes or adds to the gradient of one input; None where it lies in the result's own memory.
    parameter_gradients : callable, optional
        The program of the gradients of its parameters, for layers that have some.
    together : bool
        Whether the program of the input's gradient, where there is one, computes those of the parameters, too.
    again : callable, optional
        The program that computes the operation once more in the backward pass, with the same bits, where that is one
        pass over a value which the backward pass needs anyway.
    single : callable, optional
        The program for a single image, whose channels are in lanes. Without, the kernel of `forward` treats all lanes
        alike, and is given blocks of channels for channels.
    """

    forward: Callable[[Any, Forward], Program]
    input_gradient: Callable[[Any, Backward], Program]
    parameter_gradients: Callable[[Any, Backward], Program] | None = None
    together: bool = False
    again: Callable[[Any, Forward], Program] | None = None
    single: Callable[[Any, tuple[Blocked, ...], Blocked], Program] | None = None


def lowering_of(layer: layers.Layer) -> Lowering:
    """The kernels of a layer, by its class or the nearest class that it is made from."""
    for kind in type(layer).__mro__:
        if kind in LOWERINGS:
            return LOWERINGS[kind]
    raise TypeError(f"{type(layer).__name__} has no kernels: give it a line in LOWERINGS")


# Convolution


def _convolution(layer: layers.Conv2D, f: Forward) -> Program:
    forward = winograd.forward if "forward" in f.operation.winograd else conv.forward
    return forward(f.conv, f.x, f.y, relu=f.relu, plus=f.plus, pool=f.joined, argmax=f.argmax, registers=f.registers)


def _unpooled(b: Backward) -> Pool | None:
    """The pool of a convolution whose gradient before it is not in memory."""
    return None if b.operation.unpooled is None else b.joined


def _convolution_input(layer: layers.Conv2D, b: Backward) -> Program:
    options = {"mask": b.mask, "accumulate": b.accumulate}
    if "input" in b.operation.winograd:
        return winograd.backward_input(b.conv, b.x, b.dy, b.dx, pool=_unpooled(b), registers=b.registers, **options)
    onto = None if b.operation.onto is None else conv_of(b.graph, b.graph.nodes[b.operation.onto])
    return conv.backward_input(
        b.conv, b.x, b.dy, b.dx, gaps=b.operation.gaps, onto=onto, registers=b.registers, **options
    )


def _convolution_weight(layer: layers.Conv2D, b: Backward) -> Program:
    joined = _unpooled(b)
    if "weight" in b.operation.winograd:
        return winograd_weight.backward_weight(
            b.conv, b.x, b.dy, pool=joined, accumulate=b.accumulate, registers=b.registers
        )
    if joined:
        return conv_pooled_gradient.backward_weight(
            b.conv, b.x, b.dy, joined, accumulate=b.accumulate, registers=b.registers
        )
    return conv_weight_gradient.backward_weight(b.conv, b.x, b.dy, accumulate=b.accumulate, registers=b.registers)


def transformed_weights(graph: Graph, operation: Operation, *, gradient: bool) -> Program:
    """The program that transforms a convolution's weights for Winograd's method, forward or for its `gradient`.

    Parameters
    ----------
    graph : Graph
    operation : Operation
        A convolution that Winograd's method computes.
    gradient : bool
        Whether the weights are for the gradient of its input.
    """
    node = operation.node
    x, y = (Layout.of(shape) for shape in (graph.nodes[node.inputs[0]].shape, node.shape))
    return winograd.transform_weights(conv_of(graph, node), x, y, gradient=gradient)


# Dense


def _dense(layer: layers.Dense, f: Forward) -> Program:
    return dense.forward(f.x.elements, layer.units, bias=layer.bias, relu=f.relu, registers=f.registers)


def _dense_input(layer: layers.Dense, b: Backward) -> Program:
    return dense.backward_input(
        b.x.elements, b.dy.elements, mask=b.mask, accumulate=b.accumulate, registers=b.registers
    )


def _dense_weight(layer: layers.Dense, b: Backward) -> Program:
    return dense.backward_weight(
        b.x.elements, layer.units, bias=layer.bias, accumulate=b.accumulate, registers=b.registers
    )


# Normalisation


def _batch_norm(layer: layers.BatchNorm, f: Forward) -> Program:
    if f.training and not layer.frozen:
        return batchnorm.forward(f.x, f.y, layer.epsilon, f.accumulate, f.relu, f.plus)
    return batchnorm.apply(f.x, f.y, layer.epsilon, f.relu, f.plus)


def _batch_norm_again(layer: layers.BatchNorm, f: Forward) -> Program:
    return _batch_norm(layer, f) if layer.frozen else batchnorm.again(f.x, f.y, f.relu)


def _batch_norm_input(layer: layers.BatchNorm, b: Backward) -> Program:
    if layer.frozen:
        return batchnorm.backward_applied(b.dy, b.dx, layer.epsilon, b.accumulate)
    return batchnorm.backward(b.x, b.dy, b.dx, b.accumulate, b.accumulate_parameters)


# Pooling


def _max_pool_input(layer: layers.MaxPool2D, b: Backward) -> Program:
    if b.operation.done_by is not None:  # the convolution that did it noted the argmax
        return pool.argmax_backward(b.pool, b.dy, b.dx)
    return pool.max_backward(b.pool, b.x, b.y, b.dy, b.dx, mask=b.mask, accumulate=b.accumulate)


def _average_pool(layer: layers.AvgPool2D, f: Forward) -> Program:
    return pool.average_forward(f.pool, f.x, f.y, count_padding=layer.count_padding)


def _average_pool_input(layer: layers.AvgPool2D, b: Backward) -> Program:
    return pool.average_backward(b.pool, b.x, b.dy, b.dx, b.accumulate, mask=b.mask, count_padding=layer.count_padding)


# Functions of single values, and copies


def _activation(layer: layers.Activation, f: Forward) -> Program:
    return pointwise.activation(layer.word, numbers(layer), f.x, f.y)


def _activation_input(layer: layers.Activation, b: Backward) -> Program:
    known = b.x if layer.derivative_from == "x" else b.y
    return pointwise.activation_backward(
        layer.word, numbers(layer), known, b.dy, b.dx, layer.derivative_from, accumulate=b.accumulate
    )


def numbers(activation: layers.Activation) -> tuple[float, ...]:
    """The options of an activation, as its kernel takes them."""
    return tuple(map(float, activation.options.values()))


def lrn_numbers(layer: layers.LRN) -> tuple[int, float, float, float]:
    """The options of a local response normalisation, as its kernels take them."""
    return layer.half, layer.alpha / layer.size, float(layer.beta), float(layer.k)


def _dropout(layer: layers.Dropout, f: Forward) -> Program:
    if not f.training:
        return pointwise.copy(f.x, f.y)
    return pointwise.dropout(f.x, f.y, layer.rate, first_place(f.graph, f.operation.number))


def _dropout_input(layer: layers.Dropout, b: Backward) -> Program:
    place = first_place(b.graph, b.operation.number)
    return pointwise.dropout_backward(b.dy, b.dx, layer.rate, place, accumulate=b.accumulate)


def _multiply_input(layer: layers.Multiply, b: Backward) -> Program:
    if b.position == 0:
        return pointwise.multiply_backward(b.xs[1], b.dy, b.dx, accumulate=b.accumulate)
    return pointwise.multiply_backward_factors(b.xs[0], b.dy, b.dx, accumulate=b.accumulate)


def _join_input(layer: layers.Join, b: Backward) -> Program:
    before = sum(b.graph.nodes[source].shape[0] for source in b.operation.node.inputs[: b.position])
    return pointwise.join_backward(b.dy, b.dx, before, accumulate=b.accumulate)


def _copied(layer: layers.Layer, b: Backward) -> Program:
    return pointwise.copy_backward(b.dy, b.dx, accumulate=b.accumulate)


LOWERINGS: dict[type[layers.Layer], Lowering] = {
    layers.Conv2D: Lowering(_convolution, _convolution_input, _convolution_weight),
    layers.Dense: Lowering(_dense, _dense_input, _dense_weight),
    layers.BatchNorm: Lowering(
        _batch_norm,
        _batch_norm_input,
        lambda layer, b: batchnorm.backward_parameters(b.x, b.dy, b.accumulate),
        together=True,
        again=_batch_norm_again,
        single=lambda layer, xs, y: features.scale_and_shift(xs[0], y),
    ),
    layers.Scale: Lowering(
        lambda layer, f: scale.forward(f.x, f.y, f.relu, f.plus),
        lambda layer, b: scale.backward_input(b.dy, b.dx, b.accumulate),
        lambda layer, b: scale.backward_parameters(b.x, b.dy, b.accumulate),
        single=lambda layer, xs, y: features.scale_and_shift(xs[0], y),
    ),
    layers.PReLU: Lowering(
        lambda layer, f: prelu.forward(f.x, f.y),
        lambda layer, b: prelu.backward_input(b.x, b.dy, b.dx, b.accumulate),
        lambda layer, b: prelu.backward_slope(b.x, b.dy, b.accumulate),
        single=lambda layer, xs, y: features.prelu(xs[0], y),
    ),
    layers.LayerNorm: Lowering(
        lambda layer, f: layernorm.forward(f.x, f.y, layer.epsilon),
        lambda layer, b: layernorm.backward(b.x, b.dy, b.dx, layer.epsilon, b.accumulate),
        single=lambda layer, xs, y: features.layer_norm(xs[0], y, layer.epsilon),
    ),
    layers.LRN: Lowering(
        lambda layer, f: lrn.forward(f.x, f.y, *lrn_numbers(layer)),
        lambda layer, b: lrn.backward(b.x, b.y, b.dy, b.dx, *lrn_numbers(layer), b.accumulate),
        single=lambda layer, xs, y: features.lrn(xs[0], y, *lrn_numbers(layer)),
    ),
    layers.MaxPool2D: Lowering(lambda layer, f: pool.max_forward(f.pool, f.x, f.y), _max_pool_input),
    layers.AvgPool2D: Lowering(_average_pool, _average_pool_input),
    layers.GlobalAvgPool2D: Lowering(
        lambda layer, f: pool.global_average_forward(f.x, f.y),
        lambda layer, b: pool.global_average_backward(b.x, b.dy, b.dx, mask=b.mask, accumulate=b.accumulate),
    ),
    layers.Activation: Lowering(_activation, _activation_input, again=_activation),
    layers.Softmax: Lowering(
        lambda layer, f: pointwise.softmax(f.x, f.y),
        lambda layer, b: pointwise.softmax_backward(b.y, b.dy, b.dx, accumulate=b.accumulate),
        single=lambda layer, xs, y: features.softmax(xs[0]),
    ),
    layers.Dropout: Lowering(_dropout, _dropout_input),
    layers.Flatten: Lowering(
        lambda layer, f: pointwise.copy(f.x, f.y), _copied, single=lambda layer, xs, y: features.flatten(xs[0])
    ),
    layers.Add: Lowering(lambda layer, f: pointwise.add(f.xs, f.y, relu=f.relu), _copied),
    layers.Multiply: Lowering(lambda layer, f: pointwise.multiply(f.xs[0], f.xs[1], f.y), _multiply_input),
    layers.Join: Lowering(
        lambda layer, f: pointwise.join(f.xs, f.y), _join_input, single=lambda layer, xs, y: features.join(xs, y)
    ),
}
"""By the class of the layer; each subclass is lowered as its base."""
