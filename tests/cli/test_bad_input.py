"""One line that names the culprit, and nothing lost."""

import struct
import zlib

import numpy as np
import pytest

from tests.cli.conftest import FAST, error_of, failed, make_images, misused, run, told


def test_usage(photos):
    assert "not both" in misused(run("train", photos, "--epochs", 3, "--budget", "3s"))
    for budget in ("soon", "0s", "-3s", "1e400s", "nan", "3 weeks"):
        assert "is no time" in misused(run("train", photos, f"--budget={budget}"))
    assert "'--epochs'" in misused(run("train", photos, "--epochs", 0))
    assert "'--optimizer'" in misused(run("train", photos, "--optimizer", "adam"))


def test_no_such_folder():
    assert failed(run("train", "nowhere")) == "lanewise: no such folder: nowhere\n"


def test_an_empty_class(photos):
    (photos / "empty").mkdir()
    assert "'empty'" in failed(run("train", photos))


def test_one_class_only(tmp_path):
    make_images(tmp_path / "one", {"dark": 3})
    assert "only one class, 'dark'" in failed(run("train", tmp_path / "one"))


def test_broken_files_are_skipped_listed_and_counted(photos):
    whole = (photos / "dark" / "da-00.png").read_bytes()
    (photos / "dark" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (photos / "light" / "no[b]image\x1b.png").write_text("hello")
    result = run("train", photos, *FAST)
    assert result.exit_code == 0
    assert "2 files" in result.stdout
    assert "dark/cut.png: " in result.stdout
    assert "light/no[b]image\\x1b.png: " in result.stdout
    assert "\x1b" not in result.stdout
    assert [one["file"] for one in told(photos, *FAST)["skipped"]] == ["dark/cut.png", "light/no[b]image\x1b.png"]
    assert "2 files skipped: dark/cut.png" in run("train", photos, *FAST, "-q").stderr
    assert "cut.png" in failed(run("train", photos, "--strict"))


def test_many_broken_files_are_counted(photos):
    for n in range(25):
        (photos / "dark" / f"broken-{n:02}.png").write_text("hello")
    shown = run("train", photos, *FAST).stdout
    assert "25 files" in shown
    assert "and 15 more" in shown
    assert "broken-09" in shown
    assert "broken-10" not in shown


def test_a_huge_image_is_refused_before_it_is_decoded(photos):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    (photos / "dark" / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))
    assert "dark/huge.png: its 20000 x 20000 pixels are more than" in run("train", photos, *FAST).stdout


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.full((4, 3, 3), np.nan), "y": [0, 1, 0, 1]}, "image 0 holds NaN"),
        ({"x": np.zeros((4, 3, 3)), "y": [0, 1, 0]}, "4 images but 3 labels"),
        ({"z": np.zeros(3)}, "needs x_train and y_train"),
    ],
)
def test_arrays_that_cannot_be_used(arrays, message, here):
    np.savez(here / "bad.npz", **arrays)
    assert message in failed(run("train", "bad.npz"))


def test_a_typo_in_the_network_is_told_before_images_are_read():
    result = run("train", "nowhere", "--network", "conv 16@3x3, rleu, dense 2")
    assert result.exit_code == 1
    assert "rleu" in result.stderr.splitlines()[1]
    assert "^^^^" in result.stderr.splitlines()[2]


def test_a_network_that_does_not_fit(photos):
    assert "there are 2 classes" in error_of("train", photos, "--network", "dense 3")
    assert "conv1" in error_of("train", photos, "--network", "conv 4@9x9, dense 2")


def test_a_network_too_large_for_memory(photos):
    assert "memory" in error_of("train", photos, "--network", "dense 200000, dense 10000, dense 2")


@pytest.mark.parametrize(
    "name", ["--learning-rate=nan", "--learning-rate=-1", "--label-smoothing=1", "--validation-fraction=2"]
)
def test_numbers_that_make_no_sense(photos, name):
    assert error_of("train", photos, *FAST, name).count("\n") == 1


def test_a_start_that_is_no_model(photos, here):
    (here / "broken.onnx").write_bytes(b"\x08\x07hello")
    assert '"broken.onnx"' in failed(run("train", photos, "--start", "broken.onnx"))
