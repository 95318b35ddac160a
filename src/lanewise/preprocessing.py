"""What happens to images before a network sees them: one value, which training, prediction and model files share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.errors import OptionError
from lanewise.resizing import STRETCH, check_fit

PixelType = Literal["uint8", "float32"]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Means and standard deviations that most networks for colour photographs were trained with."""

USUAL: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": IMAGENET,
    "unit": ((0.0,), (1.0,)),
    "symmetric": ((0.5,), (0.5,)),
    "bytes": ((0.0,), (1 / 255,)),
}
"""The usual ways to prepare pixels, by a mean and a standard deviation on the scale from 0 to 1."""


def type_of(pixels: NDArray[Any]) -> PixelType:
    """The type of raw pixels: bytes, or else floats."""
    return "uint8" if pixels.dtype == np.uint8 else "float32"


@short
@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What happens to an image before the network sees it: x = raw * scale + offset, channel by channel.

    Parameters
    ----------
    rows, columns, channels : int
        Size of the images that enter, in pixels.
    dtype : {"uint8", "float32"}
        Type of the raw pixels.
    scale, offset : tuple of float, one for each channel
        Rounded to float32 here, so that what is saved is what was used.
    resize : str, optional
        How images of another shape are brought to this size: a word of `resizing.FITS`. None if no image was when the
        network was trained.
    value_range : (low, high), optional
        The smallest and the largest raw value of the training set, so that data on another scale are noticed; None in
        files that say nothing of it.
    bits : int
        Of pixels with more than 8 bits in their file, how many are in use: the upper 8 of them are kept.
    standardised : bool
        Whether each scale is 1 / the standard deviation of the training set; of a network from elsewhere it is not.
    """

    rows: int
    columns: int
    channels: int
    dtype: PixelType
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    resize: str | None = None
    value_range: tuple[float, float] | None = None
    bits: int = 16
    standardised: bool = True

    def __post_init__(self) -> None:
        """Check the values and round them."""
        if min(self.rows, self.columns, self.channels) < 1:
            raise OptionError(
                f"images of {self.rows}x{self.columns}x{self.channels} have no pixels; every size is 1 or more"
            )
        if self.dtype not in get_args(PixelType):
            raise OptionError(f"pixels of type {self.dtype!r}: a network takes uint8 or float32")
        for name, values in (("scale", self.scale), ("offset", self.offset)):
            with np.errstate(over="ignore"):
                rounded = tuple(float(np.float32(value)) for value in values)
            if len(rounded) != self.channels or not all(map(math.isfinite, rounded)):
                raise OptionError(
                    f"{name} of the preprocessing is {_some(values)}: "
                    f"one finite number for each of {self.channels} channels"
                )
            object.__setattr__(self, name, rounded)
        if self.value_range is not None:
            low, high = map(float, self.value_range)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise OptionError(f"value_range is {self.value_range}: the smallest and the largest value of pixels")
            object.__setattr__(self, "value_range", (low, high))
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 8 <= self.bits <= 16:
            raise OptionError(f"bits is {self.bits!r}: of pixels with more than 8 bits, 8 to 16 are in use")

    @property
    def fit(self) -> str:
        """How images of another shape are brought to this size; stretched, if none was when the network was trained.

        Raises
        ------
        OptionError
            By a word that a later version wrote.
        """
        fit = self.resize or STRETCH
        check_fit(fit)
        return fit

    @property
    def kernel_type(self) -> Literal["u8", "f32"]:
        """The pixel type in a lane program's words."""
        return "u8" if self.dtype == "uint8" else "f32"

    @property
    def constants(self) -> dict[str, NDArray[np.float32]]:
        """Scale and offset as arrays, by name, as kernels and files take them."""
        return {"scale": np.array(self.scale, np.float32), "offset": np.array(self.offset, np.float32)}

    def computes_as(self, other: Preprocessing) -> bool:
        """Whether the same images of the same size and type become the same numbers."""
        ours, theirs = ((one.shape, one.dtype, one.scale, one.offset) for one in (self, other))
        return ours == theirs

    def of_bytes(self, mean: tuple[float, ...], std: tuple[float, ...], resize: str) -> Preprocessing:
        """That of a network from elsewhere which takes (x / 255 - mean) / std, for bytes x.

        Parameters
        ----------
        mean, std : tuple of float
            One for each channel, or one for all.
        resize : str
            How images of another size are brought to this one.

        Raises
        ------
        OptionError
            Numbers that do not fit, or a network that prepares its images itself.
        """
        ones, zeros = (1.0,) * self.channels, (0.0,) * self.channels
        if self.dtype != "float32" or self.value_range is not None or (self.scale, self.offset) != (ones, zeros):
            raise OptionError("the model prepares its images itself: leave out how they are to be prepared")
        for name, numbers in (("mean", mean), ("std", std)):
            if len(numbers) not in (1, self.channels) or not all(map(math.isfinite, numbers)):
                raise OptionError(
                    f"{name} is {_some(numbers)}: one finite number, or one for each of {self.channels} channels"
                )
        if min(std) <= 0:
            raise OptionError(f"std is {std}: standard deviations are above 0")
        means, stds = (np.broadcast_to(numbers, self.channels).astype(np.float64) for numbers in (mean, std))
        scale, offset = tuple((1 / (255 * stds)).tolist()), tuple((-means / stds).tolist())
        return replace(self, dtype="uint8", scale=scale, offset=offset, value_range=(0.0, 255.0), resize=resize)

    def taking(self, dtype: PixelType) -> Preprocessing:
        """The same for raw pixels of another type."""
        return replace(self, dtype=dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, columns, channels) of one image."""
        return self.rows, self.columns, self.channels

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Raw pixels (N, rows, columns, channels) as the network takes them: (N, channels, rows, columns) float32."""
        constants = self.constants
        scaled = pixels.astype(np.float32) * constants["scale"] + constants["offset"]
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _some(numbers: tuple[float, ...]) -> str:
    """As many of them as one can read."""
    return f"{numbers[:6]}" if len(numbers) <= 6 else f"{len(numbers):,} numbers"
