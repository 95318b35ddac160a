"""One table of cases for correctness, gradients and timing: layers and small networks with awkward options and sizes.

Sizes are small enough for slow evaluates, and never round: rows differ from columns, channels from filters, and filter
counts and widths leave remainders in any tile.
"""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.network.graph import Graph, build
from lanewise.network.text import parse


@dataclass(frozen=True)
class Case:
    """A network, as text, and the (channels, rows, columns) of its images."""

    name: str
    text: str
    input_shape: tuple[int, int, int]

    def graph(self) -> Graph:
        return build(parse(self.text), self.input_shape)

    def __str__(self) -> str:
        return self.name


LAYER_CASES = [
    # Convolution: sizes of kernel, image and filters
    Case("conv_1x1_one_filter", "conv 1@1", (1, 3, 2)),
    Case("conv_1x1_seven_filters", "conv 7@1", (5, 4, 9)),
    Case("conv_2x2_article", "conv 100@2", (1, 4, 4)),
    Case("conv_3x3_two_filters", "conv 2@3", (3, 7, 11)),
    Case("conv_3x3_sixteen_filters", "conv 16@3", (2, 5, 8)),
    Case("conv_3x3_seventeen_filters", "conv 17@3 same", (3, 4, 6)),
    Case("conv_3x3_one_row", "conv 3@1x3 same", (2, 1, 31)),
    Case("conv_3x3_one_column", "conv 3@3x1 same", (2, 13, 1)),
    Case("conv_3x3_one_pixel", "conv 5@3 same", (3, 1, 1)),
    Case("conv_5x5_one_channel", "conv 6@5", (1, 9, 12)),
    Case("conv_5x5_whole_image", "conv 5@5x7", (3, 5, 7)),
    Case("conv_5x5_same_larger_than_image", "conv 2@7x9 same", (2, 3, 4)),
    Case("conv_4x2_same_even", "conv 3@4x2 same", (2, 6, 7)),
    Case("conv_3x5_rectangular", "conv 4@3x5", (2, 8, 9)),
    Case("conv_wide_29", "conv 3@3 same", (1, 2, 29)),
    Case("conv_wide_30", "conv 2@3 same", (1, 2, 30)),
    Case("conv_many_channels", "conv 3@3 same", (17, 3, 5)),
    Case("conv_no_bias", "conv 3@3 nobias", (2, 5, 6)),
    # Convolution: stride, padding, dilation, groups
    Case("conv_stride_2", "conv 4@3 stride 2", (3, 9, 12)),
    Case("conv_stride_2_leaves_rest", "conv 3@2 stride 2", (2, 7, 9)),
    Case("conv_stride_2_same_even", "conv 3@3 same stride 2", (2, 8, 10)),
    Case("conv_stride_2_same_odd", "conv 3@3 same stride 2", (2, 7, 9)),
    Case("conv_stride_3x2", "conv 5@3 pad 1 stride 3x2", (2, 10, 7)),
    Case("conv_stride_larger_than_kernel", "conv 2@2x1 stride 3x4", (3, 11, 13)),
    Case("conv_1x1_stride_2_shortcut", "conv 7@1 stride 2", (5, 6, 7)),
    Case("conv_pad_1", "conv 3@3 pad 1", (2, 4, 7)),
    Case("conv_pad_rows_columns", "conv 3@3x2 pad 2x1", (2, 5, 4)),
    Case("conv_pad_each_side", "conv 3@3 pad 0:1:2:3", (2, 4, 5)),
    Case("conv_pad_top_left", "conv 2@2 pad 1:1:0:0", (1, 3, 5)),
    Case("conv_pad_beyond_kernel", "conv 2@2 pad 3:2:0:4", (2, 3, 4)),
    Case("conv_pad_kernel_rows_never_used", "conv 2@5x3 pad 4:0:0:1", (1, 1, 3)),
    Case("conv_pad_stride", "conv 3@4 pad 1:0:2:1 stride 2x3", (2, 7, 10)),
    Case("conv_dilation_2", "conv 3@3 dilation 2", (2, 7, 9)),
    Case("conv_dilation_same", "conv 3@3x2 same dilation 2x3", (2, 5, 8)),
    Case("conv_dilation_stride_pad", "conv 3@2x3 pad 2:1:1:3 stride 3x2 dilation 3x2", (3, 8, 9)),
    Case("conv_groups_2", "conv 6@3 same groups 2", (4, 5, 6)),
    Case("conv_groups_3_odd", "conv 9@2x3 groups 3", (6, 5, 4)),
    Case("conv_depthwise", "conv 5@3 same groups 5", (5, 4, 7)),
    Case("conv_depthwise_multiplier", "conv 14@3 same stride 2 groups 7 nobias", (7, 5, 6)),
    Case("conv_everything", "conv 6@3x2 pad 1:2:0:1 stride 2x1 dilation 1x2 groups 2 nobias", (4, 7, 8)),
    # Filters that nobody learns
    Case("fixed_one_channel", "fixed sobel", (1, 5, 7)),
    Case("fixed_channels_and_sizes", "fixed laplacian+gabor+blur", (3, 6, 7)),
    Case("fixed_options", "fixed emboss+identity pad 1:0:2:1 stride 2x1", (2, 7, 6)),
    Case("conv_frozen", "conv 3@3 same frozen", (2, 5, 6)),
    Case("conv_identity", "conv 5@3 same identity", (2, 5, 6)),
    Case("dense_frozen", "dense 5 frozen", (2, 3, 3)),
    # Pooling
    Case("max_2", "max 2", (3, 4, 6)),
    Case("max_2_leaves_rest", "max 2", (2, 5, 7)),
    Case("max_3x2", "max 3x2", (2, 7, 9)),
    Case("max_overlapping", "max 3 stride 2", (2, 7, 9)),
    Case("max_stride_larger_than_window", "max 2 stride 3x4", (1, 8, 10)),
    Case("max_pad_1", "max 3 pad 1 stride 2", (2, 6, 7)),
    Case("max_pad_each_side", "max 3x2 pad 2:0:1:1 stride 1", (2, 4, 5)),
    Case("max_same", "max 3 same stride 2", (2, 6, 9)),
    Case("max_whole_image", "max 5x6", (17, 5, 6)),
    Case("average_2", "average 2", (3, 4, 6)),
    Case("average_overlapping", "average 3x2 stride 1x2", (2, 7, 9)),
    Case("average_pad", "average 3 pad 1 stride 2", (2, 6, 7)),
    Case("average_count_padding", "average 3 pad 1:0:2:1 stride 2 count-padding", (2, 6, 7)),
    Case("average_same", "average 2x3 same stride 1", (2, 5, 3)),
    Case("global_average", "global average", (5, 3, 7)),
    Case("global_max", "global max", (5, 3, 7)),
    Case("global_max_of_one_pixel", "global max", (5, 1, 1)),
    Case("global_max_behind_conv", "conv 5@3, relu, global max, dense 3", (2, 7, 9)),
    Case("global_max_branch", "concat(global average | global max), dense 3", (3, 4, 7)),
    # Features
    Case("dense_one_unit", "dense 1", (1, 1, 13)),
    Case("dense_of_one", "dense 3", (1, 1, 1)),
    Case("dense_images", "dense 7", (3, 4, 5)),
    Case("dense_seventeen", "dense 17", (1, 1, 31)),
    Case("dense_no_bias", "dense 5 nobias", (2, 3, 3)),
    Case("flatten", "flatten", (3, 2, 5)),
    # Normalisation
    Case("batchnorm", "batchnorm", (5, 3, 9)),
    Case("batchnorm_one_pixel", "batchnorm", (2, 1, 1)),
    Case("batchnorm_epsilon", "batchnorm 0.125", (2, 3, 5)),
    Case("batchnorm_frozen", "batchnorm frozen", (3, 4, 5)),
    Case("batchnorm_relu", "batchnorm, relu, batchnorm", (2, 4, 3)),
    Case("batchnorm_features", "dense 17, batchnorm", (1, 2, 3)),
    Case("batchnorm_features_left", "flatten, batchnorm", (3, 2, 3)),
    Case("batchnorm_with_border", "batchnorm, conv 3@3 same", (2, 4, 5)),
    Case("scale", "scale", (5, 3, 9)),
    Case("scale_one_pixel", "scale", (2, 1, 1)),
    Case("scale_frozen", "scale frozen, scale", (3, 4, 5)),
    Case("scale_relu", "scale, relu, scale", (2, 4, 3)),
    Case("scale_features", "dense 17, scale, relu, scale", (1, 2, 3)),
    Case("scale_with_border", "scale, conv 3@3 same", (2, 4, 5)),
    Case("scale_read_twice", "conv 3@3 same, residual(scale), scale", (2, 4, 5)),
    Case("batchnorm_read_twice", "conv 3@3 same, residual(batchnorm), batchnorm frozen", (2, 4, 5)),
    Case("prelu", "prelu", (5, 3, 9)),
    Case("prelu_one_pixel", "prelu", (2, 1, 1)),
    Case("prelu_frozen", "prelu frozen, prelu", (3, 4, 5)),
    Case("prelu_relu", "prelu, relu, prelu", (2, 4, 3)),
    Case("prelu_features", "dense 17, prelu, relu, prelu", (1, 2, 3)),
    Case("prelu_with_border", "prelu, conv 3@3 same", (2, 4, 5)),
    Case("prelu_read_twice", "conv 3@3 same, residual(prelu), prelu", (2, 4, 5)),
    # Pointwise
    Case("relu", "relu", (2, 3, 5)),
    Case("leaky", "leaky 0.1", (2, 3, 5)),
    Case("sigmoid", "sigmoid", (2, 3, 5)),
    Case("tanh", "tanh", (2, 3, 5)),
    Case("gelu", "gelu", (2, 3, 5)),
    Case("relu6", "relu6", (2, 3, 5)),
    Case("silu", "silu", (2, 3, 5)),
    Case("hardswish", "hardswish", (2, 3, 5)),
    Case("hardsigmoid", "hardsigmoid", (2, 3, 5)),
    Case("elu", "elu", (2, 3, 5)),
    Case("softplus", "softplus", (2, 3, 5)),
    Case("mish", "mish", (2, 3, 5)),
    Case("softmax", "flatten, softmax", (1, 1, 7)),
    Case("softmax_seventeen", "dense 17, softmax", (1, 2, 3)),
    Case("dropout", "dropout 0.25", (2, 3, 5)),
    # Branches
    Case("residual_identity", "residual(conv 3@3 same)", (3, 4, 5)),
    Case("residual_shortcut", "residual(conv 5@3 same stride 2, relu | conv 5@1 stride 2)", (3, 5, 7)),
    Case("residual_features", "dense 7, residual(tanh, dense 7)", (1, 2, 3)),
    Case("gate", "conv 5@3 same, gate(global average, dense 3, relu, dense 5, sigmoid)", (3, 4, 5)),
    Case("gate_features", "dense 7, gate(dense 7, sigmoid), dense 4", (1, 2, 3)),
    Case("gate_of_the_input", "gate(global average, dense 3, hardsigmoid), conv 2@3 same", (3, 5, 4)),
    Case("layernorm", "conv 5@3 same, layernorm", (3, 4, 5)),
    Case("layernorm_wide", "conv 19@3 same, layernorm 0.5, conv 2@3 same", (2, 3, 6)),
    Case("layernorm_features", "dense 21, layernorm", (1, 2, 3)),
    Case("lrn", "conv 5@3 same, lrn 3 alpha 2 beta 0.5 k 2", (3, 4, 5)),
    Case("lrn_wide", "conv 37@3 same, lrn 5 alpha 3, conv 2@3 same", (2, 3, 6)),
    Case("lrn_few", "lrn 7 alpha 5", (2, 3, 5)),
    Case("residual_both_from_input", "residual(relu)", (2, 3, 4)),
    Case("concat_three", "concat(conv 2@1 | max 3 same stride 1 | )", (3, 4, 5)),
    Case("concat_twice_the_same", "concat( | )", (2, 3, 4)),
    Case("concat_features", "flatten, concat(dense 3 | dense 5, relu)", (1, 2, 3)),
    Case("nested", "residual(concat(conv 1@3 same | conv 2@1, relu), residual(leaky 0.2))", (3, 4, 3)),
]
"""Each option of each layer."""

NETWORK_CASES = [
    Case("lenet_small", "conv 3@5 same, relu, max 2, conv 5@3, relu, max 2, dense 12, relu, dense 10", (1, 12, 14)),
    Case(
        "averages", "conv 4@3 same stride 2, tanh, average 2, conv 6@3 same, relu, global average, dense 3", (3, 11, 9)
    ),
    Case("dropouts", "conv 4@3, relu, dropout 0.25, max 2, dense 9, leaky, dropout 0.5, dense 4, softmax", (2, 7, 8)),
    Case("sigmoid_out", "conv 4@3 same, relu, max 3 stride 2, dense 7, relu, dense 1, sigmoid", (3, 9, 7)),
    Case(
        "residuals",
        "conv 4@3 same, relu, residual(conv 4@3 same, relu, conv 4@3 same), relu, "
        "residual(conv 6@3 same stride 2, relu, conv 6@3 same | conv 6@1 stride 2), relu, global average, dense 5",
        (3, 7, 9),
    ),
    Case(
        "residuals_of_residuals",
        "conv 3@3 same, residual(conv 3@3 same, relu, residual(conv 3@3 same, relu, conv 3@3 same), conv 3@1), "
        "residual(residual(conv 3@1), residual(tanh)), relu, residual(max 3 stride 1 same | conv 3@1), relu, max 2, "
        "residual(conv 3@3 same | conv 3@3 same, relu), dense 4",
        (2, 6, 8),
    ),
    Case(
        "residuals_on_both_sides",
        "conv 3@3 same, relu, residual(conv 3@3 same, relu | conv 3@1, relu), relu, residual(relu), "
        "residual(conv 3@3 same | residual(conv 3@3 same)), relu, max 2, "
        "flatten, residual(dense 18, relu), relu, dense 4",
        (2, 4, 6),
    ),
    Case(
        "pools_inside",
        "conv 16@3, relu, conv 32@3 same, relu, max 2, conv 32@3 same, relu, max 2, dense 4",
        (3, 16, 14),
    ),
    Case("fixed_first", "fixed sobel+laplacian+blur+sharpen, relu, max 2, dense 9, relu, dense 4", (3, 8, 7)),
    Case("whitening_first", "conv 8@2 whiten frozen, relu, conv 9@3 identity, relu, global max, dense 4", (2, 7, 8)),
    Case("frozen_first", "conv 5@3 same frozen, relu, max 2, conv 4@3, relu, dense 9, relu, dense 4", (2, 9, 11)),
    Case(
        "frozen_later", "conv 5@3 same, relu, max 2, conv 4@3 frozen, relu, dense 9 frozen, relu, dense 4", (2, 9, 11)
    ),
    Case(
        "norms",
        "conv 5@3 same nobias, batchnorm, relu, max 2, residual(conv 5@3 same nobias, batchnorm, relu, conv 5@3 same, "
        "batchnorm), relu, residual(batchnorm, relu, conv 5@3 same), batchnorm frozen, relu, "
        "residual(conv 6@3 same stride 2, batchnorm | conv 6@1 stride 2, batchnorm), relu, residual(batchnorm frozen), "
        " dense 7, batchnorm, tanh, "
        "batchnorm, dense 4",
        (3, 9, 7),
    ),
    Case(
        "scales",
        "conv 5@3 same nobias, scale, relu, max 2, residual(conv 5@3 same, relu, conv 5@3 same, scale), relu, "
        "residual(scale, relu, conv 5@3 same), scale frozen, residual(scale), dense 7, scale, tanh, scale, dense 4",
        (2, 13, 11),
    ),
    Case(
        "prelus",
        "conv 5@3 same nobias, prelu, max 2, residual(conv 5@3 same, prelu), prelu, "
        "residual(prelu, conv 5@3 same), prelu frozen, residual(prelu), dense 7, prelu, dense 4",
        (2, 13, 11),
    ),
    Case("harmonic", "fixed dct3, conv 3@1, relu, fixed dct2 valid stride 2, conv 3@1, relu, dense 4", (2, 6, 5)),
    Case("norms_first", "batchnorm, conv 4@3 same frozen, batchnorm, tanh, fixed blur, batchnorm, dense 4", (2, 7, 6)),
    Case("norms_winograd", "conv 16@3 same, batchnorm, relu, conv 32@3 same, batchnorm, relu, dense 3", (3, 16, 14)),
    Case(
        "gates",
        "conv 5@3 same, relu, gate(global average, dense 3, relu, dense 5, hardsigmoid), relu, "
        "residual(conv 5@3 same, gate(global average, dense 5, sigmoid), conv 5@1), tanh, "
        "residual(gate(global average, dense 5, tanh)), max 2, tanh, gate(conv 5@3, relu, max 2, conv 5@1, tanh), "
        "gate(dropout 0.0, global average), dense 7, relu, gate(relu, dense 7, sigmoid), dense 4",
        (3, 9, 8),
    ),
    Case(
        "layer_norms",
        "conv 18@3 same, relu, layernorm, scale, residual(conv 18@3 same groups 18, layernorm 1e-06, scale, conv 7@1, "
        "gelu, conv 18@1), max 2, residual(layernorm), global average, layernorm, dense 4",
        (3, 9, 8),
    ),
    Case(
        "response_norms",
        "conv 18@3 same, relu, lrn 5 alpha 2, max 2, residual(lrn 3 alpha 3, conv 18@3 same, lrn 15 k 0.5 alpha 4, "
        "relu), dense 4",
        (3, 9, 8),
    ),
    Case("frozen_branch", "residual(conv 3@3 same, relu | fixed blur, conv 3@1 frozen), relu, dense 4", (3, 5, 6)),
]
"""Small networks, for whatever joins layers."""
