"""The model file: an ONNX file with the preprocessing inside its graph, and classes and provenance in its metadata.

    contents.py    what a file holds, as checked values: the network, its weights, preprocessing, classes, history
    metadata.py    classes, network text, history and provenance as properties of the file, and back
    checked.py     whether JSON from a file has the types, sizes and depth that it should
    export.py      contents -> ONNX
    tta.py         test-time augmentation in the graph, and a graph without it
    write.py       ONNX -> disk, so that an older file survives whatever goes wrong
    tensors.py     the arrays and attributes of a file that nobody vouches for
    builder.py     a network while it is being read: nodes that can still change
    node.py        one node of a file, asked for its inputs and attributes by kind
    axes.py        how the axes of a file's tensor are made of a value of the network
    constants.py   what operators make of constants alone
    curves.py      activations told by their numbers, whatever operators a file writes them as
    operators.py, pointwise_operators.py, window_operators.py, reshape_operators.py   one function for each ONNX
                   operator: what it means as a layer, or why it is refused
    preprocessing_head.py   the preprocessing at the beginning of a file's graph
    rebuild.py     our own files: text and weights -> graph, which must be the one in the file
    read.py        disk -> ONNX -> contents

Reading runs no code, opens no second file and believes nothing: sizes, shapes, names and metadata are checked against
each other, and whatever does not fit is refused by name.
"""

from lanewise.model_file.contents import Contents, Label, names_of
from lanewise.model_file.export import to_onnx
from lanewise.model_file.read import Reading, read, read_graph
from lanewise.model_file.write import write, write_beside

__all__ = [
    "Contents",
    "Label",
    "Reading",
    "names_of",
    "read",
    "read_graph",
    "to_onnx",
    "write",
    "write_beside",
]
