"""Whatever the layout of its input, a file predicts like ONNX Runtime on the same array or is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from lanewise import Model
from lanewise.errors import LanewiseWarning, ModelFileError
from tests.model_file.models import foreign, run

MOVE = "Transpose<perm=[0,3,1,2]>"


def conv(source: str, first: str = "w") -> str:
    return f"c = Conv({source}, {first}) r = Relu(c) a = GlobalAveragePool(r) f = Flatten(a) y = Gemm(f, d)"


FLAT = "f = Flatten({}) y = Gemm(f, d)"

LAYOUTS: dict[str, tuple[str, str, dict]] = {
    # grey images without a channel
    "flattened": ("float[N,7,9] x => float[N,4] y", FLAT.format("x"), {"d": (63, 4)}),
    "flattened, square": ("float[N,7,7] x => float[N,4] y", FLAT.format("x"), {"d": (49, 4)}),
    "scaled and flattened": (
        "float[N,7,7] x => float[N,4] y",
        "s = Mul(x, k) t = Sub(s, k) " + FLAT.format("t"),
        {"d": (49, 4), "k": np.float32(0.3)},
    ),
    "bytes, flattened": (
        "uint8[N,7,7] x => float[N,4] y",
        "c = Cast<to=1>(x) s = Div(c, k) " + FLAT.format("s"),
        {"d": (49, 4), "k": np.float32(255)},
    ),
    "relu and flattened": ("float[N,7,7] x => float[N,4] y", "r = Relu(x) " + FLAT.format("r"), {"d": (49, 4)}),
    "reshaped flat": (
        "float[N,7,7] x => float[N,4] y",
        "f = Reshape(x, s) y = Gemm(f, d)",
        {"d": (49, 4), "s": [-1, 49]},
    ),
    "channel added in front": (
        "float[N,7,9] x => float[N,4] y",
        "g = Unsqueeze(x, s) " + conv("g"),
        {"s": np.array([1]), "w": (5, 1, 3, 3), "d": (5, 4)},
    ),
    "channel added in front, square": (
        "float[N,7,7] x => float[N,4] y",
        "g = Unsqueeze(x, s) " + conv("g"),
        {"s": np.array([-3]), "w": (5, 1, 3, 3), "d": (5, 4)},
    ),
    "channel added by a reshape": (
        "uint8[N,7,7] x => float[N,4] y",
        "b = Cast<to=1>(x) e = Div(b, k) g = Reshape(e, s) " + conv("g"),
        {"k": np.float32(255), "s": np.array([-1, 1, 7, 7]), "w": (5, 1, 3, 3), "d": (5, 4)},
    ),
    "channel added last and moved": (
        "float[N,7,7] x => float[N,4] y",
        "u = Unsqueeze(x, s) m = Mul(u, k) g = Transpose<perm=[0,3,1,2]>(m) " + conv("g"),
        {"s": np.array([3]), "w": (5, 1, 3, 3), "d": (5, 4), "k": np.float32(0.5)},
    ),
    "channel added last, then turned": (
        "float[N,7,7] x => float[N,4] y",
        "u = Unsqueeze(x, s) g = Transpose<perm=[0,3,2,1]>(u) " + conv("g"),
        {"s": np.array([3]), "w": (5, 1, 3, 3), "d": (5, 4)},
    ),
    "turned and flattened": (
        "float[N,7,7] x => float[N,4] y",
        "t = Transpose<perm=[0,2,1]>(x) " + FLAT.format("t"),
        {"d": (49, 4)},
    ),
    "row by row": (
        "float[N,7,7] x => float[N,4] y",
        "m = Mul(x, k) " + FLAT.format("m"),
        {"d": (49, 4), "k": np.linspace(0, 1, 7, dtype=np.float32).reshape(7, 1)},
    ),
    "column by column": (
        "float[N,7,7] x => float[N,4] y",
        "m = Mul(x, k) " + FLAT.format("m"),
        {"d": (49, 4), "k": np.linspace(0, 1, 7, dtype=np.float32)},
    ),
    # sequences
    "sequence of one channel": ("float[N,1,9] x => float[N,4] y", conv("x"), {"w": (5, 1, 3), "d": (5, 4)}),
    "sequence": ("float[N,7,9] x => float[N,4] y", conv("x"), {"w": (5, 7, 3), "d": (5, 4)}),
    "sequence, square": ("float[N,7,7] x => float[N,4] y", conv("x"), {"w": (5, 7, 3), "d": (5, 4)}),
    "sequence as image of one row": (
        "float[N,7,7] x => float[N,4] y",
        "g = Unsqueeze(x, s) " + conv("g"),
        {"s": np.array([2]), "w": (5, 7, 1, 3), "d": (5, 4)},
    ),
    "sequence or image": (
        "float[N,7,7] x => float[N,4] y",
        "c = Conv(x, w) f = Flatten(c) h = Flatten(x) j = Concat<axis=1>(f, h) y = Gemm(j, d)",
        {"w": (5, 7, 7), "d": (54, 4)},
    ),
    # features
    "features": ("float[N,9] x => float[N,4] y", "y = Gemm(x, d)", {"d": (9, 4)}),
    # channels first
    "channels first": ("float[N,3,7,9] x => float[N,4] y", conv("x"), {"w": (5, 3, 3, 3), "d": (5, 4)}),
    "channels first, all alike": ("float[N,3,3,3] x => float[N,4] y", conv("x"), {"w": (5, 3, 3, 3), "d": (5, 4)}),
    "channels first, grey": ("float[N,1,7,9] x => float[N,4] y", conv("x"), {"w": (5, 1, 3, 3), "d": (5, 4)}),
    "channels first, flattened": ("float[N,3,7,9] x => float[N,4] y", FLAT.format("x"), {"d": (189, 4)}),
    # channels last
    "channels last": (
        "float[N,7,9,3] x => float[N,4] y",
        "g = Transpose<perm=[0,3,1,2]>(x) " + conv("g"),
        {"w": (5, 3, 3, 3), "d": (5, 4)},
    ),
    "channels last, scaled before and after": (
        "uint8[N,7,9,3] x => float[N,4] y",
        "b = Cast<to=1>(x) m = Mul(b, k) g = Transpose<perm=[0,3,1,2]>(m) n = Add(g, l) " + conv("n"),
        {
            "w": (5, 3, 3, 3),
            "d": (5, 4),
            "k": np.array([0.001, 0.002, 0.003], np.float32),
            "l": np.array([0.1, 0.2, 0.3], np.float32).reshape(3, 1, 1),
        },
    ),
    "channels last, grey, by a reshape": (
        "float[N,7,9,1] x => float[N,4] y",
        "g = Reshape(x, s) " + conv("g"),
        {"s": np.array([-1, 1, 7, 9]), "w": (5, 1, 3, 3), "d": (5, 4)},
    ),
    "channels last, grey, by a reshape that turns": (
        "float[N,7,9,1] x => float[N,4] y",
        "g = Reshape(x, s) " + conv("g"),
        {"s": np.array([-1, 1, 9, 7]), "w": (5, 1, 3, 3), "d": (5, 4)},
    ),
    "channels last, grey, flattened": ("float[N,7,9,1] x => float[N,4] y", FLAT.format("x"), {"d": (63, 4)}),
    "channels last, flattened": ("float[N,7,9,3] x => float[N,4] y", FLAT.format("x"), {"d": (189, 4)}),
    "moved twice": (
        "float[N,7,7,7] x => float[N,4] y",
        "g = Transpose<perm=[0,3,1,2]>(x) h = Transpose<perm=[0,3,1,2]>(g) " + conv("h"),
        {"w": (5, 7, 3, 3), "d": (5, 4)},
    ),
    "moved three times": (
        "float[N,7,7,7] x => float[N,4] y",
        "g = Transpose<perm=[0,3,1,2]>(x) h = Transpose<perm=[0,3,1,2]>(g) i = Transpose<perm=[0,3,1,2]>(h) "
        + conv("i"),
        {"w": (5, 7, 3, 3), "d": (5, 4)},
    ),
    "moved, scaled, moved": (
        "uint8[N,3,3,3] x => float[N,4] y",
        f"b = Cast<to=1>(x) g = {MOVE}(b) m = Mul(g, k) h = {MOVE}(m) " + conv("h"),
        {"w": (5, 3, 3, 3), "d": (5, 4), "k": np.array([0.1, 0.2, 0.3], np.float32).reshape(3, 1, 1)},
    ),
    "turned": (
        "float[N,7,7,3] x => float[N,4] y",
        "g = Transpose<perm=[0,3,2,1]>(x) " + conv("g"),
        {"w": (5, 3, 3, 3), "d": (5, 4)},
    ),
}

LAYOUTS |= {
    f"sequence of {c} x {length}": (
        f"float[N,{c},{length}] x => float[N,4] y",
        conv("x"),
        {"w": (5, c, 3), "d": (5, 4)},
    )
    for c, length in ((2, 9), (3, 9), (4, 9), (12, 9), (9, 3), (32, 64), (64, 32))
}
LAYOUTS |= {
    f"image of {c} x {r} x {k}": (
        f"float[N,{c},{r},{k}] x => float[N,4] y",
        FLAT.format("x"),
        {"d": (c * r * k, 4)},
    )
    for c, r, k in ((1, 1, 9), (3, 1, 9), (1, 9, 1), (3, 9, 1), (9, 1, 1), (2, 4, 4), (5, 3, 3), (3, 3, 4), (3, 5, 3))
}
LAYOUTS |= {
    f"{f} features": (f"float[N,{f}] x => float[N,4] y", "r = Relu(x) y = Gemm(r, d)", {"d": (f, 4)})
    for f in (1, 2, 784)
}

REFUSED = {
    "channel added last, then turned",
    "turned and flattened",
    "row by row",
    "column by column",
    "sequence, square",
    "sequence as image of one row",
    "sequence or image",
    "channels last, grey, by a reshape that turns",
    "moved twice",
    "moved three times",
    "moved, scaled, moved",
    "turned",
}


def arrays_of(proto: onnx.ModelProto, count: int) -> np.ndarray:
    kind = proto.graph.input[0].type.tensor_type
    shape = (count, *(dim.dim_value for dim in kind.shape.dim[1:]))
    draw = np.random.default_rng(count)
    if kind.elem_type == onnx.TensorProto.UINT8:
        return draw.integers(0, 256, shape).astype(np.uint8)
    return draw.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("count", [1, 3])
def test_it_predicts_like_onnx_runtime_or_is_refused(name: str, count: int, tmp_path: Path) -> None:
    head, nodes, arrays = LAYOUTS[name]
    proto = foreign(head, nodes + " ", **arrays)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    x = arrays_of(proto, count)
    logits = run(proto, x)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = raised / raised.sum(axis=1, keepdims=True)
    if name in REFUSED:
        with pytest.raises(ModelFileError, match=r"node|input"):
            Model.load(path)
        return
    if name == "channels first, all alike":  # no shape tells which axis holds the channels
        with pytest.warns(LanewiseWarning, match="transpose"):
            model = Model.load(path)
        x = x.transpose(0, 2, 3, 1)
    else:
        model = Model.load(path)
    assert np.abs(model.predict_proba(x) - expected).max() < 1e-5
