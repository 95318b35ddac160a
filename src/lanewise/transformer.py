"""The features that a pretrained network has of images, as a scikit-learn transformer.

    make_pipeline(CNNFeatures("lite0"), LogisticRegression()).fit(images, labels)

Nothing is learned from the images but their shape and their scale, so the features of an image do not depend on the
others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from lanewise.errors import OptionError
from lanewise.estimator import Pixels, checked
from lanewise.evaluation.samples import shape_of
from lanewise.inputs import raw_pixels
from lanewise.model import Model
from lanewise.notes import Caution, say
from lanewise.pretrained.load import load_start
from lanewise.training.features import Backbone
from lanewise.training.new_head import backbone_of

__all__ = ["CNNFeatures"]

SPANS = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
"""The usual ranges of pixels: the first that holds all values is taken for theirs."""


class CNNFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What a trained network gives for images before its last layer, for other methods to learn from.

    Parameters
    ----------
    model : str, path or Model, default "lite0"
        The name of a pretrained network, a model file, or a model.
    image_shape : (rows, columns) or (rows, columns, channels), optional
        Shape of the image that a row of a two-dimensional X is. By default it is that of the model's own images if a
        row has as many values, and 1 x features with one channel otherwise.
    cut : str, optional
        The layer whose values are the features; maps are averaged. By default the last global pooling, or what the
        last dense layer reads.
    threads : int, optional
        Number of threads, one per processor by default; the result does not depend on it.

    Attributes
    ----------
    model_ : Model
    scale_ : (float, float)
        What arrays of floats are multiplied by, and what is added, to be on the scale of the model's images.
    n_features_in_ : int
        Only after fitting a two-dimensional X.
    feature_names_in_ : ndarray of str
        Only after fitting a data frame whose columns are named by strings.

    Examples
    --------
    >>> from lanewise import CNNFeatures
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> classifier = make_pipeline(CNNFeatures("lite0"), LogisticRegression(max_iter=1000))
    """

    model_: Model
    scale_: tuple[float, float]

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = "lite0",
        *,
        image_shape: Sequence[int] | None = None,
        cut: str | None = None,
        threads: int | None = None,
    ) -> None:
        """Keep the parameters as they are; `fit` looks at them."""
        self.model, self.image_shape, self.cut, self.threads = model, image_shape, cut, threads

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Load the model, and look at shape and scale of the images.

        Parameters
        ----------
        X : (samples, features), (samples, rows, columns), (samples, rows, columns, channels), or names of files
            Bytes are pixels from 0 to 255. Other numbers are taken for pixels from 0 to 1, 0 to 255, or -1 to 1, the
            first that holds them all; those that are none of these are stretched over the range of the model's images,
            with a warning.
        y : ignored

        Raises
        ------
        ValueError, OSError
            Something does not fit, or the model cannot be read; the message names it.
        """
        if not isinstance(self.model, str | os.PathLike | Model):
            raise OptionError(f"model must be a Model, a file, or the name of a pretrained network, not {self.model!r}")
        self.model_ = self.model if isinstance(self.model, Model) else load_start(self.model)
        graph, _ = backbone_of(self.model_, self.cut)
        self._n_features_out = int(np.prod(graph.output_shape))
        images = self._images(X, reset=True)
        self.scale_ = self._scale(images)
        raw_pixels(images[:1], self.model_.preprocessing)  # refuses what does not fit
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """The features (samples, features) of images, from disk as far as they were computed before.

        Parameters
        ----------
        X : as for `fit`
        """
        check_is_fitted(self, "scale_")
        images = self._images(X)
        gain, shift = self.scale_
        if images.dtype != np.uint8 and (gain, shift) != (1.0, 0.0):
            images = images * np.float32(gain) + np.float32(shift)
        pixels = raw_pixels(images, self.model_.preprocessing)
        graph, taken = backbone_of(self.model_, self.cut)
        parameters = [self.model_.parameters[place] for place in taken]
        features = Backbone(graph, parameters, self.model_.preprocessing, self.threads).features(pixels)
        return features.reshape(len(features), -1)

    def __sklearn_tags__(self) -> Any:
        """Whatever comes in, float32 comes out."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _images(self, X: ArrayLike, reset: bool = False) -> Pixels:
        """(samples, rows, columns, channels), of files at the model's size; with `reset`, X is that of `fit`."""
        preprocessing = self.model_.preprocessing
        if _are_files(X):
            return raw_pixels(X, preprocessing)
        array = checked(self, X, reset=reset)
        wanted = self.image_shape
        if wanted is None and array.ndim == 2 and array.shape[1] == int(np.prod(preprocessing.shape)):
            wanted = preprocessing.shape
        images: Pixels = array.reshape(len(array), *shape_of(array.shape, wanted))
        return images

    def _scale(self, pixels: Pixels) -> tuple[float, float]:
        """What brings values on the scale of these images to that of the model's."""
        own = self.model_.preprocessing.value_range
        if own is None or pixels.dtype == np.uint8 or _span(*own) not in SPANS:
            return 1.0, 0.0
        given = _span(float(pixels.min()), float(pixels.max()))
        (low, high), (first, last) = given, _span(*own)
        if given not in SPANS:
            say(
                Caution(
                    f"Values from {low:.4g} to {high:.4g} are not on a usual scale of pixels: they are stretched over "
                    f"{first:g} to {last:g}, the range of the model's images."
                )
            )
        gain = (last - first) / ((high - low) or 1.0)
        return gain, first - low * gain


def _are_files(X: Any) -> bool:
    """Whether these are names of files, in a list, an array, or a column of a data frame."""
    if getattr(X, "ndim", 1) != 1 or not (isinstance(X, list | tuple) or hasattr(X, "dtype")):
        return False
    names = list(X)
    return bool(names) and all(isinstance(name, str | os.PathLike) for name in names)


def _span(low: float, high: float) -> tuple[float, float]:
    """The first of the usual ranges that holds values from `low` to `high`, or these themselves."""
    return next((span for span in SPANS if span[0] <= low and high <= span[1]), (low, high))
