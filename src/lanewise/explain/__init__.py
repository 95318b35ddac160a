"""What a network is and does, worked out for one image.

    subject.py      what is explained: one image, a layer by its name, a class by its label
    fields.py       receptive fields: the part of the image that a value can depend on
    maps.py         feature maps; what a network looked at: gradient and occlusion maps
    neurons.py      the weighted sum of one neuron, with its real numbers
    matrices.py     each layer as the sparse matrix of a fully connected one
    expansion.py    the same with its uses: outputs, gradients of shared weights, whole networks
    drawing.py      an image of that

All but occlusion is computed in float64 by `network/reference.py`: each figure is one that a reader can check. From
`network/` come `summary` and `totals`, which count a network, and `resembles`, the fixed filters that kernels are like.
"""

from lanewise.explain.drawing import draw_connections
from lanewise.explain.expansion import Expansion, expand
from lanewise.explain.fields import ReceptiveField, receptive_field
from lanewise.explain.maps import FeatureMap, feature_maps, gradient_map, occlusion_map
from lanewise.explain.neurons import Neuron, neuron
from lanewise.explain.subject import graph_for
from lanewise.keywords import former_name
from lanewise.network.filters import resembles
from lanewise.network.summary import summary, totals

account = former_name(summary, "account")

__all__ = [
    "Expansion",
    "FeatureMap",
    "Neuron",
    "ReceptiveField",
    "account",
    "draw_connections",
    "expand",
    "feature_maps",
    "gradient_map",
    "graph_for",
    "neuron",
    "occlusion_map",
    "receptive_field",
    "resembles",
    "summary",
    "totals",
]
