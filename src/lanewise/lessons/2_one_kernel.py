"""Lesson 2: one kernel for all positions.

lanewise lesson 2 [IMAGES]
"""

import matplotlib.pyplot as plt
import numpy as np

from lanewise import explain
from lanewise.lessons.common import example, frame, grey, read, save, show_image, show_map

sets = read()
image = grey(example(sets.train))
rows, columns = image.shape

# Nine weights that somebody thought up (Sobel and Feldman, 1968). They add up to 0, so that even areas give 0; where it
# gets brighter to the right, the right column outweighs the left one.
kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def convolve(image, kernel):
    """The whole of a convolution: the same weighted sum, of each neighbourhood in turn."""
    high, wide = image.shape[0] - 2, image.shape[1] - 2
    found = np.zeros((high, wide))
    for r in range(high):
        for c in range(wide):
            found[r, c] = (image[r : r + 3, c : c + 3] * kernel).sum()
    return found


feature_map = convolve(image, kernel)

# One neuron, worked out: the one with the largest value.
r, c = np.unravel_index(feature_map.argmax(), feature_map.shape)
patch = image[r : r + 3, c : c + 3]
print(
    f"\nThe neuron in row {r}, column {c} of the map reads the pixels in rows {r} to {r + 2}, columns {c} to {c + 2}:"
)
for pixels, weights in zip(patch, kernel, strict=True):
    products = " ".join(f"{pixel:>5.4g} x {weight:>2}" for pixel, weight in zip(pixels, weights, strict=True))
    print(f"    {products}  = {pixels @ weights:>6.4g}")
print(f"{'sum':>38} = {feature_map[r, c]:>6.4g}")

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained", width_ratios=(3, 1.6, 3))
show_image(left, image[:, :, None], f"the image, {rows}x{columns}")
frame(left, r, c, 3, 3)
show_map(middle, kernel, "the kernel, 3x3")
for (u, v), weight in np.ndenumerate(kernel):
    middle.text(v, u, weight, ha="center", va="center", fontsize=13, color="white" if abs(weight) > 1 else "black")
show_map(right, feature_map, f"the feature map, {rows - 2}x{columns - 2}")
frame(right, r, c, 1, 1)
save(figure, "2-kernel")

# One kernel for all positions: what it finds in one place it finds in any other. Move the image, and the map moves
# along; nothing about the new place has to be learned.
moved = np.roll(image, (1, 2), axis=(0, 1))
same = (convolve(moved, kernel)[1:, 2:] == feature_map[:-1, :-2]).all()
print(f"\nThe image is moved by one row and two columns. Is the map the same, moved alike? {'Yes' if same else 'No'}.")

# Now the same as a fully connected layer: a matrix with a row for each output and a column for each input. The corner
# with the edge is enough to see how it is made.
top, left = (min(max(int(at) - 2, 0), size - 8) for at, size in ((r, rows), (c, columns)))
corner = image[top : top + 8, left : left + 8]
layer = explain.expand(explain.graph_for("conv 1@3x3 nobias", corner.shape), "conv1")
layer = layer.with_weights(kernel[None, None])  # (filters, channels, rows, columns)
outputs, inputs = layer.matrix.shape
print(f"\nAs a matrix, for 8x8 pixels of it: {outputs} outputs x {inputs} inputs = {layer.dense_weights:,} places.")
print(
    f"Filled are {layer.connections}; {100 * layer.sparsity:.0f} % are no connection and stay 0 (sparse connectivity)."
)
print(f"They hold {kernel.size} different weights, each {layer.uses.max()} times (weight sharing).")
largest = np.abs(layer.apply(corner)[0] - convolve(corner, kernel)).max()
print(f"The matrix times the 64 pixels gives the map, to within 1e-9? {'Yes' if largest < 1e-9 else 'No'}.")
save(explain.draw_connections(layer, (0, 3, 3)), "2-matrix")
