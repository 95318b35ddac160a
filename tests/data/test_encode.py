"""Arrays as images in a page, decoded again."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lanewise.data.encode import Drawn, as_bytes, photograph


def decoded(drawn: Drawn) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(drawn.uri.partition(",")[2])))
    assert (image.height, image.width) == (drawn.rows, drawn.columns)
    return np.asarray(image)


@pytest.mark.parametrize("channels", [1, 3])
def test_small_photographs_keep_every_pixel(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, channels), np.uint8)
    assert (decoded(photograph(pixels)).reshape(pixels.shape) == pixels).all()


def test_large_photographs_become_small():
    assert max(decoded(photograph(np.zeros((500, 300, 1), np.uint8))).shape[:2]) == 192


def test_photographs_of_real_numbers_are_stretched():
    assert decoded(photograph(np.array([[[-1.0], [3.0]]], np.float32))).tolist() == [[0, 255]]


def test_any_pixels_can_be_looked_at():
    real = as_bytes(np.array([-2.0, 0.0, 2.0], np.float32).reshape(3, 1, 1, 1))
    assert real.ravel().tolist() == [0, 128, 255]
    assert as_bytes(np.zeros((2, 3, 3, 2), np.float32)).shape == (2, 3, 3, 1)
    assert as_bytes(np.ones((1, 2, 2, 5), np.uint8)).shape == (1, 2, 2, 1)
