"""Lesson 5: layer on layer: feature maps, receptive fields, and what the answer came from.

lanewise lesson 5 [IMAGES]
"""

import matplotlib.pyplot as plt
import numpy as np

from lanewise import explain
from lanewise.lessons.common import (
    frame,
    last_layers,
    one_of_each,
    read,
    recognised,
    save,
    show_image,
    show_map,
    trained,
)

sets = read()
test = sets.test
network = f"conv 8@3x3 same, relu, max 2, conv 16@3x3 same, relu, max 2, dense 50, relu, {last_layers(test)}"
model = trained(sets, network, times=1)[0]
right = recognised(model, test)
print(f"\nA network learned from them, and recognises {100 * right.mean():.1f} % of the test images.")

# What every layer makes of one image. A map of a later layer is smaller, but each of its values has seen more of the
# image: its receptive field grows with every layer.
order = np.argsort(-test.labels, kind="stable")  # the last class first
chosen = int(order[right[order].argmax()])  # the first that is recognised
image, label = test.pixels[chosen], test.classes[test.labels[chosen]]
maps = {one.name: one for one in explain.feature_maps(model, image)}
counts = explain.summary(model.graph)
print(f"\n{'layer':<20} {'gives':>12} {'weights':>8} {'sees of the image':>20} {'above 0':>8}")
for one, count in zip(maps.values(), counts, strict=True):
    if one.text in ("input", "flatten"):
        continue
    gives = "x".join(map(str, (*one.shape[1:], one.shape[0])))
    sees = "x".join(map(str, count.receptive_field))
    print(f"{one.text:<20} {gives:>12} {count.weights:>8,} {sees:>20} {100 * (one.values > 0).mean():>6.0f} %")

stages = [maps[name] for name in ("conv1", "relu1", "max1", "conv2", "relu2", "max2")]
figure, panels = plt.subplots(6, 9, figsize=(10, 7), layout="constrained")
show_image(panels[0, 0], image, str(label))
for row, one in zip(panels, stages, strict=True):
    for axes, values in zip(row[1:], one.values, strict=False):
        show_map(axes, values, most=np.abs(one.values).max())
    row[1].set_ylabel(one.text.removesuffix(" same"), fontsize=9)
for row in panels[1:]:
    row[0].axis("off")
save(figure, "5-maps")

# Receptive fields: for the value in the middle of each layer's map.
figure, panels = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
for axes, name in zip(panels, ("conv1", "max1", "conv2", "max2"), strict=True):
    _, high, wide = maps[name].shape
    field = explain.receptive_field(model, name, high // 2, wide // 2)
    show_image(axes, image, f"{name} sees {field.shape[0]}x{field.shape[1]}")
    frame(axes, field.top, field.left, *field.shape)
save(figure, "5-fields")

# One neuron of the second convolution: it reads 3x3 values of all eight maps of the first.
best = np.unravel_index(maps["conv2"].values.argmax(), maps["conv2"].shape)
neuron = explain.neuron(model, image, "conv2", tuple(map(int, best)))
channel, row, column = neuron.position
print(f"\nThe strongest value of the second convolution: map {channel}, row {row}, column {column}.")
print(f"  It reads {neuron.patch.size} values of {neuron.reads[0]}. Added up map by map, values times weights give")
sums = " ".join(f"{one:+.2f}" for one in neuron.channel_sums)
print(f"  {sums} and the bias {neuron.bias:+.2f}: together {neuron.sum:.2f}.")
field = neuron.field
print(f"  Through them it sees rows {field.top} to {field.bottom - 1} of the image,", end=" ")
print(f"columns {field.left} to {field.right - 1}.")

# The end: a score for each class, or one for two classes, is made into probabilities.
*_, last_dense, _ = maps.values()
scores, probabilities = last_dense.values, model.predict_proba(image)[0]
print(f"\nThe answer for this image, of class {label}:")
if len(scores) == 1:
    print(f"  One score, {scores[0]:.2f}. Sigmoid, 1 / (1 + e ** -score), makes it the probability", end=" ")
    print(f"of {model.classes[1]}:")
    print(f"  {100 / (1 + np.exp(-scores[0])):.2f} %. The model says {100 * probabilities[1]:.2f} %.")
else:
    shares = np.exp(scores) / np.exp(scores).sum()  # softmax
    print("  Softmax takes e ** score of each class as a share of the sum of all. The three highest:")
    for n in np.argsort(-scores, kind="stable")[:3]:
        worked, said = f"{100 * shares[n]:.2f} %", f"{100 * probabilities[n]:.2f} %"
        print(f"  {model.classes[n]!s:<12} score {scores[n]:6.2f}, so {worked:>8}; the model says {said:>8}")

# Where in the image did the answer come from? Two ways to ask.
several = one_of_each(test, 4)
figure, panels = plt.subplots(3, len(several), figsize=(2.4 * len(several), 6.6), layout="constrained", squeeze=False)
for column, number in zip(panels.T, several, strict=True):
    one = test.pixels[number]
    show_image(column[0], one, f"{test.classes[test.labels[number]]}\ntaken for {model.predict(one)[0]}")
    column[1].imshow(explain.gradient_map(model, one), cmap="magma")
    lost = explain.occlusion_map(model, one)
    show_map(column[2], lost)
    column[2].set_xlabel(f"loses up to {lost.max():.1f}", fontsize=10)
    for axes in column[1:]:
        axes.set(xticks=[], yticks=[])
for axes, text in zip(panels[:, 0], ("image", "gradient", "occlusion"), strict=True):
    axes.set_ylabel(text)
save(figure, "5-looked")
