"""A network and its preprocessing as one ONNX graph, everything else as metadata.

    images (N, H, W, C) -> Cast -> Mul scale -> Add offset -> Transpose -> network -> probabilities (N, K)

With test-time augmentation `tta.py` adds nodes before the network and before its last layer.

Opset 13 and IR version 7 say all that most layers need, and every ONNX tool of the last years reads them. Dropout does
nothing when predicting and is left out; the text of the network, in the metadata, keeps it for further training.
"""

from __future__ import annotations

from typing import Any

from lanewise.errors import ModelFileError
from lanewise.model_file.contents import Contents
from lanewise.model_file.metadata import to_properties
from lanewise.model_file.tta import AVERAGE, STRAIGHT, average, both_views
from lanewise.network import layers
from lanewise.network.graph import Graph, Node
from lanewise.preprocessing import Preprocessing
from lanewise.version import __version__

OPSET = 13
INPUT, OUTPUT = "images", "probabilities"


def to_onnx(contents: Contents, input_name: str = INPUT) -> Any:
    """The contents of a model file as an `onnx.ModelProto`.

    Raises
    ------
    ModelFileError
        `input_name` cannot be the name of the input.
    """
    from onnx import helper, numpy_helper

    model = without_weights(contents.graph, contents.preprocessing, input_name, tta=contents.tta is not None)
    parameters = zip(parameter_names(contents.graph), contents.parameters, strict=True)
    arrays = contents.preprocessing.constants | dict(parameters)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    model.producer_name, model.producer_version = "lanewise", __version__
    helper.set_model_props(model, to_properties(contents))
    return model


def parameter_names(graph: Graph) -> list[str]:
    """What the weights and biases of a graph are called in the file, in the order of `graph.parameters`."""
    return [f"{graph.nodes[parameter.node].name}.{parameter.role}" for parameter in graph.parameters]


def without_weights(graph: Graph, preprocessing: Preprocessing, input_name: str = INPUT, *, tta: bool = False) -> Any:
    """The `onnx.ModelProto` of a network, without its initializers and metadata.

    Parameters
    ----------
    graph : Graph
    preprocessing : Preprocessing
    input_name : str
        The name of the raw pixels.
    tta : bool
        Whether the network looks at the mirror images, too.

    Raises
    ------
    ModelFileError
        `input_name` is no text, empty, or the name of another value of the file.
    """
    from onnx import TensorProto, helper

    problem = f"input_name is {input_name!r}: it must be a text, and not the name of another value"
    if not isinstance(input_name, str):
        raise ModelFileError(problem)
    value = graph.nodes[0].name
    before = _preprocessing(preprocessing, input_name, STRAIGHT if tta else value) + (both_views(value) if tta else [])
    nodes = before + _network(graph, tta=tta)
    taken = {name for node in nodes for name in node.output} | {*preprocessing.constants, *parameter_names(graph)}
    if input_name in taken or not input_name:
        raise ModelFileError(problem)
    opset = max(getattr(node.layer, "opset", OPSET) for node in graph.nodes)
    element = TensorProto.UINT8 if preprocessing.dtype == "uint8" else TensorProto.FLOAT
    return helper.make_model(
        helper.make_graph(
            nodes,
            "network",
            [helper.make_tensor_value_info(input_name, element, ["N", *preprocessing.shape])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", *graph.output_shape])],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
    )


def _preprocessing(preprocessing: Preprocessing, pixels: str, prepared: str) -> list[Any]:
    """Nodes from the raw `pixels` to what the network takes, the value `prepared`."""
    from onnx import TensorProto, helper

    nodes = []
    if preprocessing.dtype == "uint8":
        nodes.append(helper.make_node("Cast", [pixels], ["float_pixels"], "cast", to=TensorProto.FLOAT))
        pixels = "float_pixels"
    return [
        *nodes,
        helper.make_node("Mul", [pixels, "scale"], ["scaled"], "scale"),
        helper.make_node("Add", ["scaled", "offset"], ["prepared"], "offset"),
        helper.make_node("Transpose", ["prepared"], [prepared], "channels_first", perm=(0, 3, 1, 2)),
    ]


def _network(graph: Graph, *, tta: bool) -> list[Any]:
    """The ONNX nodes of all layers but dropout; a layer's value has the name of its node."""
    names: list[str] = []
    nodes: list[Any] = []
    for position, node in enumerate(graph.nodes):
        sources = [names[source] for source in node.inputs]
        if isinstance(node.layer, layers.Dropout):
            names.append(sources[0])
            continue
        last = position == len(graph.nodes) - 1
        if last and tta:
            nodes += average(sources[0], node.shape[0])
            sources = [AVERAGE]
        names.append(OUTPUT if last else node.name)
        if position:
            nodes += _layer(node, sources, names[-1])
    return nodes


def _layer(node: Node, sources: list[str], output: str) -> list[Any]:
    """The ONNX nodes of one layer."""
    from onnx import helper

    def one(operator: str, **attributes: Any) -> list[Any]:
        return [helper.make_node(operator, sources, [output], node.name, **attributes)]

    match node.layer:
        case layers.Conv2D() as layer:
            sources = _with_weights(node, sources, layer.bias)
            window = {"kernel_shape": layer.kernel, "strides": layer.stride, "pads": node.padding}
            return one("Conv", **window, dilations=layer.dilation, group=layer.groups)
        case layers.Dense() as layer:
            sources = _with_weights(node, sources, layer.bias)
            return one("Gemm", transB=1)
        case layers.MaxPool2D() as layer:
            return one("MaxPool", kernel_shape=layer.window, strides=layer.stride or layer.window, pads=node.padding)
        case layers.AvgPool2D() as layer:
            window = {"kernel_shape": layer.window, "strides": layer.stride or layer.window, "pads": node.padding}
            return one("AveragePool", **window, count_include_pad=int(layer.count_padding))
        case layers.GlobalAvgPool2D():
            mean = f"{node.name}.mean"
            flatten = helper.make_node("Flatten", [mean], [output], f"{node.name}.flatten", axis=1)
            return [helper.make_node("GlobalAveragePool", sources, [mean], node.name), flatten]
        case layers.Elementwise() as layer:
            return _elementwise(node.name, layer, sources[0], output)
        case layers.Softmax() | layers.Flatten() | layers.Join():
            return one(
                {layers.Softmax: "Softmax", layers.Flatten: "Flatten", layers.Join: "Concat"}[type(node.layer)], axis=1
            )
        case layers.Add():
            return one("Add")
        case layers.LRN(size, alpha, beta, k):
            return one("LRN", size=size, alpha=float(alpha), beta=float(beta), bias=float(k))
        case layers.LayerNorm() as layer:
            return _layer_norm(node, layer, sources[0], output)
        case layers.Multiply():
            return _multiply(node, sources, output)
        case layer:
            raise ModelFileError(f"{node.name}: a layer of type {type(layer).__name__} cannot be written as ONNX")


def _layer_norm(node: Node, layer: layers.LayerNorm, source: str, output: str) -> list[Any]:
    """The nodes of a layer normalisation, around which an image has its channels last; ONNX wants a scale: ones."""
    from onnx import TensorProto, helper

    ones, last, normal = (f"{node.name}.{part}" for part in ("ones", "channels_last", "normal"))
    scale = helper.make_tensor(ones, TensorProto.FLOAT, node.shape[:1], [1.0] * node.shape[0])
    constant = helper.make_node("Constant", [], [ones], ones, value=scale)
    image = len(node.shape) == 3
    own = helper.make_node(
        "LayerNormalization",
        [last if image else source, ones],
        [normal if image else output],
        node.name,
        axis=-1,
        epsilon=float(layer.epsilon),
    )
    if not image:
        return [constant, own]
    before = helper.make_node("Transpose", [source], [last], last, perm=(0, 2, 3, 1))
    return [constant, before, own, helper.make_node("Transpose", [normal], [output], normal, perm=(0, 3, 1, 2))]


def _multiply(node: Node, sources: list[str], output: str) -> list[Any]:
    """The nodes of a product with a factor for each channel, which for an image get rows and columns of size 1."""
    from onnx import TensorProto, helper

    if len(node.shape) == 1:
        return [helper.make_node("Mul", sources, [output], node.name)]
    shape, factors = f"{node.name}.shape", f"{node.name}.factors"
    sizes = helper.make_tensor(shape, TensorProto.INT64, (4,), (0, node.shape[0], 1, 1))
    return [
        helper.make_node("Constant", [], [shape], shape, value=sizes),
        helper.make_node("Reshape", [sources[1], shape], [factors], factors),
        helper.make_node("Mul", [sources[0], factors], [output], node.name),
    ]


def _elementwise(name: str, layer: layers.Elementwise, source: str, output: str) -> list[Any]:
    """The nodes of such a layer, from the value `source` to `output`, and before them those of its constants."""
    from onnx import TensorProto, helper

    roles = layer.roles if isinstance(layer, layers.Channelwise) else ()
    written, made, nodes = {"x": source, **{role: f"{name}.{role}" for role in roles}}, [], layer.onnx
    for node in nodes:
        result = output if node is nodes[-1] else f"{name}.{node.operator.lower()}"
        inputs: list[str] = []
        for position, given in enumerate(node.inputs):
            inputs.append(written[given] if isinstance(given, str) else f"{name}.constant{position}")
            if not isinstance(given, str):
                number = helper.make_tensor(inputs[-1], TensorProto.FLOAT, (), [given])
                made.append(helper.make_node("Constant", [], [inputs[-1]], inputs[-1], value=number))
        attributes: dict[str, Any] = {
            attribute: float(layer.options[option]) for attribute, option in node.options.items()
        }
        attributes |= {attribute: value for attribute, (value, _) in node.attributes.items()}
        made.append(helper.make_node(node.operator, inputs, [result], result if len(nodes) > 1 else name, **attributes))
        written[node.operator] = result
    return made


def _with_weights(node: Node, sources: list[str], bias: bool) -> list[str]:
    return [*sources, f"{node.name}.weight", *([f"{node.name}.bias"] if bias else [])]
