"""A convolutional network as a scikit-learn classifier.

    CNNClassifier(image_shape=(8, 8)).fit(X, y).predict(X)

The result depends on the images, their labels and their weights, and not on the order of the rows: they are
brought into an order of their own first, and equal images with equal labels become one, their weights added. So a
weight of 3 and three equal rows are the same thing to the last bit, a weight of 0 and no row too, and no image is
held out for validation of which a copy is trained on. This takes 0.1 s for 60,000 images of 28x28, and a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from lanewise.data.grouping import groups_given
from lanewise.data.images import Groups, Images
from lanewise.errors import DataError, OptionError
from lanewise.evaluation.samples import distinct, shape_of, unusual, whole_bytes
from lanewise.labels import plain
from lanewise.model import Model
from lanewise.model_file import names_of
from lanewise.network.layers import Layer
from lanewise.notes import Caution, say
from lanewise.pixel_scale import on_scale
from lanewise.training.fit import train
from lanewise.training.options import FitOptions
from lanewise.training.progress import tell
from lanewise.training.recipe import network_for
from lanewise.training.rules import option
from lanewise.training.signatures import documented, options_of_init

__all__ = ["CNNClassifier"]

Pixels = NDArray[np.uint8 | np.float32]

SHARED = tuple(one.name for one in fields(FitOptions))
"""Parameters that go to `lanewise.train` as they are, unless `fit` has its own way with them."""

FEWEST_HELD_OUT = 10
"""Images in a validation set at least: a figure from fewer is noise, and stopping by it does harm."""


def checked(estimator: BaseEstimator, X: ArrayLike, *, reset: bool) -> Pixels:
    """X as scikit-learn checks it, (samples, features), or images, (samples, rows, columns) or with channels.

    Parameters
    ----------
    estimator : BaseEstimator
        It remembers how many features there are, and their names, unless X has images.
    X : array-like
    reset : bool
        Whether X is that of `fit`.

    Returns
    -------
    array of uint8 or float32
    """
    checks = {"dtype": np.uint8 if getattr(X, "dtype", None) in (np.uint8, np.bool_) else np.float32, "order": "C"}
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused as such
        if (X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim) in (3, 4):
            array: Pixels = check_array(
                X, allow_nd=True, ensure_2d=False, estimator=estimator, input_name="X", **checks
            )
            if reset:  # what a fit before this one left
                for name in {"n_features_in_", "feature_names_in_"} & vars(estimator).keys():
                    delattr(estimator, name)
        else:
            array = validate_data(estimator, X, reset=reset, **checks)
    return array


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassifierOptions(FitOptions):
    """Parameters of `CNNClassifier`; as scikit-learn has it, they are not checked before `fit`."""

    image_shape: Sequence[int] | None = option(
        None,
        "Shape of the image that a row of a two-dimensional X is: (rows, columns) or (rows, columns, channels).",
        "1 x features with one channel",
    )
    warm_start: bool = option(
        False,
        "Let `fit` go on from the weights of the `fit` before, up to the first layer that differs.",
    )
    random_state: int | np.random.RandomState | None = option(
        None, "Seed of initial weights, validation set, order and augmentation."
    )
    verbose: int = option(
        0,
        "As for `lanewise.train`: 1 shows a live bar in a terminal or notebook, 2 or more prints a line for each "
        "epoch; both also print what was chosen.",
    )


@documented(ClassifierOptions)
class CNNClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A convolutional network that scikit-learn can clone, search over, calibrate and put into pipelines.

    Parameters
    ----------
    {options}

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
    model_ : Model
        The trained network; `model_.save("model.onnx")` writes it to a file.
    network_ : str
        Its layers as text.
    history_ : list of dict
        Loss, accuracy and more of each epoch.
    n_iter_ : int
        Number of epochs.
    n_features_in_ : int
        Only after fitting a two-dimensional X.
    feature_names_in_ : ndarray of str
        Only after fitting a data frame whose columns are named by strings.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from lanewise import CNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = CNNClassifier(image_shape=(8, 8), random_state=0).fit(X[:1400], y[:1400])
    >>> classifier.score(X[1400:], y[1400:]) > 0.95
    True
    """

    model_: Model
    history_: list[dict[str, Any]]

    @options_of_init(ClassifierOptions)
    def __init__(self, options: ClassifierOptions) -> None:
        """Keep the options as they are; `fit` looks at them."""
        self.__dict__.update(vars(options))

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Train the network on labelled images.

        Parameters
        ----------
        X : (samples, features), (samples, rows, columns) or (samples, rows, columns, channels)
            Images; unsigned bytes and booleans are kept as they are, other numbers become float32. Pixels need no
            scaling: the model brings each channel to mean 0 and standard deviation 1 itself. Features that are no
            pixels and differ in scale do: put a StandardScaler before.
        y : (samples,)
            Labels: strings, whole numbers or booleans.
        sample_weight : (samples,), optional
            How much each image counts; those of weight 0 are left out.
        groups : (samples,), optional
            The group of each image, a specimen, patient or track: none is both trained on and held out.

        Raises
        ------
        ValueError
            Something does not fit; the message names it. Lanewise's own errors about data and options are ValueErrors.
        """
        going_on = self.warm_start and hasattr(self, "model_")
        pixels, given, weights = self._labelled(X, y, sample_weight, reset=not going_on)
        classes = np.unique(given[weights > 0])
        if len(classes) < 2:
            where = "y holds" if weights.all() else "the samples whose weight is not 0 are of"
            only = classes.tolist()[0]
            raise DataError(f"{where} only one class, {only!r}: training takes at least two")
        if going_on:
            self._check_same_classes(classes)
        together = None if groups is None else groups_given(groups, len(pixels))
        return self._train(pixels, given, weights, classes, going_on, together)

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one epoch on X, from the current weights, at a constant learning rate; hold nothing out.

        Each call sets up the engine anew, up to 0.1 s, and begins without momentum: give it many images at a time.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`. Images must keep their shape from call to call.
        classes : (classes,)
            All labels that will ever come. Needed at the first call; the same ones, or None, at later ones.
        """
        going_on = hasattr(self, "model_")
        if not going_on and classes is None:
            raise DataError("the first partial_fit needs classes: all labels that will ever come, like np.unique(y)")
        if isinstance(self.class_weight, str):
            raise OptionError(f"class_weight={self.class_weight!r} needs all labels at once: give a dict, or use fit")
        pixels, given, weights = self._labelled(X, y, sample_weight, reset=not going_on)
        known = self.classes_ if classes is None else np.unique(column_or_1d(classes))
        if going_on:
            self._check_same_classes(known)
        if len(strangers := np.flatnonzero(~np.isin(given, known))):
            row = strangers[0]
            raise DataError(f"y[{row}] is {given.tolist()[row]!r}, which is none of the classes {known.tolist()}")
        once: dict[str, Any] = {"epochs": 1, "budget": None, "schedule": "constant", "validation_fraction": 0.0}
        if going_on and self.learning_rate in (
            None,
            "find",
        ):  # images come in parts, but it is one training: at one rate
            once["learning_rate"] = self.model_.provenance["learning_rate"]
        return self._train(pixels, given, weights, known, going_on, None, **once)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Probabilities (samples, classes), in the order of `classes_`; each row adds up to 1."""
        check_is_fitted(self)
        probabilities: NDArray[np.float32] = self.model_.predict_proba(self._images(X), threads=self.threads)
        return probabilities

    def predict(self, X: ArrayLike, *, abstain: float | None = None) -> NDArray[Any]:
        """The most probable class of each image (samples,).

        Parameters
        ----------
        X : (samples, features) or images
        abstain : float, optional
            0.01 names only images of which on average at most 1 % are wrong, as far as the images say that `fit` held
            out for validation; the others get None, in an array of objects. An OptionError says what can be promised
            if that cannot. See `Model.predict`.
        """
        check_is_fitted(self)
        rule = None if abstain is None else self.model_.threshold(abstain)
        probabilities = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        if rule is not None:
            labels = labels.astype(object)
            labels[~rule.named(probabilities)] = None
        return labels

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The accuracy on X, the share of labels `y` that are predicted correctly.

        Parameters
        ----------
        X : (samples, features) or images
        y : (samples,)
        sample_weight : (samples,), optional

        Returns
        -------
        float
        """
        labels = unusual(y)
        if labels is None:
            return float(super().score(X, y, sample_weight))
        return float(
            np.average(self.predict(X) == labels, weights=None if sample_weight is None else np.asarray(sample_weight))
        )

    def _labelled(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, reset: bool
    ) -> tuple[Pixels, NDArray[Any], NDArray[np.float64]]:
        """Images, their labels as they were given, and their weights."""
        pixels = self._images(X, reset)
        if y is None:
            raise DataError("CNNClassifier requires y to be passed, but the target y is None: give each row its label")
        labels = unusual(y)
        if labels is None:
            labels = column_or_1d(y, warn=True)
            assert_all_finite(labels, input_name="y")
            check_classification_targets(labels)
        check_consistent_length(pixels, labels)
        weights = _check_sample_weight(sample_weight, pixels, dtype=np.float64, ensure_non_negative=True)
        if not weights.any():  # newer versions of scikit-learn have said so by now
            raise DataError("every sample_weight is 0: there is nothing to train on")
        return pixels, labels, weights

    def _images(self, X: ArrayLike, reset: bool = False) -> Pixels:
        """(samples, rows, columns, channels) as the model takes them, or, with `reset`, as it will."""
        array = checked(self, X, reset=reset)
        shape = shape_of(array.shape, self.image_shape if reset else self.model_.preprocessing.shape)
        pixels: Pixels = array.reshape(len(array), *shape)
        if reset:
            return pixels
        scaled, note = on_scale(pixels, self.model_.preprocessing)
        if note is not None:
            say(note)
        return whole_bytes(scaled) if self.model_.preprocessing.dtype == "uint8" else scaled

    def _check_same_classes(self, classes: NDArray[Any]) -> None:
        if not np.array_equal(classes, self.classes_):
            raise DataError(
                f"the classes are {classes.tolist()}, but the network was trained on "
                f"{self.classes_.tolist()}: give the same ones, or fit a new classifier"
            )

    def _train(
        self,
        pixels: Pixels,
        given: NDArray[Any],
        weights: NDArray[np.float64],
        classes: NDArray[Any],
        going_on: bool,
        groups: Groups | None,
        **changes: Any,
    ) -> Self:
        """Train, and keep what came of it. `changes` are options of `train` that this call has its own way."""
        plain_classes, label_type = plain(classes)
        names = names_of(plain_classes.tolist())
        positions = np.searchsorted(classes, given).astype(np.int32)
        images, weights = distinct(Images(pixels, positions, names, groups=groups), weights)
        before = self.history_ if going_on else []
        by_class = self.class_weight
        if isinstance(by_class, Mapping):
            name_of = dict(zip(classes.tolist(), names, strict=True))
            by_class = {name_of.get(label, label): weight for label, weight in by_class.items()}
        own = {
            "network": self._network_for(images) if going_on else self.network,
            "class_weight": by_class,
            "validation_fraction": self._share_held_out(images),
            "sample_weight": weights,
            "folds": 0,
            "seed": self._seed(len(before)),
            "start": self.model_ if going_on else None,
            "notes": _print_note if self.verbose else None,
            "verbose": int(self.verbose),
        }
        model = train(images, **({name: getattr(self, name) for name in SHARED} | own | changes))
        if model.provenance["interrupted"]:
            say(Caution("Training was interrupted: these are the best weights until then."))
        self.classes_ = classes
        self.history_ = [*before, *({**record, "epoch": len(before) + record["epoch"]} for record in model.history)]
        self.n_iter_ = len(self.history_)
        labels = tuple(n + 0.0 if isinstance(n, float) else n for n in plain_classes.tolist())
        self.model_ = replace(model, classes=labels, label_type=label_type, history=tuple(self.history_))
        self.network_ = model.network
        return self

    def _network_for(self, images: Images) -> str | tuple[Layer, ...]:
        """The network to go on with: "auto", that of the model, unless another was asked for in between."""
        if self.network == "auto":
            return "auto"
        shape = (images.channels, *images.size)
        return "auto" if network_for(self.network, shape, len(images.classes))[1] == self.network_ else self.network

    def _share_held_out(self, images: Images) -> float:
        """`validation_fraction`, or 0 where nothing is to be held out, or too little to be of use."""
        share = self.validation_fraction
        if not self.early_stopping:
            return 0.0
        enough = len(images) * share >= FEWEST_HELD_OUT and min(images.counts()) >= 2
        return share if enough or not 0 <= share < 1 else 0.0

    def _seed(self, epochs_done: int) -> int:
        """31 bits, others for each call that goes on, so that no two passes are alike."""
        first = int(check_random_state(self.random_state).randint(2**31 - 1))
        return (first + epochs_done) % 2**31


def _print_note(note: str) -> None:
    (say if isinstance(note, Caution) else tell)(note)
