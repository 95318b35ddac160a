"""Which nodes of a graph share one value in memory, and how each value lies there.

A ReLU right behind a convolution, dense layer, channelwise layer or sum is computed by that layer's kernel (the value
is `rectified`), and so is a max pool that alone reads a convolution (the value is `pooled`, and never in memory) or the
sum of two values of which a convolution or channelwise layer computes the later one (it is `summed`, and never in
memory either). A Flatten of a value without border is the same memory read differently, and Dropout does nothing at
inference. What a sum adds up has the gradient of the sum, so where it can it has it in the same memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from lanewise.kernels import winograd, winograd_weight_gradient
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool, joins_convolution
from lanewise.network import layers
from lanewise.network.graph import Graph, Node, is_frozen

RECTIFYING = layers.Conv2D | layers.Dense | layers.Affine | layers.Add
"""Layers whose kernels do the ReLU behind them."""


@dataclass(frozen=True, slots=True)
class Value:
    """What one node computes, or several that share it, and how it lies in memory.

    Attributes
    ----------
    layout, gradient : how it and its gradient lie
    gradient_of : the value whose memory holds its gradient: its own number, or that of a sum which it is added to
    users : the nodes whose kernels read it
    trained : whether its gradient is needed, because parameters that are trained lie before it
    rectified : whether it has been through a ReLU in the kernel that made it
    masked : whether the last of its users to add to its gradient applies that ReLU's gradient to all of it
    """

    layout: Layout
    gradient: Layout
    gradient_of: int
    users: tuple[int, ...]
    trained: bool = False
    rectified: bool = False
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A node that has a kernel of its own, and all that this kernel does besides.

    Attributes
    ----------
    number, node : the node
    result : the node whose value the kernel leaves in memory: its own, that of its pool or that of its sum
    activation : the ReLU that it does at the end, if it does one
    plus : the node whose value it adds before that, if its result is a sum
    pool : the node of the max pool that it does, if it does one
    unpooled : how the gradient behind that pool and the argmax lie for the kernels that read them, where nobody needs
        the gradient before the pool spelled out in memory
    done_by : the operation whose kernel does this one, too, if there is one; backward it has a kernel of its own
    gaps : whether it writes the gradient of its input only where it reads it; a strided convolution
    onto : the convolution whose gradient with gaps it adds to next, if there is one
    winograd : which of "forward", "input" and "weight", its gradients, are computed by Winograd's method
    """

    number: int
    node: Node
    result: int
    activation: layers.ReLU | None = None
    plus: int | None = None
    pool: int | None = None
    unpooled: Layout | None = None
    done_by: int | None = None
    gaps: bool = False
    onto: int | None = None
    winograd: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fused:
    """A graph as operations on values.

    Attributes
    ----------
    of_node : the value of each node, named by the first node that has it
    values : by that name
    operations : by the number of their node, in order
    """

    of_node: tuple[int, ...]
    values: dict[int, Value]
    operations: dict[int, Operation]


def unfused(graph: Graph) -> tuple[Operation, ...]:
    """Each node as an operation that does nothing besides."""
    return tuple(Operation(number, node, number) for number, node in enumerate(graph.nodes))


def conv_of(graph: Graph, node: Node) -> Conv:
    """The kernel's description of a convolution node."""
    layer = node.layer
    assert isinstance(layer, layers.Conv2D)
    channels = graph.nodes[node.inputs[0]].shape[0]
    return Conv(
        layer.filters, channels, layer.kernel, layer.stride, node.padding, layer.dilation, layer.groups, layer.bias
    )


def pool_of(node: Node) -> Pool:
    """The kernel's description of a pooling node."""
    layer = node.layer
    assert isinstance(layer, layers.MaxPool2D | layers.AvgPool2D)
    return Pool(layer.window, layer.stride or layer.window, node.padding)


def first_place(graph: Graph, number: int) -> int:
    """Where the random numbers of a Dropout node start: after those of the Dropouts before it."""
    return sum(prod(node.shape) for node in graph.nodes[:number] if isinstance(node.layer, layers.Dropout))


def fuse(graph: Graph, *, training: bool, fast_convolution: bool = True) -> Fused:
    """Decide who shares and who is computed how, then give each value the border that its users need.

    Parameters
    ----------
    graph : Graph
    training : bool
        Whether gradients will be asked for, and Dropout drops.
    fast_convolution : bool
        Whether Winograd's method may be used where it pays.
    """
    count = [0] * len(graph.nodes)
    for node in graph.nodes:
        for source in node.inputs:
            count[source] += 1
    of_node = list(range(len(graph.nodes)))
    rectified = set()
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, layers.ReLU):
            source = node.inputs[0]
            if isinstance(graph.nodes[source].layer, RECTIFYING) and count[source] == 1:
                of_node[number] = source
                rectified.add(source)
        elif isinstance(node.layer, layers.Dropout) and (not training or node.layer.rate == 0):
            of_node[number] = of_node[node.inputs[0]]

    fast = frozenset(_winograd(graph)) if fast_convolution else frozenset()
    layouts, gradients = _layouts(graph, of_node, training, fast)
    pooled = dict(_pooled(graph, of_node, fast))
    only_pooled = dict(_only_pooled(graph, of_node, pooled, fast))
    shared = _shared_gradients(graph, of_node, rectified) if training else {}
    for root in set(shared.values()):
        together = [root, *(value for value, other in shared.items() if other == root)]
        for value in together:
            gradients[root] = gradients[root].with_border(gradients[value].border)
        gradients |= dict.fromkeys(together, gradients[root])
    flat = {of_node[node.inputs[0]] for node in graph.nodes if isinstance(node.layer, layers.Flatten)}
    for value, layout in only_pooled.items():
        if pooled[value] not in flat:
            gradients[pooled[value]] = gradients[pooled[value]].with_border(layout.border)
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, layers.Flatten):
            value = of_node[node.inputs[0]]
            if layouts[value].plain and gradients[value].plain:
                of_node = [value if of_node[n] == number else of_node[n] for n in range(len(of_node))]
    users, trained = _users(graph, of_node), _trained(graph, of_node)
    values = {
        value: Value(
            layouts[value],
            gradients[value],
            shared.get(value, value),
            tuple(users[value]),
            value in trained,
            value in rectified,
            value in rectified and _masks(graph, users[value]),
        )
        for value in sorted(set(of_node))
    }
    summed, gaps = dict(_summed(graph, of_node, rectified)), dict(_gaps(graph, of_node, fast))
    done_by = {joined: number for number, joined in (pooled | summed).items()}
    operations = {}
    for number, node in enumerate(graph.nodes):
        if node.inputs and of_node[number] == number:
            total = summed.get(number, number)
            operations[number] = Operation(
                number,
                node,
                pooled.get(number, total),
                layers.ReLU() if total in rectified else None,
                next((n for n in graph.nodes[total].inputs if total != number != of_node[n]), None),
                pooled.get(number),
                only_pooled.get(number),
                done_by.get(number),
                number in gaps,
                next((other for other, next_one in gaps.items() if next_one == number), None),
                frozenset(kind for kind, convolution in fast if convolution == number),
            )
    return Fused(tuple(of_node), values, operations)


def _masks(graph: Graph, users: list[int]) -> bool:
    """Whether the last reader to add to the gradient of a rectified value applies the ReLU's gradient to all of it."""
    kinds = (
        layers.Conv2D | layers.Dense | layers.MaxPool2D | layers.AvgPool2D | layers.GlobalAvgPool2D
        if len(users) == 1
        else layers.Conv2D | layers.Dense
    )
    return len(users) > 0 and isinstance(graph.nodes[min(users)].layer, kinds)


def _winograd(graph: Graph) -> Iterator[tuple[str, int]]:
    """Convolutions and gradients for which Winograd's method pays: by shape alone, for it changes bits."""
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, layers.Conv2D):
            x, y = Layout.of(graph.nodes[node.inputs[0]].shape), Layout.of(node.shape)
            conv = conv_of(graph, node)
            if winograd.forward_pays(conv, y):
                yield "forward", number
            if winograd.backward_input_pays(conv, x):
                yield "input", number
            if not is_frozen(node.layer) and winograd_weight_gradient.backward_weight_pays(conv, y):
                yield "weight", number


def _users(graph: Graph, of_node: list[int]) -> dict[int, list[int]]:
    users: dict[int, list[int]] = {value: [] for value in sorted(set(of_node))}
    for number, node in enumerate(graph.nodes):
        for source in node.inputs:
            if of_node[number] != of_node[source]:
                users[of_node[source]].append(number)
    return users


def _pooled(graph: Graph, of_node: list[int], fast: frozenset[tuple[str, int]]) -> Iterator[tuple[int, int]]:
    """Convolutions that only a max pool reads, one that their own kernel can do; and that pool."""
    for value, users in _users(graph, of_node).items():
        node = graph.nodes[value]
        if isinstance(node.layer, layers.Conv2D) and len(users) == 1 and value != of_node[-1]:
            reader = graph.nodes[users[0]]
            if isinstance(reader.layer, layers.MaxPool2D) and joins_convolution(pool_of(reader)):
                conv, y = conv_of(graph, node), Layout.of(node.shape)
                if ("forward", value) not in fast or winograd.pools(conv, y, pool_of(reader)):
                    yield value, users[0]


def _only_pooled(
    graph: Graph, of_node: list[int], pooled: dict[int, int], fast: frozenset[tuple[str, int]]
) -> Iterator[tuple[int, Layout]]:
    """Convolutions that pool, if their weights' gradient is a direct sum and all there is, or what is there is
    Winograd's.

    With how pooled gradients and argmax lie for them.
    """
    trained = _trained(graph, of_node)
    for value, reader in pooled.items():
        node, pooling, layout = graph.nodes[value], pool_of(graph.nodes[reader]), Layout.of(graph.nodes[reader].shape)
        x, conv, inside = Layout.of(graph.nodes[node.inputs[0]].shape), conv_of(graph, node), of_node[node.inputs[0]]
        needed = {"input"} if inside in trained else set()
        needed |= set() if is_frozen(node.layer) else {"weight"}
        if needed == {"weight"} and ("weight", value) not in fast:
            yield value, layout
        elif all((gradient, value) in fast for gradient in needed) and winograd.gradients_pool(conv, x, pooling):
            yield value, layout.with_border(winograd.pooled_border(conv, x, layout, pooling))


def _summed(graph: Graph, of_node: list[int], rectified: set[int]) -> Iterator[tuple[int, int]]:
    """Convolutions and channelwise layers that only a sum of two reads, whose other part is there before them.

    And that sum.
    """
    users = _users(graph, of_node)
    for number, node in enumerate(graph.nodes):
        parts = sorted({of_node[source] for source in node.inputs})
        if isinstance(node.layer, layers.Add) and len(parts) == len(node.inputs) == 2:
            later = parts[1]
            if (
                isinstance(graph.nodes[later].layer, layers.Conv2D | layers.Affine)
                and len(users[later]) == 1
                and later not in rectified
            ):
                yield later, number


def _gaps(graph: Graph, of_node: list[int], fast: frozenset[tuple[str, int]]) -> Iterator[tuple[int, int]]:
    """Where the first two to write a value's gradient, its last users, are strided convolutions, both of them
    direct."""
    for users in _users(graph, of_node).values():
        last = users[-2:]
        strides = {layer.stride if isinstance(layer := graph.nodes[n].layer, layers.Conv2D) else None for n in last}
        strided = len(last) == 2 and len(strides) == 1 and strides.isdisjoint({None, (1, 1)})
        if strided and not any(("input", n) in fast for n in last):
            yield last[1], last[0]


def _shared_gradients(graph: Graph, of_node: list[int], rectified: set[int]) -> dict[int, int]:
    """Values that are added to something and whose gradient can be that of the sum, in the same memory.

    y = a + b has da = db = dy, so a copy of dy for each part would be memory written and read for nothing. What makes
    this delicate is that da and db then are one: going backward, other users of a add their gradients to it, and a
    ReLU that a has been through makes it zero in places. Either would spoil db if b's own kernels came by later. They
    run in falling order of nodes, so whatever changes the memory on a's behalf must lie before b (`earliest`): by then
    b and all between have read the sum's gradient alone. A sum of sums shares nothing, so that chains of values in one
    memory need not be thought through.
    """
    users, trained = _users(graph, of_node), _trained(graph, of_node)
    shared: dict[int, int] = {}
    for number, node in enumerate(graph.nodes):
        parts = [of_node[source] for source in node.inputs]
        if not isinstance(node.layer, layers.Add) or any(part in shared or part in shared.values() for part in parts):
            continue
        for part in parts:
            changed = [reader for reader in users[part] if reader != number] + [part] * (part in rectified)
            earliest = min((other for other in parts if other != part), default=0)
            kinds = layers.Conv2D | layers.Affine | layers.Add
            plain = isinstance(graph.nodes[part].layer, kinds) and parts.count(part) == 1
            if plain and part in trained and all(node < earliest for node in changed):
                shared[part] = of_node[number]
    return shared


def _layouts(
    graph: Graph, of_node: list[int], training: bool, fast: frozenset[tuple[str, int]]
) -> tuple[dict[int, Layout], dict[int, Layout]]:
    layouts = {value: Layout.of(graph.nodes[value].shape) for value in set(of_node)}
    gradients = dict(layouts)
    trained = _trained(graph, of_node)
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, layers.Conv2D):
            source, own = of_node[node.inputs[0]], of_node[number]
            conv = conv_of(graph, node)
            x, y = layouts[source], layouts[own]
            layouts[source] = x.with_border(conv.x_border(x, y))
            if ("forward", number) in fast or (training and ("weight", number) in fast):
                layouts[source] = layouts[source].with_border(winograd.x_border(conv, x, y))
            if training and source in trained:
                border = winograd.dy_border(conv, x, y) if ("input", number) in fast else conv.dy_border(x, y)
                gradients[own] = gradients[own].with_border(border)
    return layouts, gradients


def _trained(graph: Graph, of_node: list[int]) -> frozenset[int]:
    owners = {parameter.node for parameter, learns in zip(graph.parameters, graph.trainable, strict=True) if learns}
    trained: set[int] = set()
    for number, node in enumerate(graph.nodes):
        if number in owners or any(of_node[source] in trained for source in node.inputs):
            trained.add(of_node[number])
    return frozenset(trained)
