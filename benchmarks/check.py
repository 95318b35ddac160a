"""`python -m benchmarks check`: how many faults planted into images `lanewise check` finds, and what else it says.

A fault is found if a finding of the right kind names its files together. Every other case of such a finding is an
extra: a false alarm, or a fault that was in the data before. How many of them the data has by itself is counted in the
same way on the data as it came.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.faults import CHANGES, Fault, plant
from benchmarks.report import Report
from lanewise.bench.tables import Table, figure
from lanewise.data.load import load
from lanewise.data_check.check import check
from lanewise.data_check.collect import gather
from lanewise.data_check.duplicates import BY_FEATURES, groups, links
from lanewise.data_check.features import NETWORK, NONE, choose, compute
from lanewise.data_check.findings import Findings
from lanewise.data_check.label_errors import mislabelled
from lanewise.data_check.outliers import almost_constant

TWICE = ("two-labels", "across-splits", "copies", "near-copies")
KINDS = {
    "copied": TWICE,
    "copied across sets": TWICE,
    "recompressed": TWICE,
    "resized to 60 %": TWICE,
    "mirrored": TWICE,
    "cropped by 10 %": TWICE,
    "cropped by 20 %": TWICE,
    "rotated by 5 degrees": TWICE,
    "brightened by 30 %": TWICE,
    "label swapped": ("mislabelled",),
    "cut short": ("unreadable",),
    "empty": ("unreadable",),
    "renamed to .txt": ("ignored",),
    "constant": ("constant",),
    "made grey": ("grey",),
}
"""The kinds of findings that tell of a planted fault."""

SWAPPED = 50
"""Labels of arrays that are made wrong."""


def measure(data: Path, seed: int, start: str, say: Callable[[str], None]) -> Report:
    """Look at the images as they came, then with faults; into arrays only wrong labels are planted."""
    if data.suffix == ".npz":
        return _arrays(data, seed, say)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(data) as archive:
            archive.extractall(folder, filter="data")
        root = next(path.parent for path in Path(folder).rglob("train") if path.is_dir())
        say("the images as they came")
        before = check(root, start=start)
        faults = plant(root, seed)
        say(f"{len(faults)} faults planted")
        return report(data.name, faults, before, check(root, start=start))


def swaps(data: Path, count: int, seeds: tuple[int, ...], say: Callable[[str], None]) -> Report:
    """Labels of a folder made wrong at random, and how many of them are suspect: to networks, and to linear layers on
    features."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(data) as archive:
            archive.extractall(folder, filter="data")
        root = next(path.parent for path in Path(folder).rglob("train") if path.is_dir())
        collection = gather(root)
        pairs = links(collection, almost_constant(collection))
        together = [members for members, _ in groups(pairs)]
        for start in (NONE, NETWORK):
            network = choose(collection, start, labels=True).network
            features = None if network is None else compute(collection, network, None, None)
            for seed in seeds:
                random = np.random.default_rng(seed)
                which = random.permutation(np.flatnonzero(collection.parts == 0))[:count]
                labels = collection.labels.copy()
                classes = len(collection.classes)
                labels[which] = (labels[which] + random.integers(1, classes, count)) % classes
                changed = replace(collection, labels=labels)
                found, accuracy = mislabelled(changed, together, seed, None, None, features=features)
                suspect = [case.images[0] in which for one in found for case in one.cases]
                hits = sum(suspect)
                figures = (count, hits, len(suspect) - hits, sum(suspect[:count]), f"{100 * accuracy:.1f} %")
                rows.append((start, str(seed), *map(str, figures)))
                say(" ".join(rows[-1]))
    columns = ("start", "seed", "planted", "found", "others", f"found among the first {count}", "labels agreed with")
    return Report("check", (Table(f"Labels of {data.name} made wrong", columns, tuple(rows)),), (), {"rows": rows})


def copies(data: Path, count: int, start: str, say: Callable[[str], None]) -> Report:
    """Altered copies of some images beside all of a folder: how many pairs are found by pixels, and with features."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(data) as archive:
            archive.extractall(folder, filter="data")
        root = next(path.parent for path in Path(folder).rglob("train") if path.is_dir())
        files = sorted(path for path in root.rglob("*.jpg") if path.is_file())
        chosen = [files[n] for n in np.random.default_rng(0).permutation(len(files))[:count]]
        for kind in ("none", *CHANGES):
            pairs = set()
            for path in chosen if kind in CHANGES else ():
                copy = path.with_name(f"copy_{path.name}")
                with Image.open(path) as image:
                    CHANGES[kind](image.convert("RGB"), copy)
                pairs.add(frozenset((path.relative_to(root).as_posix(), copy.relative_to(root).as_posix())))
            collection = gather(root)
            network = choose(collection, start, labels=True).network
            features = None if network is None else compute(collection, network, None, None)
            found = links(collection, almost_constant(collection), None, None, features)
            ways = [{frozenset(collection.names[n] for n in (link.one, link.other)) for link in some} for some in (
                [link for link in found if link.how != BY_FEATURES], found)]  # fmt: skip
            figures = (str(len(pairs)), *(str(len(way & pairs)) for way in ways), str(len(ways[1] - pairs)))
            rows.append((kind, *figures))
            say(" ".join(rows[-1]))
            for names in pairs:
                next(root / name for name in names if "/copy_" in name).unlink()
    columns = ("alteration", "copies", "found by pixels", "found by either", "other pairs")
    return Report("check", (Table(f"Altered copies beside {data.name}", columns, tuple(rows)),), (), {"rows": rows})


def _arrays(data: Path, seed: int, say: Callable[[str], None]) -> Report:
    """The same of arrays, with `SWAPPED` labels made wrong."""
    sets = load(data)
    say("the images as they came")
    before = check(sets)
    labels = sets.train.labels
    assert labels is not None
    random = np.random.default_rng(seed)
    which = random.permutation(len(labels))[:SWAPPED]
    classes = len(sets.train.classes)
    wrong = labels.copy()
    wrong[which] = (labels[which] + random.integers(1, classes, SWAPPED)) % classes
    say(f"{SWAPPED} labels swapped")
    after = check(replace(sets, train=replace(sets.train, labels=wrong)))
    faults = [Fault("label swapped", frozenset({after.collection.names[n]})) for n in which]
    return report(data.name, faults, before, after)


def report(data: str, faults: list[Fault], before: Findings, after: Findings) -> Report:
    """Count what was found."""
    rows = []
    for kinds in dict.fromkeys(KINDS.values()):
        named, own = _cases(after, kinds), _cases(before, kinds)
        here = [fault for fault in faults if KINDS[fault.kind] == kinds]
        if not here:
            continue
        extra = sum(not any(fault.names <= case for fault in here) for case in named)
        of_kind = dict.fromkeys(fault.kind for fault in here)
        for n, kind in enumerate(of_kind):
            planted = [fault for fault in here if fault.kind == kind]
            found = sum(any(fault.names <= case for case in named) for fault in planted)
            tail = (str(extra), str(len(own))) if n == 0 else ("", "")
            rows.append((kind, str(len(planted)), str(found), *tail))
    swapped = [fault.names for fault in faults if fault.kind == "label swapped"]
    first = _cases(after, ("mislabelled",))[: len(swapped)]
    top = sum(case in swapped for case in first)
    title = f"Faults planted into {data}"
    columns = ("fault", "planted", "found", "others of such findings", "in the data as it came")
    share = f"Networks agree with {100 * (after.accuracy or 0):.1f} % of the labels."
    remarks = (
        share,
        f"Of the {len(first)} images that look mislabelled most, {top} had their label swapped.",
        f"{len(after.collection):,} images in {figure(after.seconds)} s.",
    )
    return Report("check", (Table(title, columns, tuple(rows)),), remarks, {"rows": rows, "top": top})


def _cases(findings: Findings, kinds: tuple[str, ...]) -> list[frozenset[str]]:
    return [frozenset(case.names) for one in findings.items if one.kind in kinds for case in one.cases]
