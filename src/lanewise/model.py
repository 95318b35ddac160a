"""A trained network that predicts, and is saved as one file.

model = lanewise.train("images")
model.predict("new.jpg")
model.save("model.onnx")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise import notes
from lanewise.abstention import Threshold, threshold
from lanewise.errors import DataError, OptionError
from lanewise.inputs import raw_pixels
from lanewise.labels import typed
from lanewise.model_file import Contents, Label, read, write
from lanewise.model_file.read import MOST_BYTES
from lanewise.notes import say
from lanewise.pixel_scale import on_scale
from lanewise.preprocessing import PixelType, Preprocessing, type_of

if TYPE_CHECKING:
    from pandas import DataFrame

    from lanewise.engine.inference import Inference
    from lanewise.engine.many import OneByOne
    from lanewise.engine.single import SingleInference

__all__ = ["Model", "Preprocessing"]

Path = str | os.PathLike[str]
Pixels = NDArray[np.uint8 | np.float32]
Runner = TypeVar("Runner")


_WHEN_SAVED: WeakKeyDictionary[Model, list[Callable[[], None]]] = WeakKeyDictionary()


def _check(threads: int | None) -> None:
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, Integral) or threads < 1):
        raise OptionError(f"threads must be a whole number of at least 1, not {threads!r}")


class _Compiled(dict[PixelType, Runner]):
    """A network in machine code, by the type of raw pixels; made when it is first needed."""

    def __init__(self, make: Callable[[PixelType], Runner]) -> None:
        self._make = make

    def __missing__(self, dtype: PixelType) -> Runner:
        self[dtype] = self._make(dtype)
        return self[dtype]


@dataclass(frozen=True, eq=False, repr=False)
class Model(Contents):
    """A network with its weights, classes, preprocessing, history and provenance (see `Contents` for each)."""

    def predict_proba(self, x: ArrayLike | Path | Sequence[Path], *, threads: int | None = None) -> NDArray[np.float32]:
        """Probabilities of the classes.

        Parameters
        ----------
        x : array, path, bytes, image of Pillow's, or list of any of these
            Raw pixels (N, rows, columns, channels), (N, rows, columns) with one channel, or one such image, of any
            size; files, folders that are searched, what stands in a file, or images that Pillow has opened. All are
            brought to the size and the scale that the network was trained on.
        threads : int, optional
            All processors by default, and no more than these. The result does not depend on it.

        Returns
        -------
        ndarray of float32, (N, classes)
            In the order of `classes`; every row adds up to 1.

        Raises
        ------
        DataError
            Images of another size, with NaN or infinity, or files that cannot be used.
        OptionError
            `threads` is not a whole number of at least 1.
        """
        _check(threads)
        pixels = self.pixels(x)
        if not len(pixels):
            return np.empty((0, len(self.classes)), np.float32)
        outputs = self._outputs(pixels, threads)
        if outputs.shape[1] == 1 and len(self.classes) == 2:
            outputs = np.hstack([1 - outputs, outputs])
        return outputs

    def predict(
        self, x: ArrayLike | Path | Sequence[Path], *, abstain: float | None = None, threads: int | None = None
    ) -> NDArray[Any]:
        """The most probable class of each image, as its label.

        Parameters
        ----------
        x, threads
            As in `predict_proba`.
        abstain : float, optional
            0.01 names only images of which at most 1 % are wrong, as far as the images say that were held out when the
            model was trained: on average over such sets, for new images of the same kind. The others get None.

        Returns
        -------
        ndarray, (N,)
            With `abstain`, of objects.

        Raises
        ------
        OptionError
            So much cannot be promised; the message says what can.
        DataError
            As in `predict_proba`.
        """
        rule = None if abstain is None else self.threshold(abstain)
        labels, probabilities = typed(self.classes, self.label_type), self.predict_proba(x, threads=threads)
        chosen: NDArray[Any] = labels[probabilities.argmax(axis=1)]
        if rule is not None:
            chosen = chosen.astype(object)
            chosen[~rule.named(probabilities)] = None
        return chosen

    def threshold(self, share: float) -> Threshold:
        """How probable a class must be for the image to be named, so that at most a share of these is wrong.

        See `predict`; an OptionError says so if it cannot be promised.
        """
        return threshold(self.provenance.get("abstention"), share)

    def predict_one(self, image: ArrayLike, *, threads: int | None = None) -> NDArray[np.float32]:
        """Probabilities of the classes for one image, with the least delay.

        The network is compiled a second time, with the channels of one image in the lanes instead of 16 images.
        Sums then run in another order, so the last digits may differ from those of `predict_proba`.

        Parameters
        ----------
        image : array (rows, columns, channels), or (rows, columns) with one channel
            Raw pixels.
        threads : int, optional
            All processors by default if the network is large enough, and no more than these. The result does not
            depend on it.

        Returns
        -------
        ndarray of float32, (classes,)

        Raises
        ------
        DataError
            An image of another shape.
        OptionError
            `threads` is not a whole number of at least 1.
        """
        _check(threads)
        array = np.asarray(image)
        shape = self.preprocessing.shape
        if array.shape != shape or array.dtype != self.preprocessing.dtype or array.dtype != np.uint8:
            if array.shape not in (shape, shape[:2]):
                raise DataError(f"predict_one takes one image of shape {shape}, not an array of shape {array.shape}")
            array = self.pixels(array)[0]
        outputs = self._single[type_of(array)].run(array, threads=threads)
        if len(outputs) == 1 and len(self.classes) == 2:
            return np.array([1 - outputs[0], outputs[0]], np.float32)
        return outputs

    def pixels(self, x: ArrayLike | Path | Sequence[Path]) -> Pixels:
        """Raw pixels as the network was trained on: (N, rows, columns, channels), uint8 or float32.

        `x` and errors are as in `predict_proba`; files are decoded and resized, arrays checked.
        """
        pixels, note = on_scale(raw_pixels(x, self.preprocessing), self.preprocessing)
        if note is not None:
            say(note)
        return pixels

    def save(self, path: Path, *, input_name: str = "images") -> None:
        """Save as an ONNX file. An older file of that name is replaced whole, or not at all.

        Parameters
        ----------
        path : path
        input_name : str
            The name by which other programs give the file its images; version 0.1.0 wrote "pictures".

        Raises
        ------
        ModelFileError
            The file cannot be written; the message says why, and an older file is as it was.
        """
        write(self, path, input_name)
        for done in _WHEN_SAVED.pop(self, ()):
            done()

    def when_saved(self, done: Callable[[], None]) -> None:
        """Have something done once this model is saved: what was kept for the case that it is lost can then go."""
        _WHEN_SAVED.setdefault(self, []).append(done)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        classes: Sequence[Label] | None = None,
        most_bytes: int = MOST_BYTES,
        external_data: bool = False,
    ) -> Self:
        """Load a model that Lanewise saved, or any ONNX classifier made of layers that Lanewise has.

        Parameters
        ----------
        path : path
        classes : sequence of labels, optional
            Names for the outputs of a file from elsewhere; "0", "1", ... unless given.
        most_bytes : int
            Largest file that is read.
        external_data : bool
            Whether to read weights that the file keeps in a second one, which must lie in the same folder.

        Raises
        ------
        ModelFileError
            The file cannot be read; the message names what is wrong with it.
        """
        names = None if classes is None else tuple(classes)
        contents = read(path, classes=names, most_bytes=most_bytes, external_data=external_data)
        for note in contents.notes:
            notes.say(note)
        return cls(**{entry.name: getattr(contents, entry.name) for entry in fields(contents)})

    def __repr__(self) -> str:
        """One line that says what the model is."""
        rows, columns, channels = self.preprocessing.shape
        network = self.network or f"{len(self.graph.nodes)} nodes"
        network = network if len(network) <= 200 else f"{network[:200]}..."
        return f"<Model: {rows}x{columns}x{channels} images, {len(self.classes)} classes, {network}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: a card with the network, its accuracy and learning curves."""
        from lanewise.card import model_card

        return model_card(self)

    def to_frame(self, x: ArrayLike | Path | Sequence[Path], *, threads: int | None = None) -> DataFrame:
        """Predictions as a pandas data frame: a row for each image, columns "class", "probability" and each class.

        Options are as in `predict_proba`. A MissingPackageError says so if pandas is not installed.
        """
        from lanewise.frames import predictions_frame

        return predictions_frame(self.predict_proba(x, threads=threads), self.classes)

    def history_frame(self) -> DataFrame:
        """The history as a pandas data frame: a row for each epoch, as `history` has it."""
        from lanewise.frames import history_frame

        return history_frame(self.history)

    def _outputs(self, pixels: Pixels, threads: int | None) -> NDArray[np.float32]:
        """What the last node gives for raw pixels (N, rows, columns, channels) of uint8 or float32: (N, outputs)."""
        return self._batch[type_of(pixels)].run(np.ascontiguousarray(pixels), threads=threads)

    @cached_property
    def _batch(self) -> _Compiled[Inference | OneByOne]:
        from lanewise.engine.many import for_many

        return _Compiled(
            lambda dtype: for_many(
                self.graph, self.parameters, self.preprocessing.taking(dtype), tta=self.tta is not None
            )
        )

    @cached_property
    def _single(self) -> _Compiled[SingleInference]:
        from lanewise.engine.single import SingleInference

        return _Compiled(
            lambda dtype: SingleInference(
                self.graph, self.parameters, self.preprocessing.taking(dtype), tta=self.tta is not None
            )
        )
