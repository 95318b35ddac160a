"""Networks as text: "conv 16@3x3 same, relu, max 2, dense 10" and back. The grammar stands in `parser.py`."""

from __future__ import annotations

from collections.abc import Iterable

from lanewise.network import layers
from lanewise.network.base import is_frozen
from lanewise.network.layers import Layer, Padding, Pair
from lanewise.network.parser import parse

__all__ = ["layer_text", "parse", "to_text"]


def to_text(layers: Iterable[Layer]) -> str:
    """Text of `layers` in its canonical form: `parse(to_text(layers)) == layers` for all that can be built."""
    return ", ".join(layer_text(layer) for layer in layers)


def layer_text(layer: Layer) -> str:
    """Text of one layer, like "conv 16@3x3 same"; for layers that only a graph makes, like `Add`, the name alone."""
    match layer:
        case layers.Fixed() | layers.FilterBank():
            words = [
                f"fixed {'+'.join(layer.bank)}",
                _padding_text(layer.padding, usual="same"),
                f"stride {_pair_text(layer.stride)}" if layer.stride != (1, 1) else "",
            ]
        case layers.Conv2D():
            words = [
                f"conv {layer.filters}@{layer.kernel[0]}x{layer.kernel[1]}",
                _padding_text(layer.padding, usual="valid"),
                f"stride {_pair_text(layer.stride)}" if layer.stride != (1, 1) else "",
                f"dilation {_pair_text(layer.dilation)}" if layer.dilation != (1, 1) else "",
                f"groups {layer.groups}" if layer.groups != 1 else "",
                "" if layer.bias else "nobias",
                "" if layer.initial == "random" else layer.initial,
                "frozen" if layer.frozen else "",
            ]
        case layers.MaxPool2D() | layers.AvgPool2D():
            words = [
                f"{'max' if isinstance(layer, layers.MaxPool2D) else 'average'} {_pair_text(layer.window)}",
                _padding_text(layer.padding, usual="valid"),
                f"stride {_pair_text(layer.stride)}" if layer.stride else "",
                "count-padding" if isinstance(layer, layers.AvgPool2D) and layer.count_padding else "",
            ]
        case layers.GlobalAvgPool2D():
            words = ["global average"]
        case layers.GlobalMaxPool2D():
            words = ["global max"]
        case layers.Dense():
            words = [f"dense {layer.units}", "" if layer.bias else "nobias", "frozen" if layer.frozen else ""]
        case layers.Activation():
            words = [layer.word, *(repr(float(value)) for value in layer.options.values())]
        case layers.Channelwise():
            numbers = [] if layer.options == type(layer)().options else map(float, layer.options.values())
            words = [layer.word, *map(repr, numbers), "frozen" if is_frozen(layer) else ""]
        case layers.LayerNorm():
            words = ["layernorm", "" if layer == layers.LayerNorm() else repr(float(layer.epsilon))]
        case layers.LRN():
            usual = layers.LRN(layer.size)
            words = [
                f"lrn {layer.size}",
                f"alpha {float(layer.alpha)!r}" if layer.alpha != usual.alpha else "",
                f"beta {float(layer.beta)!r}" if layer.beta != usual.beta else "",
                f"k {float(layer.k)!r}" if layer.k != usual.k else "",
            ]
        case layers.Dropout():
            words = [f"dropout {float(layer.rate)!r}"]
        case layers.Residual():
            shortcut = f" | {to_text(layer.shortcut)}" if layer.shortcut else ""
            words = [f"residual({to_text(layer.body)}{shortcut})"]
        case layers.Gate():
            words = [f"gate({to_text(layer.body)})"]
        case layers.Concat():
            words = [f"concat({' | '.join(to_text(branch) for branch in layer.branches)})"]
        case _:
            words = [type(layer).__name__.lower()]
    return " ".join(word for word in words if word)


def _pair_text(pair: Pair) -> str:
    rows, columns = pair
    return f"{rows}" if rows == columns else f"{rows}x{columns}"


def _padding_text(padding: Padding, usual: str) -> str:
    if isinstance(padding, str):
        return "" if padding == usual else padding
    top, left, bottom, right = padding
    if (top, left) == (bottom, right):
        return f"pad {_pair_text((top, left))}"
    return f"pad {top}:{left}:{bottom}:{right}"
