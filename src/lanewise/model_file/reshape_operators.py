"""ONNX operators that write the same values with other axes, and those that take some channels out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lanewise.model_file.axes import merged, reshaped
from lanewise.model_file.builder import TensorRef
from lanewise.model_file.constants import IMAGES, sliced
from lanewise.model_file.node import FileNode
from lanewise.model_file.over_channels import OverChannels
from lanewise.model_file.tensors import listed
from lanewise.network.layers import Flatten


def transpose(node: FileNode) -> TensorRef | OverChannels:
    """Transpose."""
    x = node.value_or_means()
    perm = node.numbers("perm", tuple(reversed(range(x.rank))))
    if sorted(perm) != list(range(x.rank)) or perm[0] != 0:
        node.fail(f"its perm {perm[:8]} must be an order of {x.rank} axes that leaves the batch the first")
    if isinstance(x, OverChannels):
        base = replace(x.base, axes=tuple(x.base.axes[axis - 1] for axis in perm[1:]))
        return replace(x, base=base, axis=perm.index(x.axis + 1) - 1)
    return node.passed(x, tuple(x.axes[axis - 1] for axis in perm[1:]))


def flatten(node: FileNode) -> TensorRef:
    """Flatten."""
    x = node.value()
    if node.axis(1, x.rank) != 1:
        node.fail(f"it flattens from axis {node.axis(1, x.rank)}; only axis 1 keeps images apart")
    return _flat(node, x)


def reshape(node: FileNode) -> TensorRef | OverChannels:
    """Reshape, to a shape in which each image's values stay together."""
    x, target = node.value_or_means(), listed(node.constant(1, "shape"))
    if target is not None and len(target) == 1:
        node.fail("it lays all images out in one row; only shapes that keep them apart are read")
    if target is None or not 2 <= len(target) <= 8:
        node.fail("its shape must be a constant list of 2 to 8 whole numbers")
    old, (images, *rest) = node.dims(x), target
    if node.whole("allowzero", 0) and 0 in (images, *rest):
        node.fail("it asks for a shape without any values")
    rest = [old[place] if size == 0 and place < len(old) else size for place, size in enumerate(rest)]
    if rest.count(-1) == 1 and images in (0, node.batch, IMAGES):
        rest[rest.index(-1)] = math.prod(old) // max(1, -math.prod(rest))
    if min(rest) < 1 or math.prod(rest) != math.prod(old) or images not in {0, -1, node.batch, IMAGES}:
        said = ["N" if size == IMAGES else size for size in target]
        node.fail(f"the shape {said} does not keep each image's {math.prod(old)} values together; (0, -1) does")
    if isinstance(x, OverChannels):
        if tuple(rest) == old:
            return x
        x = x.settle(node.builder)
    return _shaped(node, x, tuple(rest))


def squeeze(node: FileNode) -> TensorRef:
    """Squeeze."""
    x, old = node.value(), node.dims(node.value())
    axes = {axis + x.rank if axis < 0 else axis for axis in _axes(node)}
    if not axes or not axes <= set(range(1, x.rank)) or any(old[axis - 1] != 1 for axis in axes):
        node.fail("it must name the axes it drops, and they must have size 1; the batch stays")
    return _shaped(node, x, tuple(size for axis, size in enumerate(old, 1) if axis not in axes))


def unsqueeze(node: FileNode) -> TensorRef:
    """Unsqueeze."""
    x, dims = node.value(), list(node.dims(node.value()))
    rank = x.rank + len(_axes(node))
    axes = sorted(axis + rank if axis < 0 else axis for axis in _axes(node))
    if not axes or len(set(axes)) != len(axes) or axes[0] < 1 or axes[-1] >= rank:
        node.fail("it must add axes after the batch")
    for axis in axes:
        dims.insert(axis - 1, 1)
    return _shaped(node, x, tuple(dims))


def slice_(node: FileNode) -> TensorRef:
    """Slice, of channels."""
    x, dims = node.value(), node.dims(node.value())
    cuts = sliced(
        tuple(node.constant(k, "list") if k else None for k in range(len(node.inputs))), node.attributes, x.rank
    )
    if cuts is None:
        node.fail(
            "its starts, ends, axes and steps must be constant lists, as long as each other, with steps of 1 or more"
        )
    for axis, cut in cuts.items():
        if (axis == 0 and cut != slice(0, cut.stop, 1)) or (axis == 0 and cut.stop < np.iinfo(np.int32).max):
            node.fail("it takes some of the images")
        chosen = np.arange(dims[axis - 1])[cut] if axis else np.arange(0)
        if axis and len(chosen) < dims[axis - 1]:
            x = _chosen(node, x, axis, chosen)
    return node.passed(x)


def gather(node: FileNode) -> TensorRef:
    """Gather, of channels."""
    x, axis, index = node.value(), node.axis(0, node.value().rank), node.constant(1, "index")
    if index is None or index.ndim != 1 or index.dtype.kind != "i" or not 1 <= axis < x.rank:
        node.fail("its index must be a constant list of channels")
    size = node.dims(x)[axis - 1]
    if np.any(index < -size) or np.any(index >= size):
        node.fail(f"its index goes beyond {size} channels")
    return _chosen(node, x, axis, index % size)


def split(node: FileNode) -> tuple[TensorRef, ...]:
    """Split, of channels."""
    x, axis, given = node.value(), node.axis(0, node.value().rank), listed(node.constant(1, "list of sizes"))
    if not 1 <= axis < x.rank:
        node.fail("it must split channels")
    size = node.dims(x)[axis - 1]
    if given is None and "split" in node.attributes:
        given = node.numbers("split")
    if given is None:
        step = -(-size // max(1, node.outputs))
        given = tuple(min(step, size - first) for first in range(0, size, step))
    if len(given) != node.outputs or min(given, default=0) < 1 or sum(given) != size:
        node.fail(f"its sizes {given[:8]} must be {node.outputs} that make {size}")
    ends = np.cumsum(given)
    each = replace(node, users=())  # they are those of the first output
    return tuple(_chosen(each, x, axis, np.arange(end - count, end)) for end, count in zip(ends, given, strict=True))


def _chosen(node: FileNode, x: TensorRef, axis: int, chosen: np.ndarray) -> TensorRef:
    order = node.channel_order(x, axis)
    if order is None:
        node.fail(f"it takes a part of axis {axis} of {node.dims(x)}; only channels are taken out of others")
    return node.taken(x, axis, order[chosen])


def _axes(node: FileNode) -> tuple[int, ...]:
    given = node.constant(1, "list of axes")
    if given is None:
        return node.numbers("axes", ())
    if listed(given) is None:
        node.fail("its axes must be a list of whole numbers")
    return listed(given) or ()


def _shaped(node: FileNode, x: TensorRef, dims: tuple[int, ...]) -> TensorRef:
    """`x` with these sizes."""
    if len(dims) == 1:
        return _flat(node, x)
    axes = reshaped(x.axes, dims)
    if axes is None:
        node.fail(f"it turns {node.dims(x)} into {dims}, across axes that were moved")
    return node.passed(x, axes)


def _flat(node: FileNode, x: TensorRef) -> TensorRef:
    """`x` as features, in whatever order the file has them: the next dense layer puts them right."""
    axes = (merged(x.axes),)
    return node.passed(x, axes) if len(node.builder.shape(x)) == 1 else node.add(Flatten(), x, axes=axes)
