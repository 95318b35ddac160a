"""Arrays as images: what is taken, what it becomes, and what the refusals say."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lanewise.data.arrays import DIGITS_FILE, from_arrays, read_npz, read_npz_to_evaluate
from lanewise.data.images import SLACK, statistics
from lanewise.data.load import load as read
from lanewise.data.load import load_to_evaluate
from lanewise.data.split import stratified_split
from lanewise.errors import DataError, OptionError
from lanewise.notes import Caution, unheard

load = partial(read, notes=unheard)

Y = [0, 1, 1]


def counted(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape)


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (counted(3, 4, 5).astype(np.uint8), np.uint8),
        (counted(3, 4, 5), np.uint8),
        (counted(3, 4, 5) * 5, np.float32),
        (counted(3, 4, 5) - 1, np.float32),
        (counted(3, 4, 5) % 2 == 0, np.uint8),
        (counted(3, 4, 5) / 7, np.float32),
        (counted(3, 4, 5).astype(np.float16), np.float32),
        (counted(3, 4, 5).astype(np.uint16), np.uint8),
    ],
)
def test_types(x: np.ndarray, dtype: type) -> None:
    images = from_arrays(x, Y)
    assert images.pixels.dtype == dtype
    assert images.pixels.shape == (3, 4, 5, 1)
    assert images.pixels.flags.c_contiguous
    np.testing.assert_array_equal(images.pixels[..., 0], x.astype(dtype))


def test_what_fits_is_not_copied() -> None:
    for dtype in (np.uint8, np.float32):
        x = np.zeros((3, 4, 5, 2), dtype)
        assert np.shares_memory(from_arrays(x, Y).pixels, x)


def test_order_in_memory_does_not_matter() -> None:
    x = np.asfortranarray(counted(3, 4, 5, 2).astype(np.uint8))
    pixels = from_arrays(x[::-1], Y).pixels
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, x[::-1])


def test_rows_of_numbers() -> None:
    x = counted(3, 24)
    assert from_arrays(x, Y).pixels.shape == (3, 1, 24, 1)
    assert from_arrays(x, Y, image_shape=(4, 6)).pixels.shape == (3, 4, 6, 1)
    coloured = from_arrays(x, Y, image_shape=(2, 4, 3))
    np.testing.assert_array_equal(coloured.pixels, x.reshape(3, 2, 4, 3))
    for wrong in [(5, 5), (24,), (-4, -6), (2, 2, 2, 3)]:
        with pytest.raises(DataError, match="a row of 24 numbers does not fit"):
            from_arrays(x, Y, image_shape=wrong)


def test_image_shape_must_agree() -> None:
    from_arrays(counted(3, 4, 6), Y, image_shape=(4, 6))
    from_arrays(counted(3, 4, 6), Y, image_shape=(4, 6, 1))
    with pytest.raises(DataError, match="images are 4x6x1, but image_shape says 6x4"):
        from_arrays(counted(3, 4, 6), Y, image_shape=(6, 4))


def test_channels_first_are_moved_and_said() -> None:
    """Where only that makes sense; a long series of few numbers may well be one row of many channels."""
    x = counted(3, 3, 8, 9)
    found = from_arrays(x, Y)
    np.testing.assert_array_equal(found.pixels, x.transpose(0, 2, 3, 1))
    assert isinstance(found.notes[0], Caution)
    assert "8x9 with 3 channels, which come first" in found.notes[0]
    for shape in ((3, 8, 8, 3), (3, 1, 100, 12), (3, 8, 8, 8), (3, 3, 3, 3)):
        assert from_arrays(counted(*shape), Y).notes == ()
        assert from_arrays(counted(*shape), Y).pixels.shape == shape


@pytest.mark.parametrize(
    ("value", "says"),
    [(np.nan, "NaN"), (-np.inf, "infinity"), (1e300, "1e\\+300, too large for float32,")],
)
def test_what_is_not_finite_is_named(value: float, says: str) -> None:
    x = np.zeros((2000, 4, 5))
    x[1700, 3, 4] = value
    with pytest.raises(DataError, match=f"image 1700 holds {says} at row 3, column 4:"):
        from_arrays(x, np.arange(2000) % 2)
    coloured = np.zeros((2, 4, 5, 3))
    coloured[1, 2, 3, 1] = value
    with pytest.raises(DataError, match=r"image 1 holds .* at row 2, column 3, channel 1"):
        from_arrays(coloured, [0, 1])


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.zeros((0, 4, 5)), "no images in an array of shape \\(0, 4, 5\\)"),
        (np.zeros((3, 0)), "no images"),
        (np.zeros(3), "shape \\(3,\\) is not a set of images"),
        (np.zeros((3, 4, 5, 1, 1)), "is not a set of images"),
        (np.array([["a"]]), "must be numbers, but the array holds <U1"),
        (np.zeros((3, 4, 5), complex), "complex128"),
        (None, "object"),
        ([np.zeros((4, 5)), np.zeros((5, 4))], "differ in shape"),
    ],
)
def test_no_images(x: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        from_arrays(x, Y)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("y", "classes", "labels"),
    [
        ([7, -2, 7], ("-2", "7"), [1, 0, 1]),
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        (["dog", "cat", "dog"], ("cat", "dog"), [1, 0, 1]),
        (np.array(["dog", "cat", "dog"], object), ("cat", "dog"), [1, 0, 1]),
        (np.array(["dog", "cat", "dog"], "S"), ("cat", "dog"), [1, 0, 1]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        ([1.0, 0.0, 1.0], ("0", "1"), [1, 0, 1]),
        ([[1], [0], [1]], ("0", "1"), [1, 0, 1]),
    ],
)
def test_labels(y: object, classes: tuple[str, ...], labels: list[int]) -> None:
    images = from_arrays(counted(3, 4, 5), y)  # type: ignore[arg-type]
    assert images.classes == classes
    assert images.labels is not None
    assert images.labels.dtype == np.int32
    assert images.labels.tolist() == labels


@pytest.mark.parametrize(
    ("y", "says"),
    [
        ([0, 1], "3 images but 2 labels"),
        ([1, 1, 1], "all labels are 1"),
        ([0.0, 1.5, 1.0], "label 1 is 1.5"),
        ([0.0, 1.0, np.nan], "label 2 is nan"),
        ([0.0, 1.0, np.inf], "label 2 is inf"),
        (np.eye(3), "argmax"),
        (np.array(["a", None, "b"], object), "is None: labels are classes"),
        (np.array([[1], [1, 2], 3], object), "list, whole number"),
        (np.array([1j, 2, 3]), "complex128"),
    ],
)
def test_labels_refused(y: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        from_arrays(counted(3, 4, 5), y)  # type: ignore[arg-type]


def test_labels_of_known_classes() -> None:
    x = counted(3, 4, 5)

    def labels(y: list[object], classes: tuple[str, ...]) -> list[int]:
        return from_arrays(x, y, classes=classes).labels.tolist()  # type: ignore[arg-type, union-attr]

    assert labels(["b", "b", "a"], ("b", "a", "c")) == [0, 0, 1]
    assert labels([2, 2, 2], ("b", "a", "c")) == [2, 2, 2]  # one class alone is fine when the classes are known
    assert labels([20, 10, 20], ("10", "20")) == [1, 0, 1]
    with pytest.raises(DataError, match="label 1 is d, which is none of the classes a, b"):
        labels(["a", "d", "a"], ("a", "b"))
    with pytest.raises(DataError, match="label 2 is 2: with 2 classes it must be 0 to 1"):
        labels([0, 1, 2], ("a", "b"))
    with pytest.raises(DataError, match="label 0 is 0, which is none of the classes 10, 20"):
        labels([0, 1, 1], ("10", "20"))
    with pytest.raises(DataError, match="not all different"):
        labels([0, 1, 1], ("a", "a"))


def test_no_labels() -> None:
    images = from_arrays(counted(3, 4, 5))
    assert images.labels is None
    assert images.counts() == ()


def save(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


X8 = counted(4, 2, 3).astype(np.uint8)
Y8 = np.array([1, 0, 1, 0])


def test_npz(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.npz",
        x_train=X8,
        y_train=Y8,
        x_val=X8[:1],
        y_val=Y8[:1],
        x_test=X8,
        y_test=Y8,
        class_names=["b", "a"],
    )
    sets = load(path)
    assert sets.train.classes == ("b", "a")
    assert sets.train.labels is not None
    assert sets.train.labels.tolist() == [1, 0, 1, 0]
    np.testing.assert_array_equal(sets.train.pixels[..., 0], X8)
    assert sets.validation is not None
    assert sets.test is not None
    assert (len(sets.train), len(sets.validation), len(sets.test)) == (4, 1, 4)
    assert sets.notes == ("the validation set holds no image of 'b'",)
    assert sets.train.pixels.base is not None
    assert sets.train.pixels.base.nbytes - sets.train.pixels.nbytes >= SLACK


def test_npz_x_and_y_alone(tmp_path: Path) -> None:
    sets = read_npz(save(tmp_path / "a.npz", x=X8, y=np.array(["u", "v", "u", "u"])))
    assert sets.train.classes == ("u", "v")
    assert sets.validation is None
    assert sets.test is None


def test_npz_to_evaluate(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x_test=X8, y_test=[1, 1, 1, 1], class_names=["b", "a"])
    part, images = read_npz_to_evaluate(path, ("a", "b", "c"))
    assert part == "test"
    assert images.labels is not None
    assert images.labels.tolist() == [0, 0, 0, 0]  # by name: the file's 1 is the model's 0
    assert read_npz_to_evaluate(save(tmp_path / "b.npz", x=X8, y=Y8), ("0", "1"))[0] == "all"
    with pytest.raises(DataError, match="hold images of 2x3x1, not 2x4x1"):
        load_to_evaluate(path, classes=("a", "b", "c"), size=(2, 4), channels=1)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": X8}, "holds images: it needs x_train and y_train"),
        ({"x_train": X8}, "holds x_train but not y_train"),
        ({"x_train": X8, "y_train": Y8[:2]}, "x_train: there are 4 images but 2 labels"),
        ({"x_train": X8, "y_train": Y8, "x_test": X8, "y_test": Y8 + 1}, "x_test: label 0 is 2, which is none"),
        (
            {"x_train": X8, "y_train": Y8, "x_test": X8[:, :1], "y_test": Y8},
            "x_test are 1x3x1, .* training images are 2x3x1",
        ),
        ({"x": X8, "y": Y8 * 0}, "all labels are 0"),
        ({"x": X8, "y": Y8 * 0, "class_names": ["a", "b"]}, "all images are of one class"),
        ({"x": X8, "y": Y8 + 1, "class_names": ["a", "b"]}, "label 0 is 2: with 2 classes it must be 0 to 1"),
        ({"x": X8.astype(object), "y": Y8}, "'x.npy' holds Python objects, which are not loaded"),
    ],
)
def test_npz_refused(tmp_path: Path, arrays: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says) as error:
        load(save(tmp_path / "a.npz", **arrays))
    assert "a.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_npz_damaged(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=X8, y=Y8)
    whole = path.read_bytes()
    for content in (b"", b"nothing", whole[: len(whole) // 2], whole.replace(b"NUMPY", b"NIMPY")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cannot be read as an .npz file"):
            load(path)
    np.save(tmp_path / "b.npy", X8)
    (tmp_path / "b.npy").rename(path)
    with pytest.raises(DataError, match="is one array"):
        load(path)
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path / "c.npz")


def test_arrays_are_never_resized() -> None:
    x = counted(3, 4, 5)
    load((x, Y), size="4x5", channels=1)
    with pytest.raises(DataError, match="4x5x1, not 8x8x1"):
        load((x, Y), size=8)
    with pytest.raises(DataError, match="4x5x1, not 4x5x3"):
        load((x, Y), channels=3)
    with pytest.raises(OptionError, match="2 channels"):
        load((x, Y), channels=2)


def test_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sets = load("digits")
    assert sets.test is not None
    assert sets.train.pixels.shape == (1438, 8, 8, 1)
    assert sets.test.pixels.shape == (359, 8, 8, 1)
    assert sets.train.classes == tuple("0123456789")
    assert sets.train.pixels.max() == 240
    assert min(sets.test.counts()) >= 35
    images, part = load_to_evaluate("digits", classes=sets.train.classes, size=(8, 8), channels=1)
    assert part == "test"
    np.testing.assert_array_equal(images.pixels, sets.test.pixels)
    assert sets.notes == ()
    (tmp_path / "digits").mkdir()
    assert "./digits" in load("digits").notes[0]


def test_digits_are_those_of_the_source() -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn carries the same digits")
    original = datasets.load_digits()
    x, y = original.images * 15, original.target
    train, test = stratified_split(y, 0.2, 0)
    sets = read_npz(DIGITS_FILE)
    for part, chosen in ((sets.train, train), (sets.test, test)):
        assert part is not None
        np.testing.assert_array_equal(part.pixels[..., 0], x[chosen])
        np.testing.assert_array_equal(part.labels, y[chosen])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_statistics(dtype: type) -> None:
    x = np.random.default_rng(0).integers(0, 256, (700, 5, 7, 3)).astype(dtype)
    x[..., 2] = 9
    if dtype is np.float32:
        x[..., 0] = x[..., 0] / 1000 + 1000
        x[..., 2] = 0.1
    mean, std = statistics(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std[:2], wide.std(axis=(0, 1, 2))[:2], rtol=1e-9)
    assert std[2] == 1
    chosen = np.array([3, 4, 5, 90, 699])
    np.testing.assert_allclose(statistics(x, chosen)[0], wide[chosen].mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_array_equal(statistics(x, chosen), statistics(x[chosen]))


def test_statistics_of_the_brightest_images() -> None:
    """The sums of squares of a whole block still fit."""
    x = np.full((600, 3, 3, 1), 255, np.uint8)
    x[::2] = 254
    mean, std = statistics(x)
    assert (mean[0], std[0]) == (254.5, 0.5)


def test_split_is_stratified() -> None:
    labels = np.repeat(np.arange(4, dtype=np.int32), [100, 10, 2, 1])
    train, held_out = stratified_split(labels, 0.2, seed=3)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(113))
    assert np.bincount(labels[held_out], minlength=4).tolist() == [20, 2, 1, 0]
    assert (np.diff(train) > 0).all()
    assert (np.diff(held_out) > 0).all()
    assert np.bincount(labels[stratified_split(labels, 0.99, 0)[0]]).tolist() == [1, 1, 1, 1]


def test_split_depends_on_the_seed_alone() -> None:
    labels = np.arange(1000, dtype=np.int32) % 3
    first, again, other = (stratified_split(labels, 0.1, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(np.intersect1d(first, other)) < 30
    assert first[:8].tolist() == [2, 4, 32, 33, 42, 43, 53, 88]  # the same on every machine, for ever
    assert 300 < first.mean() < 700


def test_split_refused() -> None:
    for fraction in (0.0, 1.0, -0.5, float("nan")):
        with pytest.raises(OptionError, match="validation fraction"):
            stratified_split(np.array([0, 0, 1, 1], np.int32), fraction, 0)
    with pytest.raises(DataError, match="no class has two images"):
        stratified_split(np.array([0, 1], np.int32), 0.5, 0)
