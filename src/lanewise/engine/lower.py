"""From layers to kernels: one table, read by the fused plan, the unfused plan and the plan for a single image.

A lowering says which program computes an operation, which its inputs' gradients, and which those of its parameters.
Plans find the memory of a program's buffers by their names: x, or x0, x1, ... of several; y, dy, dx; weight, bias,
scale, shift, mean, variance and these with a d before for their gradients; present, moments; transformed (weights for
Winograd's method), plus, argmax, images, key, and scratch...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lanewise.engine.fuse import Operation, conv_of, first_place, pool_of
from lanewise.kernels import (
    batchnorm,
    conv,
    conv_pooled_gradient,
    conv_weight_gradient,
    dense,
    pointwise,
    pool,
    scale,
    winograd,
)
from lanewise.kernels import winograd_weight_gradient as winograd_weight
from lanewise.kernels.layout import Layout
from lanewise.kernels.single import features
from lanewise.kernels.single.blocked import Blocked
from lanewise.lanes.program import Program
from lanewise.network import layers
from lanewise.network.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """An operation, and how what it reads and leaves lies in memory.

    Attributes
    ----------
    graph, operation
        What is computed.
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
    registers : int
        How many values of 16 lanes the target's registers hold.
    """

    graph: Graph
    operation: Operation
    xs: tuple[Layout, ...]
    y: Layout
    plus: Layout | None = None
    argmax: Layout | None = None
    training: bool = False
    accumulate: bool = False
    registers: int

    @property
    def layer(self) -> layers.Layer:
        """What its node is."""
        return self.operation.node.layer

    @property
    def x(self) -> Layout:
        """How its first input lies."""
        return self.xs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backward:
    """An operation, and how the gradient of its result lies, and that of its input number `position`.

    Attributes
    ----------
    graph, operation
        What was computed.
    x, y, dy, dx : Layout
        How that input and the result lie, and their gradients. For gradients of parameters dx plays no part.
    mask : bool
        Whether x came out of a ReLU and this is the last to add to dx, which then becomes the gradient before it.
    accumulate : bool
        Whether to add to what is there.
    accumulate_parameters : bool
        The same for gradients of parameters, where one program computes these and that of the input.
    registers : int
        As for `Forward`.
    """

    graph: Graph
    operation: Operation
    position: int = 0
    x: Layout
    y: Layout
    dy: Layout
    dx: Layout
    mask: bool = False
    accumulate: bool
    accumulate_parameters: bool = False
    registers: int

    @property
    def layer(self) -> layers.Layer:
        """What its node is."""
        return self.operation.node.layer


@dataclass(frozen=True, slots=True)
class Lowering:
    """The kernels of one kind of layer.

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
    single : callable, optional
        The program for a single image, whose channels are in lanes. Without, the kernel of `forward` treats all lanes
        alike, and is given blocks of channels for channels.
    """

    forward: Callable[[Forward], Program]
    input_gradient: Callable[[Backward], Program]
    parameter_gradients: Callable[[Backward], Program] | None = None
    together: bool = False
    single: Callable[[tuple[Blocked, ...], Blocked], Program] | None = None


def lowering_of(layer: layers.Layer) -> Lowering:
    """The kernels of a layer, by its class or the nearest class that it is made from."""
    for kind in type(layer).__mro__:
        if kind in LOWERINGS:
            return LOWERINGS[kind]
    raise TypeError(f"{type(layer).__name__} has no kernels: give it a line in LOWERINGS")


# Convolution


def _convolution(f: Forward) -> Program:
    operation = f.operation
    forward = winograd.forward if "forward" in operation.winograd else conv.forward
    return forward(
        conv_of(f.graph, operation.node),
        f.x,
        f.y,
        relu=operation.activation is not None,
        plus=f.plus,
        pool=None if operation.pool is None else pool_of(f.graph.nodes[operation.pool]),
        argmax=f.argmax,
        registers=f.registers,
    )


def _unpooled(b: Backward) -> pool.Pool | None:
    """The pool of a convolution whose gradient before it is not in memory."""
    operation = b.operation
    if operation.unpooled is None or operation.pool is None:
        return None
    return pool_of(b.graph.nodes[operation.pool])


def _convolution_input(b: Backward) -> Program:
    geometry, options = conv_of(b.graph, b.operation.node), {"mask": b.mask, "accumulate": b.accumulate}
    if "input" in b.operation.winograd:
        return winograd.backward_input(geometry, b.x, b.dy, b.dx, pool=_unpooled(b), registers=b.registers, **options)
    onto = None if b.operation.onto is None else conv_of(b.graph, b.graph.nodes[b.operation.onto])
    return conv.backward_input(
        geometry, b.x, b.dy, b.dx, gaps=b.operation.gaps, onto=onto, registers=b.registers, **options
    )


def _convolution_weight(b: Backward) -> Program:
    geometry, joined = conv_of(b.graph, b.operation.node), _unpooled(b)
    if "weight" in b.operation.winograd:
        return winograd_weight.backward_weight(
            geometry, b.x, b.dy, pool=joined, accumulate=b.accumulate, registers=b.registers
        )
    if joined:
        return conv_pooled_gradient.backward_weight(
            geometry, b.x, b.dy, joined, accumulate=b.accumulate, registers=b.registers
        )
    return conv_weight_gradient.backward_weight(geometry, b.x, b.dy, accumulate=b.accumulate, registers=b.registers)


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


def _dense(f: Forward) -> Program:
    layer = f.layer
    assert isinstance(layer, layers.Dense)
    relu = f.operation.activation is not None
    return dense.forward(f.x.elements, layer.units, bias=layer.bias, relu=relu, registers=f.registers)


def _dense_input(b: Backward) -> Program:
    return dense.backward_input(
        b.x.elements, b.dy.elements, mask=b.mask, accumulate=b.accumulate, registers=b.registers
    )


def _dense_weight(b: Backward) -> Program:
    layer = b.layer
    assert isinstance(layer, layers.Dense)
    return dense.backward_weight(
        b.x.elements, layer.units, bias=layer.bias, accumulate=b.accumulate, registers=b.registers
    )


# Normalisation


def _batch_norm(f: Forward) -> Program:
    layer, relu = f.layer, f.operation.activation is not None
    assert isinstance(layer, layers.BatchNorm)
    if f.training and not layer.frozen:
        return batchnorm.forward(f.x, f.y, layer.epsilon, f.accumulate, relu, f.plus)
    return batchnorm.apply(f.x, f.y, layer.epsilon, relu, f.plus)


def _batch_norm_input(b: Backward) -> Program:
    layer = b.layer
    assert isinstance(layer, layers.BatchNorm)
    if layer.frozen:
        return batchnorm.backward_applied(b.dy, b.dx, layer.epsilon, b.accumulate)
    return batchnorm.backward(b.x, b.dy, b.dx, b.accumulate, b.accumulate_parameters)


# Pooling


def _max_pool_input(b: Backward) -> Program:
    geometry = pool_of(b.operation.node)
    if b.operation.done_by is not None:  # the convolution that did it noted the argmax
        return pool.argmax_backward(geometry, b.dy, b.dx)
    return pool.max_backward(geometry, b.x, b.y, b.dy, b.dx, mask=b.mask, accumulate=b.accumulate)


def _average_pool(f: Forward) -> Program:
    layer = f.layer
    assert isinstance(layer, layers.AvgPool2D)
    return pool.average_forward(pool_of(f.operation.node), f.x, f.y, count_padding=layer.count_padding)


def _average_pool_input(b: Backward) -> Program:
    layer = b.layer
    assert isinstance(layer, layers.AvgPool2D)
    return pool.average_backward(
        pool_of(b.operation.node),
        b.x,
        b.dy,
        b.dx,
        count_padding=layer.count_padding,
        mask=b.mask,
        accumulate=b.accumulate,
    )


# Functions of single values, and copies


def _activation(f: Forward) -> Program:
    layer = f.layer
    assert isinstance(layer, layers.Activation)
    return pointwise.activation(layer.word, numbers(layer), f.x, f.y)


def _activation_input(b: Backward) -> Program:
    layer = b.layer
    assert isinstance(layer, layers.Activation)
    known = b.x if layer.derivative_from == "x" else b.y
    return pointwise.activation_backward(
        layer.word, numbers(layer), known, b.dy, b.dx, layer.derivative_from, accumulate=b.accumulate
    )


def numbers(activation: layers.Activation) -> tuple[float, ...]:
    """The options of an activation, as its kernel takes them."""
    return tuple(map(float, activation.options.values()))


def _dropout(f: Forward) -> Program:
    layer = f.layer
    assert isinstance(layer, layers.Dropout)
    if not f.training:
        return pointwise.copy(f.x, f.y)
    return pointwise.dropout(f.x, f.y, layer.rate, first_place(f.graph, f.operation.number))


def _dropout_input(b: Backward) -> Program:
    layer = b.layer
    assert isinstance(layer, layers.Dropout)
    place = first_place(b.graph, b.operation.number)
    return pointwise.dropout_backward(b.dy, b.dx, layer.rate, place, accumulate=b.accumulate)


def _join_input(b: Backward) -> Program:
    before = sum(b.graph.nodes[source].shape[0] for source in b.operation.node.inputs[: b.position])
    return pointwise.join_backward(b.dy, b.dx, before, accumulate=b.accumulate)


def _copied(b: Backward) -> Program:
    return pointwise.copy_backward(b.dy, b.dx, accumulate=b.accumulate)


LOWERINGS: dict[type[layers.Layer], Lowering] = {
    layers.Conv2D: Lowering(_convolution, _convolution_input, _convolution_weight),
    layers.Dense: Lowering(_dense, _dense_input, _dense_weight),
    layers.BatchNorm: Lowering(
        _batch_norm,
        _batch_norm_input,
        lambda b: batchnorm.backward_parameters(b.x, b.dy, b.accumulate),
        together=True,
        single=lambda xs, y: features.scale_and_shift(xs[0], y),
    ),
    layers.Scale: Lowering(
        lambda f: scale.forward(f.x, f.y, f.operation.activation is not None, f.plus),
        lambda b: scale.backward_input(b.dy, b.dx, b.accumulate),
        lambda b: scale.backward_parameters(b.x, b.dy, b.accumulate),
        single=lambda xs, y: features.scale_and_shift(xs[0], y),
    ),
    layers.MaxPool2D: Lowering(lambda f: pool.max_forward(pool_of(f.operation.node), f.x, f.y), _max_pool_input),
    layers.AvgPool2D: Lowering(_average_pool, _average_pool_input),
    layers.GlobalAvgPool2D: Lowering(
        lambda f: pool.global_average_forward(f.x, f.y),
        lambda b: pool.global_average_backward(b.x, b.dy, b.dx, mask=b.mask, accumulate=b.accumulate),
    ),
    layers.Activation: Lowering(_activation, _activation_input),
    layers.Softmax: Lowering(
        lambda f: pointwise.softmax(f.x, f.y),
        lambda b: pointwise.softmax_backward(b.y, b.dy, b.dx, accumulate=b.accumulate),
        single=lambda xs, y: features.softmax(xs[0]),
    ),
    layers.Dropout: Lowering(_dropout, _dropout_input),
    layers.Flatten: Lowering(lambda f: pointwise.copy(f.x, f.y), _copied, single=lambda xs, y: features.flatten(xs[0])),
    layers.Add: Lowering(lambda f: pointwise.add(f.xs, f.y, relu=f.operation.activation is not None), _copied),
    layers.Join: Lowering(lambda f: pointwise.join(f.xs, f.y), _join_input, single=features.join),
}
"""By the class of the layer; each subclass is lowered as its base."""
