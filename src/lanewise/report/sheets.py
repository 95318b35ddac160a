"""Several arrays as one image in the page: images side by side, and values as colours.

Values are orange above 0 and blue below it, the more opaque the larger: what lies behind shows through where there is
nothing, so that one image does for light pages and for dark ones, and may lie over a photograph.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lanewise.data.encode import Drawn, exact, indexed, tiled

POSITIVE, NEGATIVE, NOTHING = (222, 98, 20), (48, 118, 196), (128, 128, 128)
"""Red, green and blue."""

MIDDLE, GAP = 127, 255
"""Numbers of colours: of a value of 0, and of the gap between maps; 0 is a value of -1 and 254 one of 1."""

FAINT = 26
"""Opacity, of 255, of a value of 0 where it should be told from a gap."""

Values = npt.NDArray[np.float64]


def contact_sheet(images: npt.NDArray[np.uint8], columns: int) -> Drawn:
    """Images (N, rows, columns, 1 or 3) side by side, `columns` in a row, a transparent pixel between them."""
    step = max(1, -(-max(images.shape[1:3]) // 96))
    small = images[:, ::step, ::step]
    colours = np.broadcast_to(small, (*small.shape[:3], 3))
    return exact(tiled(np.concatenate([colours, np.full_like(small[..., :1], 255)], axis=3), columns, 0))


def coloured(maps: Values, columns: int, *, faint: bool = True) -> Drawn:
    """Draw maps side by side, with gaps of a pixel.

    Parameters
    ----------
    maps : (N, rows, columns) float
        From -1 (blue) to 1 (orange).
    columns : int
        Maps in a row.
    faint : bool
        Let values of 0 show faintly, so that they differ from a gap.

    Returns
    -------
    Drawn
    """
    sheet = tiled(np.rint(np.clip(maps, -1, 1) * MIDDLE + MIDDLE).astype(np.uint8), columns, GAP)
    numbers = range(256)
    return indexed(sheet, [_colour(number) for number in numbers], [_opacity(number, faint) for number in numbers])


def smaller(maps: Values, largest: int) -> Values:
    """Maps (N, rows, columns) of at most `largest` rows and columns: means of squares."""
    step = -(-max(maps.shape[1:]) // largest)
    if step == 1:
        return maps
    rows, columns = (size // step * step for size in maps.shape[1:])
    if not rows or not columns:
        return maps[:, ::step, ::step]
    blocks = maps[:, :rows, :columns].reshape(len(maps), rows // step, step, columns // step, step)
    return np.asarray(blocks.mean(axis=(2, 4)))


def _colour(number: int) -> tuple[int, int, int]:
    return NOTHING if number in (MIDDLE, GAP) else POSITIVE if number > MIDDLE else NEGATIVE


def _opacity(number: int, faint: bool) -> int:
    if number == GAP:
        return 0
    return max(FAINT if faint else 0, round(255 * abs(number - MIDDLE) / MIDDLE))
