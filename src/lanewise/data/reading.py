"""Many image files into one array: a size for all of them, decoding in threads, the cache."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lanewise.cache_limit import VARIABLE
from lanewise.data import decoding, image_cache
from lanewise.data.decode import MAX_PIXELS, Header, PassingError, bits_in_use, decoder, read_header, read_pixels
from lanewise.data.folders import Listing
from lanewise.data.images import Groups, Images, Pixels, empty_pixels, numbered
from lanewise.data.tree import ImageFile, printable
from lanewise.errors import DataError
from lanewise.notes import Caution, Note
from lanewise.ranks import Ranks, active
from lanewise.resizing import CROP, PAD, STRETCH
from lanewise.target import default_threads
from lanewise.wording import file_size, plural

FilesProgress = Callable[[int, int], None]
"""Called with the number of images read so far and the number of all."""

_SAMPLE = 2000  # headers that are looked at to choose a size
_CHUNK = 16  # files a task of the thread pool
_SMALL = 4096  # bytes
_KEPT = 96  # images that are all of one size up to this are left as they are
_LONG_SIDE = 64  # others are made this long at most
_DONE = {STRETCH: "stretched", PAD: "resized and padded", CROP: "cropped and resized"}

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Target:
    """Size, channels and fit of images; None is chosen by the images."""

    size: tuple[int, int] | None = None
    channels: int | None = None
    max_pixels: int = MAX_PIXELS
    bits: int | None = None
    fit: str = STRETCH


def read_listing(listing: Listing, target: Target, cache: Path, progress: FilesProgress | None = None) -> Images:
    """Decode the images of a listing, or take them from the cache.

    Parameters
    ----------
    listing : Listing
    target : Target
        Size, channels and fit of the images.
    cache : Path
        Folder of the cache.
    progress : callable, optional
        Called with the number of files that are done, and of all.

    Returns
    -------
    Images

    Raises
    ------
    DataError
        When none of the files can be read.
    """
    return _images(listing, target, *decoded(listing, target, cache, progress))


def decoded(
    listing: Listing, target: Target, cache: Path, progress: FilesProgress | None = None
) -> tuple[Pixels, dict[str, Any]]:
    """The pixels of the files that can be read, and what `decode_into` knows of all.

    Parameters
    ----------
    listing, target, cache, progress
        As for `read_listing`.
    """
    path, stamp = image_cache.entry(cache, _key(listing, target)), _stamp(listing)
    found = _kept(path, stamp, target)
    if (ranks := active()) is not None and _decode_together(ranks, listing, known=found is not None):
        size, channels = _chosen(listing.files, target)
        return _decoded(listing, target, (*size, channels), path, stamp, progress, ranks)
    if found is None:
        with image_cache.one_at_a_time(image_cache.entry(cache, stamp)):
            found = _kept(path, stamp, target)  # another process may have decoded them meanwhile
            if found is None:
                size, channels = _chosen(listing.files, target)
                found = _kept(path, stamp, replace(target, size=size, channels=channels))
            if found is None:
                return _decoded(listing, target, (*size, channels), path, stamp, progress)
    if progress is not None:
        progress(len(listing.files), len(listing.files))
    return found


def _kept(path: Path, stamp: str, target: Target) -> tuple[Pixels, dict[str, Any]] | None:
    """The decoded images from the cache, whatever was asked for when they were decoded."""
    found = image_cache.read(path, stamp)
    if found is not None:
        return found
    made = image_cache.find(path.parent, stamp, lambda shape, known: _is_as(target, shape, known))
    return None if made is None else image_cache.read(made, stamp)


def _is_as(target: Target, shape: tuple[int, ...], known: dict[str, Any]) -> bool:
    """Whether decoded images are what a target asks for."""
    how = known.get("how", {})
    if how.get("same") != _same(target):
        return False
    chosen = how["chosen"]  # size and channels that were chosen by the images
    size = target.size == shape[1:3] if target.size else chosen[0]
    channels = target.channels == shape[3] if target.channels else chosen[1]
    bits = not known["wide"] or (target.bits == known["bits"] if target.bits else chosen[2])
    return bool(size and channels and bits)


def _same(target: Target) -> str:
    """What must be the same, whatever the size."""
    return f"{target.fit} {target.max_pixels} {decoder()}"


def _decode_together(ranks: Ranks, listing: Listing, known: bool) -> bool:
    """Whether ranks share the decoding: not if all know the images, nor if these are not the same files."""
    names = hashlib.blake2b("\n".join(file.name for file in listing.files).encode(), digest_size=8).hexdigest()
    told = ranks.gather([names, known])
    return len({name for name, _ in told}) == 1 and not all(known for _, known in told)


def _decoded(
    listing: Listing,
    target: Target,
    image: tuple[int, int, int],
    path: Path,
    stamp: str,
    progress: FilesProgress | None,
    ranks: Ranks | None = None,
) -> tuple[Pixels, dict[str, Any]]:
    """Decode the images of a listing, each (rows, columns, channels), and keep them in the file of this path."""
    shape = (len(listing.files), *image)
    draft = image_cache.reserve(path, shape) if np.prod(shape) >= image_cache.IN_MEMORY else None
    pixels = empty_pixels(shape) if draft is None else draft.pixels
    try:
        file = None if draft is None else draft.path
        known = decode_into(pixels, listing.files, target.max_pixels, progress, target.bits, target.fit, file, ranks)
        count = len(pixels) - len(known["bad"])
        if count == 0:
            first = listing.files[0].name
            raise DataError(f"no image in {listing.folder} can be read; {first!r}: {known['bad'][0][1]}")
    except BaseException:
        if draft is not None:
            image_cache.discard(draft)
        raise
    known["folder"] = printable(os.path.realpath(listing.folder))
    known["how"] = {"same": _same(target), "chosen": [not target.size, not target.channels, not target.bits]}
    elsewhere = ranks is not None and not ranks.first_here
    if known.pop("passing") or elsewhere:  # what failed this time may succeed the next; one rank of a machine writes
        if draft is not None:
            image_cache.discard(draft)
    elif draft is None:
        image_cache.write(path, pixels[:count], stamp, known)
        if np.prod(shape) >= image_cache.IN_MEMORY:
            known = known | {"unkept_in": str(path.parent)}
    else:
        kept = draft.kept
        pixels = image_cache.publish(draft, path, count, stamp, known)
        known = known if kept else known | {"not_kept": pixels.nbytes}
    return pixels[:count], known


def decode_into(
    pixels: Pixels,
    files: Sequence[ImageFile],
    max_pixels: int,
    progress: FilesProgress | None = None,
    bits: int | None = None,
    fit: str = STRETCH,
    mapped: Path | None = None,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """Decode files into an array, then close the gaps of those that cannot be read.

    Parameters
    ----------
    pixels : (N, rows, columns, channels) uint8
        Receives the images.
    files : sequence of ImageFile
        N files.
    max_pixels : int
        Larger images are refused before they are decoded.
    progress : callable, optional
        Called with the number of files that are done, and of all.
    bits : int, optional
        As in `Images`; found here by default.
    fit : str
        How images of another shape fit the size.
    mapped : Path, optional
        The file that `pixels` is mapped from: then many files are decoded by several processes.
    ranks : Ranks, optional
        Processes that decode a part each, and then have all.

    Returns
    -------
    known : dict
        "bad": (position in `files`, reason) of each that cannot be read; "sizes": (rows, columns, count) of the
        images as they were; "bits" as in `Images`; "passing": whether a file could not be read for a reason that may
        pass. All values are ones that JSON can hold.
    """
    size, channels = (pixels.shape[1], pixels.shape[2]), pixels.shape[3]

    def decode(n: int) -> Header | DataError:
        try:
            pixels[n], header = read_pixels(files[n].source(), size, channels, max_pixels, used, fit)
        except DataError as reason:
            return reason
        return header

    used, wide, passing = bits or 16, list[int](), False
    bad: list[tuple[int, str]] = []
    sizes: Counter[tuple[int, int]] = Counter()
    bounds = [0, len(files)] if ranks is None else ranks.parts(len(files))
    own = range(*bounds[slice(0, 2) if ranks is None else slice(ranks.rank, ranks.rank + 2)])
    decoded: Generator[Header | DataError, None, None]
    processes, at = 1 if ranks else min(default_threads(), 16), getattr(pixels, "offset", 0)
    if mapped is None or processes < 2 or len(files) < decoding.MANY or getattr(sys, "frozen", False):
        decoded = _in_threads(decode, own, _threads(files))
    else:
        how = {"max_pixels": max_pixels, "bits": used, "fit": fit}
        decoded = decoding.in_processes(files, (mapped, at, pixels.shape), how, processes)
    with closing(decoded) as outcomes:
        for n, outcome in zip(own, outcomes, strict=True):
            if isinstance(outcome, DataError):
                bad.append((n, str(outcome)))
                passing = passing or isinstance(outcome, PassingError)
            else:
                sizes[outcome.rows, outcome.columns] += 1
                if outcome.wide:
                    wide.append(n)
            if progress is not None and ((n + 1) % _CHUNK == 0 or n + 1 == own.stop):
                done = n + 1 - own.start
                progress(done if ranks is None else len(files) * done // len(own), len(files))
    several = wide if ranks is None else [n for part in ranks.gather(wide) for n in part]
    if bits is None and several:
        in_use = max(
            _in_threads(lambda n: bits_in_use(files[n].source(), max_pixels), wide, _threads(files)), default=0
        )
        used = in_use if ranks is None else max(ranks.gather(in_use))
        if used < 16:  # all that was kept of them so far is the upper 8 bits of 16
            with closing(_in_threads(decode, wide, _threads(files))) as outcomes:
                passing = any(isinstance(outcome, DataError) for outcome in outcomes) or passing
    if ranks is not None:
        ranks.share(pixels, bounds)
        told = ranks.gather([bad, passing, [[*pair, count] for pair, count in sizes.items()]])
        bad = [(n, why) for part, _, _ in told for n, why in part]
        passing = any(one for _, one, _ in told)
        sizes = sum((Counter({(r, c): count for r, c, count in part}) for *_, part in told), Counter())
    _close_gaps(pixels, [n for n, _ in bad])
    whole = [(*pair, count) for pair, count in sorted(sizes.items())]
    return {"bad": bad, "sizes": whole, "bits": used, "wide": len(several), "passing": passing}


def choose_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Choose rows and columns for images of the given sizes.

    One size up to 96 is kept. Otherwise the long side becomes the median long side, 64 at most, and the short side
    follows from the median shape, both in multiples of 8.
    """
    if len(set(sizes)) == 1 and max(sizes[0]) <= _KEPT:
        return sizes[0]
    array = np.array(sizes, float)
    tall = float(np.exp(np.median(np.log(array[:, 0] / array[:, 1]))))
    long = min(float(np.median(array.max(axis=1))), _LONG_SIDE)
    rows, columns = (long, long / tall) if tall >= 1 else (long * tall, long)
    return max(8, 8 * round(rows / 8)), max(8, 8 * round(columns / 8))


def _chosen(files: Sequence[ImageFile], target: Target) -> tuple[tuple[int, int], int]:
    """Size and channels: those wanted, or what suits a sample of the images' headers."""
    if target.size is not None and target.channels is not None:
        return target.size, target.channels

    def look(file: ImageFile) -> Header | None:
        try:
            return read_header(file.peek(), target.max_pixels)
        except DataError:
            return None

    sample = [files[n] for n in np.unique(np.linspace(0, len(files) - 1, _SAMPLE).astype(int))]
    headers = [header for header in _in_threads(look, sample, _threads(files)) if header is not None]
    if not headers:  # nothing in sight can be read: decoding will tell why
        return target.size or (8, 8), target.channels or 1
    size = target.size or choose_size([(header.rows, header.columns) for header in headers])
    return size, target.channels or (1 if all(header.grey for header in headers) else 3)


def _images(listing: Listing, target: Target, pixels: Pixels, known: dict[str, Any]) -> Images:
    """Put pixels together with names, labels and notes."""
    reasons = {int(n): str(reason) for n, reason in known["bad"]}
    good = [file for n, file in enumerate(listing.files) if n not in reasons]
    skipped = (*listing.skipped, *((listing.files[n].name, reason) for n, reason in reasons.items()))
    size = (pixels.shape[1], pixels.shape[2])
    return Images(
        pixels=pixels,
        labels=np.array([file.label for file in good], np.int32),
        classes=listing.classes,
        names=tuple(file.name for file in good),
        skipped=skipped,
        notes=tuple(_notes(listing, target, size, known, len(good), skipped)),
        resize=target.fit,
        bits=known["bits"],
        groups=groups_of(listing, reasons),
    )


def groups_of(listing: Listing, bad: Container[int]) -> Groups | None:
    """The groups that came with the files, as far as these can be read."""
    if listing.groups is None:
        return None
    return numbered([name for n, name in enumerate(listing.groups) if n not in bad], listing.grouped_by)


def _notes(
    listing: Listing,
    target: Target,
    size: tuple[int, int],
    known: dict[str, Any],
    count: int,
    skipped: Sequence[tuple[str, str]],
) -> Iterator[Note]:
    sizes: Sequence[tuple[int, int, int]] = known["sizes"]
    folder = printable(listing.folder.name)
    if [(rows, columns) for rows, columns, _ in sizes] != [size]:
        of = f"{len(sizes)} sizes" if len(sizes) > 1 else f"{sizes[0][0]}x{sizes[0][1]}"
        hint = "" if target.size else "; give a size to choose another"
        images, were = plural(count, "image"), "was" if count == 1 else "were"
        done = _DONE[target.fit]
        yield Note(f"{images} of {of} in {folder} {were} {done} to {size[0]}x{size[1]} (rows x columns){hint}")
    if known["wide"] and known["bits"] < 16:
        images, have = plural(known["wide"], "image"), "has" if known["wide"] == 1 else "have"
        bits = known["bits"]
        yield Note(
            f"{images} in {folder} {have} 16 bits a value, of which {bits} are in use: the upper 8 of these are kept"
        )
    if "not_kept" in known:
        yield Caution(
            f"the decoded images take {file_size(known['not_kept'])}, more than there is room for in the caches "
            f"({VARIABLE} says how much they may take): they are decoded anew the next time"
        )
    if "unkept_in" in known:
        yield Caution(
            f"the decoded images lie in memory and are decoded anew the next time, as the cache folder "
            f"{known['unkept_in']} is full, or not yours to write to"
        )
    yield from listing.notes
    if skipped:
        yield Caution(f"{plural(len(skipped), 'file')} in {folder} skipped: {listed_reasons(skipped)}")


def listed_reasons(skipped: Sequence[tuple[str, str]], most: int = 3) -> str:
    """Name the first few files that could not be used, each with the reason."""
    text = "; ".join(f"{name!r}: {reason}" for name, reason in skipped[:most])
    return text + (f"; and {len(skipped) - most} more" if len(skipped) > most else "")


def _threads(files: Sequence[ImageFile]) -> int:
    """How many threads read these files fastest: one if they are so small that Python's own work prevails.

    Measured on two cores, threads against one: PNG of 30x30 (3 KB) 0.55 times as fast, 96x96 (19 KB) 1.8 times.
    """
    if sum(file.stamp[0] for file in files) < _SMALL * len(files):
        return 1
    return min(default_threads(), 16)  # each may hold a whole large image


def _in_threads(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Generator[Result, None, None]:
    """Results in order. Decoders release the interpreter's lock, so threads decode at the same time."""

    def several(start: int) -> list[Result]:
        return [work(item) for item in items[start : start + _CHUNK]]

    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")  # about metadata: files that matter are reported
        for results in pool.map(several, range(0, len(items), _CHUNK)):
            yield from results


def _close_gaps(pixels: Pixels, bad: Iterable[int]) -> None:
    """Move images down over those that are bad, so that the good ones come first, in order."""
    edges = [*bad, len(pixels)]
    free = edges[0]
    for gap, end in itertools.pairwise(edges):
        for start in range(gap + 1, end, 4096):  # in blocks, which NumPy may copy
            count = min(4096, end - start)
            pixels[free : free + count] = pixels[start : start + count]
            free += count


def _key(listing: Listing, target: Target) -> str:
    """Which entry of the cache: the folder and what its images are to become."""
    text = os.fsencode(os.path.realpath(listing.folder)) + f"\0{target}".encode() + f"\0{decoder()}".encode()
    if listing.part is not None:
        text += f"\0{listing.part}".encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _stamp(listing: Listing) -> str:
    """What the files are: differs when one was added, removed, renamed or written again."""
    digest = hashlib.blake2b(digest_size=16)
    start = len(os.fspath(listing.folder)) if listing.part is None else 0
    for file in listing.files:
        within = f" {file.within}" if file.within else ""
        path = os.path.basename(file.path) if file.within and start else file.path[start:]
        digest.update(f"{path!r} {file.stamp}{within}\n".encode())
    return digest.hexdigest()
