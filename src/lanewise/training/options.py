"""The options of training. Each is one field here: its name, type, default, the values it takes, and what it does.

`lanewise.train`, `CNNClassifier`, and the commands `train`, `compare` and `vary` take their parameters from these
fields, so an option is added in this file and read where it acts (see docs/decisions/train-options.md).

Nothing heavy is imported: the command line shows its help without NumPy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from lanewise.errors import OptionError
from lanewise.network.base import Layer
from lanewise.resizing import FITS
from lanewise.training.learning_rate import SCHEDULES
from lanewise.training.optimizers import AUTO, LEARNING_RATES, NORMALISED_LEARNING_RATES, WEIGHT_DECAYS, each
from lanewise.training.resume_options import ResumeOptions
from lanewise.training.rules import (
    CALLED,
    NETWORK,
    SHARE,
    SWITCH,
    about,
    between,
    one_of,
    option,
    positive,
    such,
    whole,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from lanewise.model import Model
    from lanewise.training.task import Progress

ALL = "all"
"""All stages of a network."""

AUGMENTATIONS = ("auto", "none", "shift", "flip", "shift+flip")
CHANGES = ("zoom", "rotate", "brightness", "contrast", "saturation", "erase", "mixup", "cutmix")
"""What else augmentation can do; each an option of its own."""


def _is_mapping_of_weights(value: Any) -> bool:
    """Whether it is a word, which is looked at later, or maps labels to numbers."""
    return isinstance(value, str) or all(isinstance(weight, Real) for _, weight in value.items())


BY_AUGMENT = "as --augment chooses"


@dataclass(frozen=True, eq=False)
class FitOptions:
    """Options that `lanewise.train` and `CNNClassifier` share."""

    network: str | tuple[Layer, ...] = option(
        "auto",
        "Layers, like 'conv 16@3x3 same, relu, max 2, dense 10'.",
        "chosen from the images",
        more="With `start`, its own network is the default. Layers marked `frozen`, and `fixed` filters, stay as they "
        "are.",
        values=NETWORK,
        metavar="TEXT",
    )
    _: KW_ONLY
    preset: str = option(
        "good",
        "How much work the default network and number of epochs are for: 'quick' takes half the epochs and no batch "
        "normalisation for small images, 'best' three times the epochs and for many images twice the filters.",
        values=one_of("preset", ("quick", "good", "best")),
    )
    epochs: int | None = option(
        None, "Number of passes over the training set.", "chosen from the number of images", values=whole()
    )
    budget: float | None = option(
        None,
        "Seconds to train for, instead of epochs.",
        "no limit",
        command="Time to train for, instead of --epochs: 30s, 2m, 1h.",
        more="The schedule is stretched over what the measured speed allows, up to three times the default number of "
        "epochs. The default network for many images that are hard to tell apart is the largest that it is enough for.",
        values=positive("a budget must be a number of seconds", "seconds"),
    )
    batch_size: int | None = option(
        None, "Number of images in a training step.", "chosen from the number of images", values=whole()
    )
    optimizer: str = option(
        AUTO,
        "SGD with Nesterov momentum, AdamW, or Muon for the weights of convolutions and SGD for all else.",
        "muon for new networks of several convolutions, else sgd; sgd with a given rate or weight decay",
        more="Muon's learning rate and weight decay are for convolutions; SGD has 10/3 times the rate then, and no "
        "decay. A network without convolutions gets SGD.",
        values=one_of("optimizer", (AUTO, *LEARNING_RATES)),
    )
    learning_rate: float | Literal["find"] | None = option(
        None,
        "Peak learning rate; 'find' looks at the loss over rates that grow for 100 steps.",
        f"{each(LEARNING_RATES)}; with batchnorm {each(NORMALISED_LEARNING_RATES)}; less for sgd if deep or broad",
        more="If it is left to Lanewise and training dies or diverges, training goes back and on at a third of it.",
        values=positive("the learning rate must be", word="find"),
    )
    momentum: float = option(0.9, "Momentum; for adamw, its beta1.", values=SHARE)
    weight_decay: float | None = option(None, "Weight decay; biases have none.", each(WEIGHT_DECAYS), values=SHARE)
    bias_scaler: float = option(
        1.0,
        "Learning rate of the shifts of batch normalisation and its like, in multiples of the learning rate.",
        values=positive("bias_scaler must be"),
    )
    ema: float | None = option(
        None,
        "Decay, at each step, of an exponential moving average of the weights, which is evaluated and kept in their "
        "place: 0.99, say.",
        "no average",
        more="In the first steps the decay is smaller, so that the average forgets where training started.",
        values=SHARE,
    )
    gradient_clipping: float = option(
        10.0,
        "Largest norm of a step's gradient; a longer one is scaled down to it. 0 clips none.",
        values=between(0, float("inf")),
    )
    schedule: str = option("one-cycle", "Learning-rate schedule.", values=one_of("schedule", tuple(SCHEDULES)))
    label_smoothing: float | None = option(
        None, "Label smoothing, from 0 to below 1.", "0.1 for few photographs and for hard images, else 0", values=SHARE
    )
    augment: str = option(
        "auto",
        "Data augmentation; the following options add to it.",
        more="'auto' chooses by looking at the images, 'none' leaves them as they are.",
        values=one_of("augmentation", AUGMENTATIONS),
    )
    flip: str = option(
        "random",
        "How images are mirrored where they are: each time by chance, or alternating, each image in every other epoch.",
        values=one_of("way to mirror", ("random", "alternating")),
    )
    zoom: float | None = option(
        None,
        "Random zoom: rows and columns are enlarged by a factor from 1 to this, and a part of the image is shown.",
        BY_AUGMENT,
        values=between(1, 10),
    )
    rotate: float | None = option(
        None, "Random rotation by up to so many degrees to both sides.", BY_AUGMENT, values=between(0, 180)
    )
    brightness: float | None = option(
        None, "Random brightness: values are multiplied by 1 - X to 1 + X.", BY_AUGMENT, values=between(0, 1)
    )
    contrast: float | None = option(
        None,
        "Random contrast: distances from the mean of the training set are multiplied by 1 - X to 1 + X.",
        BY_AUGMENT,
        values=between(0, 1),
    )
    saturation: float | None = option(
        None,
        "Random saturation: distances from grey are multiplied by 1 - X to 1 + X.",
        BY_AUGMENT,
        values=between(0, 1),
    )
    erase: float | None = option(
        None, "Random erasing: a rectangle of up to this share of the image becomes the mean.", BY_AUGMENT, values=SHARE
    )
    mixup: float | None = option(
        None,
        "Mixup: another image of the batch, and its label, gets a random share of each image, up to this: 0.5, say.",
        "none",
        values=between(0, 1),
    )
    cutmix: float | None = option(
        None,
        "CutMix: a rectangle of up to this share of each image is that of another, and so is this share of its label. "
        "With --mixup, one of the two by chance.",
        "none",
        values=between(0, 1),
    )
    tta: bool = option(
        True,
        "Test-time augmentation: where training mirrors images, the model answers by the mean of its scores for an "
        "image and its mirror image, in twice the time.",
        command="Answer by the image alone where training mirrors images: twice as fast, and a little less accurate.",
        values=SWITCH,
    )
    class_weight: Mapping[Any, float] | Literal["balanced"] | None = option(
        None,
        "'balanced' recognises classes as if all were as frequent, however many images each has.",
        "all images have the same weight",
        more="A dict {label: weight} gives images weights in the loss, 1 to classes that it does not name.",
        values=such("'balanced' or a dict of class to weight", _is_mapping_of_weights),
        words=("balanced",),
    )
    validation_fraction: float = option(
        0.1,
        "Fraction of the training set held out as a validation set, if there is none.",
        more="The validation set chooses the best weights; with 0 there is none.",
        values=SHARE,
    )
    early_stopping: bool = option(
        True,
        "Once the validation figures have long stopped improving, let the learning rate fall to 0 and stop.",
        command="Train for all epochs, even when the validation figures no longer improve.",
        values=SWITCH,
    )
    winograd: bool = option(
        True,
        "Use Winograd's method for 3x3 and 5x5 convolutions where it is faster, with slightly larger rounding errors.",
        command="Compute all convolutions directly: slower, with smaller rounding errors.",
        values=SWITCH,
    )
    threads: int | None = option(
        None, "Number of threads; the result does not depend on it.", "one per processor", values=whole()
    )

    @property
    def changes(self) -> dict[str, float]:
        """What `augment` is not to choose: how much of each change was asked for."""
        return {name: float(value) for name in CHANGES if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainOptions(ResumeOptions, FitOptions):
    """All options of `lanewise.train`, checked.

    Raises
    ------
    OptionError
        For the first option whose value makes no sense; the message names it and what would.
    """

    sample_weight: ArrayLike | None = option(
        None, "Weight of each image, (N,); those of weight 0 are left out.", command_line=False
    )
    folds: int | None = option(
        None,
        "Number of folds of cross-validation; the final model is trained on all images. 0 holds images out instead.",
        "5 where a class has fewer than 30 images and it takes seconds",
        more='Every image is evaluated by a network that was not trained on it; `provenance["cross_validation"]` has '
        "the figures. By default there are none if the length of training, a validation or test set, weights or a "
        "start is given.",
        values=whole(2, zero="none"),
    )
    size: str | int | tuple[int, int] | None = option(
        None,
        "Resize images to this: 32, or rows x columns like 32x48.",
        "chosen from the sizes of the images",
        metavar="SIZE",
    )
    fit: str | None = option(
        None,
        "How images of another shape fit the size: stretched, padded with their mean colour, or cropped around the "
        "middle.",
        "stretch, or as the start has it",
        values=one_of("way to fit images", FITS),
    )
    channels: int | None = option(
        None, "1 reads images as grey, 3 as colour.", "as they are", values=whole(), command_line=False
    )
    group_by: str | None = option(
        None,
        "Images that belong together, so that no split parts them: a regular pattern on file names whose match, or "
        "first parentheses, is the group, like '^[0-9]+'; 'folder', the folder below that of the class; 'similar', "
        "near copies; a table, FILE.csv:COLUMN; or an array of an .npz file.",
        "each image may go anywhere",
        more="A pattern with a '/' is searched for in the path below the folder of images, others in the name of the "
        "file.",
        values=such("a pattern on file names, like '^[0-9]+'", lambda value: isinstance(value, str) and value != ""),
        metavar="PATTERN",
    )
    groups: ArrayLike | None = option(
        None, "The group of each image, (N,), of images that no split may part.", command_line=False
    )
    strict: bool = option(
        False, "Refuse files that cannot be used, instead of skipping them.", values=SWITCH, command_line=False
    )
    seed: int = option(
        0,
        "Random seed; the same seed gives the same result.",
        more="The same data and version give the same bits; a budget depends on speed.",
        values=such("a whole number from 0 to 2**64 - 1", lambda value: value % 1 == 0 and 0 <= value < 2**64),
    )
    start: Model | str | os.PathLike[str] | None = option(
        None,
        "Model or model file to start from, or the name of a pretrained network: lite0. If it has other classes, a new "
        "last layer is trained on its features.",
        "none",
        more="Pixels are scaled as for this model. If it has the same classes, all of it is trained, by default at a "
        "tenth of the learning rate; it is evaluated on the validation set first, and the result is no worse there. "
        "With a network of one's own, its weights are kept up to the first layer that differs.",
        values=such(
            "a Model, a model file, or the name of a pretrained network: 'lite0'",
            lambda value: isinstance(value, str | os.PathLike) or hasattr(value, "preprocessing"),
        ),
        metavar="MODEL",
    )
    cut: str | None = option(
        None,
        "Layer of a start with other classes whose values are the features; maps are averaged.",
        "its last global pooling, or what its last dense layer reads",
        values=such("the name of a layer, like 'conv5'", lambda value: isinstance(value, str)),
        metavar="LAYER",
    )
    finetune: int | str | None = option(
        None,
        "Once the new last layer of a start with other classes is trained, train its last stages too: 1, so many, or "
        "all. Kept only if it is better on the validation images.",
        "only the new last layer",
        more="True is 1. A stage ends where maps get smaller. Batch normalisations stay as they are. Epochs, budget, "
        "learning rate and weight decay are then those of this part: 10 epochs and a tenth of the learning rate by "
        "default.",
        values=such(
            "a number of stages, or 'all'",
            lambda value: value == ALL or (not isinstance(value, str | float) and int(value) >= 0),
        ),
        metavar="[STAGES]",
        alone="1",
    )
    progress: Callable[[Progress], None] | None = option(
        None, "Called with a `Progress` several times a second.", values=CALLED, command_line=False
    )
    notes: Callable[[str], None] | None = option(
        None,
        "Called with sentences about what was found and chosen.",
        more='Without it, what may harm the result is a `LanewiseWarning`, and the rest goes to the log "lanewise".',
        values=CALLED,
        command_line=False,
    )
    verbose: int | None = option(
        None,
        "1 shows a live bar in a terminal or notebook, 2 prints a line for each epoch, 0 nothing.",
        "a bar in a notebook, and where standard error is a terminal",
        values=such("0, 1 or 2", lambda value: value >= 0),
        command_line=False,
    )

    def __post_init__(self) -> None:
        """Check all values."""
        if self.epochs is not None and self.budget is not None:
            raise OptionError("give epochs or a budget of time, not both")
        for one in fields(self):
            value, values = getattr(self, one.name), about(one).values
            if values is not None and not (value is None and one.default is None):
                problem = values.problem(one.name, value)
                if problem is not None:
                    raise OptionError(problem)
        if self.groups is not None and self.group_by is not None:
            raise OptionError("give groups or group_by, not both")
        for name, given in (("finetune", self.finetune), ("cut", self.cut)):
            if given and self.start is None:
                raise OptionError(f"{name} is about a model to start from: give one too, like start='lite0'")
            if given and self.network != "auto":
                raise OptionError(f"{name} is about the network of the start: leave out network")
