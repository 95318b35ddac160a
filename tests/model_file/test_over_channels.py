"""Layer normalisation written as other operators: each way predicts like ONNX Runtime; what only looks like it is not
read."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.errors import ModelFileError
from lanewise.model_file import read_graph
from lanewise.network.layers import LayerNorm, Scale
from lanewise.network.reference import forward
from tests.model_file.models import foreign, run

MEAN = "m = ReduceMean<axes=[{a}]>(c) "
VARIANCE = "d = Sub(c, m) q = Pow(d, two) v = ReduceMean<axes=[{a}]>(q) e = Add(v, eps) "
TORCH = MEAN + VARIANCE + "s = Sqrt(e) n = Div(d, s) g = Mul(n, gain) z = Add(shift, g) "
WAYS = {
    "PyTorch": TORCH,
    "Keras": MEAN
    + "o = Neg(m) p = Reshape(m, places) d = Sub(c, p) q = Mul(d, d) v = ReduceMean<axes=[{a}]>(q) "
    + "e = Add(v, eps) s = Sqrt(e) r = Reciprocal(s) k = Mul(r, gain) t = Mul(c, k) u = Mul(o, k) b = Add(u, shift) "
    + "z = Add(t, b) ",
    "by powers": MEAN + VARIANCE + "r = Pow(e, minus) n = Mul(r, d) g = Mul(gain, n) z = Add(g, shift) ",
    "mean minus value": MEAN
    + "d = Sub(m, c) q = Mul(d, d) v = ReduceMean<axes=[{a}]>(q) e = Add(eps, v) s = Sqrt(e) h = Neg(s) n = Div(d, h) "
    + "g = Mul(n, gain) z = Add(g, shift) ",
    "without scale": MEAN + VARIANCE + "s = Sqrt(e) z = Div(d, s) ",
    "its own input added": TORCH.replace("z = Add", "y2 = Add") + "z = Add(y2, c) ",
    "read twice": TORCH.replace("z = Add", "y2 = Add") + "i = Relu(y2) z = Add(i, y2) ",
}
PLACES = {
    "channels first": ("float[N,4,6,5] x => float[N,4,6,5] y", 1, "c = Conv(x, w) ", "y = Relu(z)", (1, 4, 1, 1)),
    "channels last": (
        "float[N,4,6,5] x => float[N,4,6,5] y",
        3,
        "f = Conv(x, w) c = Transpose<perm=[0,2,3,1]>(f) ",
        "l = Relu(z) y = Transpose<perm=[0,3,1,2]>(l)",
        (4,),
    ),
    "features": ("float[N,4] x => float[N,4] y", 1, "c = Gemm(x, w) ", "y = Relu(z)", (1, 4)),
}


def written(way: str, place: str, epsilon: float = 1e-3):
    """A file with a normalisation between a layer with weights and a ReLU."""
    head, axis, before, after, shape = PLACES[place]
    ways = WAYS.get(way, way).replace("{a}", str(axis))
    random = np.random.default_rng(5)
    one = {1: (1, 6, 5), 3: (6, 5, 1)}[axis] if place != "features" else (1,)
    arrays = {
        "w": (4, 4) if place == "features" else (4, 4, 1, 1),
        "two": np.array(2, np.float32),
        "minus": np.array(-0.5, np.float32),
        "eps": np.array(epsilon, np.float32),
        "gain": random.uniform(0.5, 1.5, shape).astype(np.float32),
        "shift": random.normal(size=shape).astype(np.float32),
        "places": np.array([-1, *one], np.int64),
    }
    nodes = before + ways + after
    return foreign(head, nodes, **{name: array for name, array in arrays.items() if name in nodes.replace("(", " ")})


@pytest.mark.parametrize("epsilon", [1e-3, 1e-12])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_writing_it_is_read(way: str, place: str, epsilon: float) -> None:
    model = written(way, place, epsilon)
    found = read_graph(model)
    x = np.random.default_rng(0).normal(size=(3, 4, 6, 5) if place != "features" else (3, 4)).astype(np.float32)
    images = x if place != "features" else x.reshape(3, 1, 1, 4)
    answers = forward(found.graph, found.parameters, images)[-1]
    np.testing.assert_allclose(answers, run(model, x), rtol=2e-5, atol=2e-6)
    (normal,) = [node.layer for node in found.graph.nodes if isinstance(node.layer, LayerNorm)]
    assert normal.epsilon == pytest.approx(epsilon)
    scales = sum(isinstance(node.layer, Scale) for node in found.graph.nodes)
    assert scales == (way != "without scale")


@pytest.mark.parametrize(
    "nodes",
    [
        "m = ReduceMean<axes=[{a}]>(c) z = Sub(c, m) ",
        "m = ReduceMean<axes=[{a}]>(c) z = Mul(c, m) ",
        MEAN + VARIANCE + "s = Sqrt(v) t = Add(s, eps) z = Div(d, t) ",  # epsilon beside the root
        MEAN + VARIANCE + "s = Sqrt(e) z = Div(c, s) ",  # not centred
        MEAN + VARIANCE + "z = Div(d, e) ",  # by the variance
        MEAN + "d = Sub(c, m) q = Pow(d, two) v = ReduceMean<axes=[{a}]>(q) s = Sqrt(v) z = Div(d, s) ",  # no epsilon
        MEAN + VARIANCE + "s = Sqrt(e) n = Div(d, s) z = Div(n, c) ",
        MEAN + "z = Neg(m) ",
    ],
)
@pytest.mark.parametrize("place", PLACES)
def test_what_only_looks_like_it_is_refused_by_its_node(nodes: str, place: str) -> None:
    why = "only layer normalisation is read|combines two values|divides by the network"
    with pytest.raises(ModelFileError, match=f"node .*({why})"):
        read_graph(written(nodes, place))
