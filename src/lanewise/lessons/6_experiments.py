"""Lesson 6: hyperparameters: what is chosen, and not learned.

lanewise lesson 6 [IMAGES]
"""

import textwrap

import matplotlib.pyplot as plt

import lanewise
from lanewise import explain
from lanewise.experiments.intervals import share_interval
from lanewise.lessons.common import BLUE, GREY, ORANGE, accuracy, epochs_for, last_layers, learned, read, save, verdict

sets = read()
epochs = epochs_for(sets.train)

# One network to begin with, and for each choice that it holds some others. Each is changed alone: whatever comes of it
# comes of that choice. Five trainings each, for luck has its part in every one.
USUAL = {
    "filters": 8,
    "kernel": "3x3",
    "padding": "same",
    "stride": 1,
    "pooling": "max 2",
    "learning rate": 0.02,
    "batch": 64,
    "epochs": epochs,
}
OTHERS = {
    "filters": (1, 2, 32),
    "kernel": ("1x1", "5x5", "7x7"),
    "padding": ("pad 0",),
    "stride": (2, 4),
    "pooling": ("none", "average 2", "max 4"),
    "learning rate": (0.0002, 0.002, 0.2, 2.0),
    "batch": (16, 256),
    "epochs": (1, epochs // 4, 3 * epochs),
}


def network(choice):
    """The text of the network."""
    pool = "" if choice["pooling"] == "none" else f"{choice['pooling']}, "
    conv = f"conv {choice['filters']}@{choice['kernel']} {choice['padding']} stride {choice['stride']}"
    return f"{conv}, relu, {pool}{last_layers(sets.train)}"


def tried(choice):
    """Which test images it recognises after each of five trainings."""
    others = {"learning_rate": choice["learning rate"], "batch_size": choice["batch"], "epochs": choice["epochs"]}
    others["notes"] = lambda note: None  # that a rate is too large is what the lesson shows
    return learned(sets, network(choice), times=5, **others)


def counted(choice):
    """Weights, and multiplications for one image."""
    found = explain.totals(explain.summary(explain.graph_for(network(choice), sets.train.pixels.shape[1:])))
    return f"{found.weights:>8,} {found.multiply_adds:>14,}"


usual = tried(USUAL)
print(f"\n{'':<22} {'recognised, %':>22} {'weights':>8} {'multiply-adds':>14}")
print(f"{'usual':<22} {accuracy(usual):>22} {counted(USUAL)}")
results, sure, unsure = {}, [], []
for name, values in OTHERS.items():
    print(f"{name}, usually {USUAL[name]}")
    results[name] = {USUAL[name]: usual}
    for value in values:
        choice = USUAL | {name: value}
        try:
            right = tried(choice)
        except lanewise.LanewiseError as error:  # a learning rate may be too large: the loss grows without end
            print(f"  {value!s:<20} {str(error).split(':')[0]}")
            results[name][value] = None
            continue
        results[name][value] = right
        print(f"  {value!s:<20} {accuracy(right):>22} {counted(choice)}")
        said = verdict(f"  {name} {value}", right, "usual", usual, claims=sum(map(len, OTHERS.values())))
        (unsure if " may be " in said else sure).append(said)

print("\nMore than luck, with 95 % confidence in all of this together:")
print(*sure or ["  nothing"], sep="\n")
print("Better or worse than the usual network, these images cannot tell:")
names = ", ".join(one.strip().partition(" may ")[0] for one in unsure)
print(textwrap.fill(names or "nothing", 100, initial_indent="  ", subsequent_indent="  "))

figure, panels = plt.subplots(2, 4, figsize=(11, 5.8), layout="constrained")
for axes, (name, found) in zip(panels.ravel(), results.items(), strict=True):
    for x, value in enumerate(sorted(found)):
        if found[value] is None:
            axes.text(x, 0.03, "diverges", rotation=90, ha="center", color=BLUE, transform=axes.get_xaxis_transform())
            continue
        low, high = (100 * bound for bound in share_interval(found[value]))
        colour = ORANGE if value == USUAL[name] else BLUE
        axes.plot([x, x], [low, high], color=colour, linewidth=2)
        axes.plot(x, 100 * found[value].mean(), "o", color=colour)
    axes.axhspan(*(100 * bound for bound in share_interval(usual)), color=GREY, alpha=0.25, linewidth=0)
    labels = [str(value).replace(" ", "\n") for value in sorted(found)]
    axes.set(xticks=range(len(labels)), xticklabels=labels, xlim=(-0.6, len(labels) - 0.4))
    axes.set_title(name, loc="left", fontsize=12)
    axes.tick_params(labelsize=8.5)
for axes in panels[:, 0]:
    axes.set_ylabel("recognised, %")
same_scale = [axes for axes in panels.ravel() if axes.get_title(loc="left") != "learning rate"]  # it has the worst
lowest, highest = (reach(axes.get_ylim()[n] for axes in same_scale) for n, reach in enumerate((min, max)))
for axes in same_scale:
    axes.set_ylim(lowest, highest)
save(figure, "6-choices")
