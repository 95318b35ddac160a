"""Lesson 3: filters that are learned.

lanewise lesson 3 [IMAGES]
"""

import textwrap
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import lanewise
from lanewise import explain
from lanewise.lessons.common import BLUE, epochs_for, grey, last_layers, options, read, recognised, save, show_map
from lanewise.network.initial import initial_parameters

sets = read()

# A kernel can be found from examples. Here are 8x8 pixels from the middle of some fifty images, and what the Sobel
# kernel of lesson 2 makes of them. We start from random weights and are told nothing but how far off the outputs are.
# For every weight of the matrix we take the gradient of the loss, half the mean squared difference; the gradients of
# entries that share a weight are added up; then each weight goes a small step downhill. That is all of training a
# convolution: a fully connected network with most weights left out and the others tied together, which learns in the
# same way.
top, left = ((size - 8) // 2 for size in sets.train.size)
fifty = sets.train.pixels[:: -(-len(sets.train) // 50)]
patches = np.array([grey(one)[top : top + 8, left : left + 8] for one in fifty])
patches = (patches - patches.mean()) / (patches.std() or 1)
x = patches.reshape(len(patches), 64)
layer = explain.expand(explain.graph_for("conv 1@3x3 nobias", (8, 8)), "conv1")
sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
wanted = x @ layer.with_weights(sobel[None, None]).matrix.toarray().T
kernel = np.random.default_rng(0).normal(size=(1, 1, 3, 3))
rate, kernels, losses = 0.003, [], []
for step in range(1001):
    layer = layer.with_weights(kernel)
    off = x @ layer.matrix.toarray().T - wanted  # (images, outputs)
    losses.append(float((off**2).sum() / 2 / off.size))
    if step in (0, 10, 100, 1000):
        kernels.append((step, kernel[0, 0]))
    kernel = kernel - rate * layer.weight_gradient(off.T @ x) / len(x)
print("\nA kernel learns from examples:")
for step, weights in kernels:
    numbers = " ".join(f"{one:5.2f}" for one in weights.ravel().round(2) + 0.0)
    print(f"  after {step:>4} steps: loss {losses[step]:8.4f}, weights {numbers}")
figure, panels = plt.subplots(1, 5, figsize=(9, 2.3), layout="constrained")
for axes, (step, weights) in zip(panels, [*kernels, ("Sobel", sobel)], strict=True):
    show_map(axes, weights, step if step == "Sobel" else f"after {step} steps", most=2)
save(figure, "3-steps")

# Nobody can say which kernels tell your classes apart, so there are no examples of what a kernel should give. But a
# network need only be told the class: the loss measures how far its probabilities are from the truth, and gradients go
# back through all layers to every weight. Here eight kernels of 3x3 begin a network; they are drawn before and after.
network = f"conv 8@3x3 same, relu, max 2, conv 16@3x3 same, relu, max 2, {last_layers(sets.train)}"
longer = options(sets.train) | {"epochs": 2 * epochs_for(sets.train)}
model = lanewise.train(sets, network=network, seed=0, **longer)
before = replace(model, parameters=tuple(initial_parameters(model.graph, seed=0)))
print(f"\nEpochs, that is passes over the images: {len(model.history)}. Recognised of the test images:")
for name, one in (("before", before), ("after", model)):
    print(f"  {name:<7} {100 * recognised(one, sets.test).mean():.1f} %")

first, last = (one.parameters[0].sum(axis=1) for one in (before, model))  # over colours: what grey images meet
likes = explain.resembles(last)
figure, panels = plt.subplots(3, 8, figsize=(10, 4.4), layout="constrained")
for n, like in enumerate(likes):
    show_map(panels[0, n], first[n])
    show_map(panels[1, n], last[n])
    show_map(panels[2, n], like.filter, f"{like.label}\n{like.score:.2f}")
for axes, text in zip(panels[:, 0], ("before", "after", "most like"), strict=True):
    axes.set_ylabel(text, fontsize=11)
save(figure, "3-filters")
clear = sum(like.score > 0.83 for like in likes)
print(f"Of the eight learned kernels, {clear} {'is' if clear == 1 else 'are'} clearly similar to a classic filter.")
print("(Of random kernels one in twenty would be.)")

figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
axes.plot([epoch["epoch"] for epoch in model.history], [epoch["loss"] for epoch in model.history], color=BLUE)
axes.set(xlabel="epoch", ylim=(0, None))
axes.set_title("loss while learning", loc="left", fontsize=12)
save(figure, "3-loss")

# Is learning filters worth it? Five networks, three trainings each: fully connected; hand-made filters of which only
# the classifier behind them learns; the first layer hand-made; kernels learned as sums of waves; all filters learned.
found = lanewise.compare(sets, network, seeds=(0, 1, 2), **longer)
print(f"\nRecognised of {found.count:,} test images, in %:")
for row in found.rows:
    low, high = (100 * bound for bound in row.interval)
    recognised_percent = f"{100 * row.accuracy:.1f} ({low:.1f} to {high:.1f})"
    print(f"  {row.name:<19} {recognised_percent}   learned weights {row.learned_weights:>9,}")
print(textwrap.fill(found.sentence, 110))
found.save_plot("lessons/3-compare.png")
print("-> lessons/3-compare.png")
