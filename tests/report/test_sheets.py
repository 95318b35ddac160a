"""Images in the page, decoded again."""

import base64
import io

import numpy as np
from PIL import Image

from lanewise.data.encode import Drawn
from lanewise.report.sheets import NEGATIVE, POSITIVE, coloured, contact_sheet, smaller


def decoded(drawn: Drawn) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(drawn.uri.partition(",")[2])))
    assert (image.height, image.width) == (drawn.rows, drawn.columns)
    return np.asarray(image.convert("RGBA"))


def test_values_are_colours_and_gaps_are_clear():
    maps = np.array([[[1.0, -1.0]], [[0.0, 0.5]], [[0.0, 2.0]]])
    found = decoded(coloured(maps, 2))
    assert found.shape == (3, 5, 4)
    assert tuple(found[0, 0]) == (*POSITIVE, 255)
    assert tuple(found[0, 1]) == (*NEGATIVE, 255)
    assert found[0, 2, 3] == 0
    assert 0 < found[0, 3, 3] < found[0, 4, 3] < 255
    assert tuple(found[2, 1]) == (*POSITIVE, 255), "beyond 1 is 1"
    assert found[2, 3, 3] == 0, "no fourth map"
    assert decoded(coloured(maps, 2, faint=False))[0, 3, 3] == 0


def test_sheet_holds_the_images_in_order():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.full((3, 2, 2, 1), 50, np.uint8)
    found = decoded(contact_sheet(images, 2))
    assert found.shape == (5, 5, 4)
    assert [found[0, 0, 0], found[0, 3, 0], found[3, 0, 0]] == [0, 50, 100]
    assert found[0, 2, 3] == found[3, 3, 3] == 0


def test_large_maps_are_averaged():
    maps = np.arange(16.0).reshape(1, 4, 4)
    assert smaller(maps, 2).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
    assert smaller(maps, 4) is maps
