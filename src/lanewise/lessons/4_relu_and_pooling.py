"""Lesson 4: ReLU and pooling.

lanewise lesson 4 [IMAGES]
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from lanewise import explain
from lanewise.experiments.intervals import share_interval
from lanewise.lessons.common import (
    accuracy,
    example,
    last_layers,
    read,
    recognised,
    save,
    show_image,
    show_map,
    trained,
    verdict,
)

sets = read()
test = sets.test
rows, columns = test.size

# ReLU keeps what is above 0 and makes 0 of the rest. Without anything of that kind, layers on layers are no more than
# one layer: weighted sums of weighted sums are weighted sums. As matrices: 3x3 after 3x3 is 5x5, whatever the image.
without = explain.expand(explain.graph_for("conv 1@3x3 nobias, conv 1@3x3 nobias", (8, 8)))
one_row = np.diff(without.matrix.indptr)
print(f"\nTwo convolutions of 3x3, nothing between: each output is one weighted sum of {one_row.max()} pixels.")
alike = np.ptp(without.matrix.data.reshape(-1, 25), axis=0).max() < 1e-12
print(f"Are the weights of all those sums the same? {'Yes: it is one kernel of 5x5' if alike else 'No'}.")
between = explain.graph_for("conv 1@3x3 nobias, relu, conv 1@3x3 nobias", (8, 8))
first, second = (one[None, :8, :8].astype(float) for one in np.random.default_rng(0).normal(size=(2, 8, 8)))
bent = [explain.expand(between, image=one).matrix.toarray() for one in (first, second)]
print(f"With ReLU between them, do two images meet the same sums? {'Yes' if np.allclose(*bent) else 'No: it bends'}.")

# Pooling keeps one number of every 2x2: the largest (max) or the mean (average). It has no weights.
network = f"conv 8@3x3 same, relu, {last_layers(test)}"
model = trained(sets, network, times=1)[0]


def maps_of(image):
    """Before and after ReLU: (8, rows, columns) each, cut to whole windows of 4x4."""
    found = {one.name: one.values for one in explain.feature_maps(model, image)}
    return [found[name][:, : rows // 4 * 4, : columns // 4 * 4] for name in ("conv1", "relu1")]


def pooled(maps, kind, size):
    """Pool maps in windows of size x size, side by side.

    Parameters
    ----------
    maps : (N, rows, columns) array
    kind : "max" or "average"
    size : int
        Divides rows and columns.
    """
    windows = maps.reshape(len(maps), maps.shape[1] // size, size, maps.shape[2] // size, size)
    return windows.max(axis=(2, 4)) if kind == "max" else windows.mean(axis=(2, 4))


def moved(images, by):
    """Images moved to the right; what comes in is the left edge again."""
    return np.pad(images, [(0, 0), (0, 0), (by, 0), (0, 0)], mode="edge")[:, :, :columns]


image = example(test)
summed, positive = maps_of(image)
busiest = positive.sum(axis=(1, 2)).argmax()
drawn = {
    f"a feature map\n{summed.shape[1]}x{summed.shape[2]}": summed,
    "after ReLU": positive,
    "max 2": pooled(positive, "max", 2),
    "average 2": pooled(positive, "average", 2),
    "max 4": pooled(positive, "max", 4),
}
figure, panels = plt.subplots(1, 6, figsize=(11, 2.5), layout="constrained")
show_image(panels[0], image, "the image")
for axes, (title, maps) in zip(panels[1:], drawn.items(), strict=True):
    show_map(axes, maps[busiest], title, most=np.abs(summed[busiest]).max())
save(figure, "4-pooling")

# What does pooling make indifferent to? Move images by one pixel and see how much the maps change.
print("\nImages are moved by one pixel. How much do the maps after ReLU change, and how many numbers are there?")
few = test.pixels[:: -(-len(test) // 40)]
before, after = ([maps_of(one)[1] for one in images] for images in (few, moved(few, 1)))
for kind, size in (("no pooling", 1), ("average", 2), ("max", 2), ("average", 4), ("max", 4)):
    pairs = [(pooled(a, kind, size), pooled(b, kind, size)) for a, b in zip(before, after, strict=True)]
    change = np.mean([np.linalg.norm(b - a) / (np.linalg.norm(a) or 1) for a, b in pairs])
    print(f"  {kind if size == 1 else f'{kind} {size}':<10} {100 * change:5.0f} %   {pairs[0][0].size:>6,} numbers")

# And the networks: four of them are trained on images as they are, and evaluated on images that are moved.
last = last_layers(sets.train)
networks = {
    "no ReLU, average 2": f"conv 8@3x3 same, average 2, conv 16@3x3 same, average 2, {last}",
    "ReLU, no pooling": f"conv 8@3x3 same, relu, conv 16@3x3 same, relu, {last}",
    "ReLU, average 2": f"conv 8@3x3 same, relu, average 2, conv 16@3x3 same, relu, average 2, {last}",
    "ReLU, max 2": f"conv 8@3x3 same, relu, max 2, conv 16@3x3 same, relu, max 2, {last}",
}
moves = [0, columns // 8, columns // 4]
right = {}
for name, text in networks.items():
    models = trained(sets, text)
    for by in moves:
        there = replace(test, pixels=moved(test.pixels, by))
        right[name, by] = np.array([recognised(one, there) for one in models])
print(f"\nRecognised of {len(test):,} test images, in %:")
print(f"{'':<20} {'as they are':>22} {f'moved by {moves[1]}':>22} {f'moved by {moves[2]}':>22}")
for name in networks:
    print(f"{name:<20} " + " ".join(f"{accuracy(right[name, by]):>22}" for by in moves))
for by in moves[:2]:
    print(f"Images {f'moved by {by}' if by else 'as they are'}:")
    for other in list(networks)[:3]:
        said = verdict('"ReLU, max 2"', right["ReLU, max 2", by], f'"{other}"', right[other, by], claims=6)
        print(f"  {said}.")

figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
for n, name in enumerate(networks):
    bounds = 100 * np.array([share_interval(right[name, by]) for by in moves])
    middles = np.array([100 * right[name, by].mean() for by in moves])
    spread = np.abs(bounds.T - middles)
    axes.errorbar(np.array(moves) + 0.04 * n, middles, spread, fmt="o-", capsize=3, label=name, color=f"C{n}")
axes.set(xlabel="pixels that the test images are moved by", xticks=moves)
axes.set_title("recognised, %", loc="left", fontsize=12)
axes.legend()
save(figure, "4-moved")
