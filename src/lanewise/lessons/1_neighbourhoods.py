"""Lesson 1: neighbourhoods instead of everything.

lanewise lesson 1           with the handwritten digits that come with Lanewise
lanewise lesson 1 IMAGES    with your own: a folder with a folder for each class, or an .npz file
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from lanewise import explain
from lanewise.lessons.common import (
    BLUE,
    ORANGE,
    accuracy,
    example,
    frame,
    last_layers,
    learned,
    read,
    save,
    show_image,
    verdict,
)

sets = read()
image = example(sets.train)
rows, columns, channels = image.shape

# A neuron multiplies numbers by weights and adds them up. In a fully connected layer ("dense") every neuron reads every
# number of the image, by a weight of its own for each. In a convolution ("conv 16@3x3": 16 kernels of 3x3 weights)
# a neuron reads a neighbourhood only, and all neurons of a kernel use the same weights. Let us count, biases apart.
print(
    f"\n{'layer':<20} {'image':>9} {'outputs':>9} {'weights':>11} {'connections':>12} {'of possible':>11} {'uses':>7}"
)
for text, shape in (
    ("conv 1@2x2", (4, 4, 1)),  # one kernel: four weights, whatever the size of the image
    ("conv 100@2x2", (4, 4, 1)),
    ("dense 100", (4, 4, 1)),
    ("conv 6@5x5", (32, 32, 1)),
    (f"dense {28 * 28 * 6}", (32, 32, 1)),  # as many outputs as the line above
    ("conv 16@3x3 same", image.shape),  # yours; "same" adds a border, so that as many pixels come out as go in
    (f"dense {16 * rows * columns}", image.shape),
    ("max 2", image.shape),  # pooling: lesson 4. It has no weights at all
):
    graph = explain.graph_for(text, shape)
    layer = explain.summary(graph)[-1]
    outputs = "x".join(map(str, (*layer.output_shape[1:], layer.output_shape[0])))
    print(
        f"{text:<20} {'x'.join(map(str, shape)):>9} {outputs:>9} {layer.weights:>11,} {layer.connections:>12,}"
        f" {100 * layer.density:>9.3g} % {f'{layer.mean_sharing:,.1f}' if layer.weights else '':>7}"
    )

# What one output reads of your image: everything, or 3x3 pixels.
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.9), layout="constrained")
show_image(left, image, f"one neuron of dense 100\nreads {image.size:,} numbers")
show_image(right, image, f"one neuron of conv 16@3x3\nreads {9 * channels} numbers")
frame(left, 0, 0, rows, columns)
frame(right, rows // 2 - 1, columns // 2 - 1, 3, 3)
save(figure, "1-reads")

# How the number of weights grows with the image.
sizes = [8, 16, 32, 64, 128, 256, 512, 1024]
figure, axes = plt.subplots(figsize=(7, 3.9), layout="constrained")
for text, colour in (("dense 100", BLUE), ("conv 16@3x3", ORANGE)):
    weights = [explain.summary(explain.graph_for(text, (size, size, channels)))[-1].weights for size in sizes]
    axes.loglog(sizes, weights, "o-", color=colour)
    axes.text(sizes[-1], weights[-1] * 2.2, f"{text}: {weights[-1]:,}", ha="right", color=colour)
axes.set(xlabel="rows and columns of the image", xticks=sizes, xticklabels=sizes, ylim=(30, 3e9))
axes.set_title("weights of one layer", loc="left", fontsize=12)
axes.minorticks_off()
save(figure, "1-growth")

# Is anything lost by reading neighbours only? Not if neighbours belong together. So shuffle the pixels, in all images
# alike: all the numbers are still there, but no longer beside their neighbours.
order = np.random.default_rng(0).permutation(rows * columns)


def shuffled(images):
    """The same images, all their pixels in the same new order."""
    pixels = images.pixels.reshape(len(images), rows * columns, channels)[:, order]
    return replace(images, pixels=np.ascontiguousarray(pixels.reshape(images.pixels.shape)))


mixed = replace(sets, train=shuffled(sets.train), test=shuffled(sets.test))
networks = {
    "fully connected": "dense 100, relu, dense 100, relu",
    "convolutional": "conv 16@3x3 same, relu, max 2, conv 32@3x3 same, relu, max 2",
}
print(f"\nRecognised of {len(sets.test):,} images, in %, and bounds that hold it with 95 % confidence:")
print(f"{'':<16} {'pixels in order':>22} {'pixels shuffled':>22}")
verdicts = []
for name, layers in networks.items():
    network = f"{layers}, {last_layers(sets.train)}"
    ordered, disordered = learned(sets, network), learned(mixed, network)
    print(f"{name:<16} {accuracy(ordered):>22} {accuracy(disordered):>22}")
    verdicts.append(verdict(f"The {name} network", ordered, "itself with pixels shuffled", disordered, claims=2))
print(*[f"{one}." for one in verdicts], sep="\n")
