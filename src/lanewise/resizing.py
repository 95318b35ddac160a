"""How an image of another shape is brought to a network's size, in whole pixels: which part of it, and to what size.

stretch     all of it, to the size: its aspect ratio changes
pad         all of it, as large as fits, in the middle; the rest has its mean colour
crop        the largest part in the middle that has the shape of the size
"""

from __future__ import annotations

from lanewise.errors import OptionError

STRETCH, PAD, CROP = FITS = ("stretch", "pad", "crop")

Size = tuple[int, int]
"""Rows and columns."""


def check_fit(fit: str) -> None:
    """Refuse a word that is none of `FITS`, like one that a later version wrote into a file."""
    if fit not in FITS:
        raise OptionError(f"images cannot be resized by {fit!r}: this version knows {', '.join(FITS)}")


def largest(shape: Size, room: Size) -> Size:
    """The largest rectangle of the shape of one, rounded to whole pixels, that lies within another."""
    (rows, columns), (high, wide) = shape, room
    if rows * wide <= columns * high:
        return max(1, (2 * rows * wide + columns) // (2 * columns)), wide
    return high, max(1, (2 * columns * high + rows) // (2 * rows))


def part_and_content(fit: str, came: Size, size: Size) -> tuple[Size, Size]:
    """The part of an image that is taken, and the size it is resized to, which is `size` unless it is padded.

    Parameters
    ----------
    fit : str
        One of `FITS`.
    came : (rows, columns)
        Of the image.
    size : (rows, columns)
        What it becomes.
    """
    if fit == CROP:
        return largest(size, came), size
    return came, largest(came, size) if fit == PAD else size


def middle(part: Size, room: Size) -> Size:
    """Where a part begins that lies in the middle of more; an odd pixel is left below and to the right."""
    return (room[0] - part[0]) // 2, (room[1] - part[1]) // 2


def reduction(fit: str, came: Size, size: Size) -> int:
    """By how much a JPEG is made smaller while it is decoded, 1, 2, 4 or 8: at least twice what is needed is left.

    Parameters
    ----------
    fit, came, size
        As for `part_and_content`.
    """
    part, content = part_and_content(fit, came, size)
    room = min(part[0] // (2 * content[0]), part[1] // (2 * content[1]))
    return next((factor for factor in (8, 4, 2) if factor <= room), 1)
