"""The findings as one HTML file, with the images that they are about. It needs nothing from outside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lanewise.data.encode import photograph
from lanewise.data_check.findings import Case, Collection, Finding, Findings
from lanewise.errors import DataError
from lanewise.extras import need
from lanewise.pages import shipped_text, template
from lanewise.saving import write_whole

MOST_CASES = 30
"""Cases of a finding that are shown; the others are counted."""

MOST_BYTES = 3_500_000
"""Of images; from there on names alone are shown."""

_MOST_TOGETHER = 6  # images of a case
_SIDE = 96  # pixels of an image's longer side at most
_TITLES = {
    "layout": "Folders",
    "unreadable": "Files that cannot be read",
    "ignored": "Files that are left out",
    "outside": "Images outside the classes",
    "misnamed": "Formats and names",
    "trained-on": "Images that the model was trained on",
    "two-labels": "One image, two labels",
    "across-splits": "The same image in two sets",
    "groups-across-splits": "Groups in two sets",
    "copies": "Copies",
    "near-copies": "Near copies",
    "missing-class": "Classes without images",
    "few": "Classes with few images",
    "imbalance": "Imbalance",
    "mislabelled": "Labels that look wrong",
    "name": "Names that say another class",
    "constant": "Almost constant images",
    "shape": "Unusual shapes",
    "small": "Small images",
    "alpha": "Transparency",
    "grey": "Grey among colour",
    "brightness": "Unusual brightness",
}


def require() -> None:
    """Fail before any work is done if the package that fills in the page is not installed."""
    need("jinja2", "a page")


def write(findings: Findings, path: str | os.PathLike[str]) -> None:
    """Write the page, whole or not at all.

    Raises
    ------
    DataError
        When it cannot be written.
    """
    text = render(findings)
    target = Path(path)
    try:
        write_whole(target, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror}") from None


def render(findings: Findings) -> str:
    """The page as text."""
    page = template("lanewise.data_check", "page.html")
    thumbnails = _Thumbnails(findings.collection, MOST_BYTES)
    text: str = page.render(
        findings=findings,
        collection=findings.collection,
        counts=findings.collection.counts(),
        sections=[_section(one, thumbnails) for one in findings.items],
        style=shipped_text("lanewise.data_check", "page.css"),
    )
    return text


@dataclass(slots=True)
class _Thumbnails:
    """Images as data addresses, until there is no more room."""

    collection: Collection
    room: int

    def of(self, n: int) -> str | None:
        if self.room <= 0:
            return None
        uri = photograph(self.collection.pixels[n], _SIDE).uri
        self.room -= len(uri)
        return uri


def _section(finding: Finding, thumbnails: _Thumbnails) -> dict[str, Any]:
    return {
        "finding": finding,
        "title": _TITLES[finding.kind],
        "cases": [_case(case, thumbnails) for case in finding.cases[:MOST_CASES]],
        "more": max(0, len(finding.cases) - MOST_CASES),
        "alone": all(len(case.images) == 1 for case in finding.cases),
        "illustrated": any(case.images for case in finding.cases),
    }


def _case(case: Case, thumbnails: _Thumbnails) -> dict[str, Any]:
    collection = thumbnails.collection
    images = [
        {"name": name, "label": collection.label(n), "part": collection.part(n), "image": thumbnails.of(n)}
        for n, name in zip(case.images[:_MOST_TOGETHER], case.names, strict=False)
    ]
    more = max(0, len(case.images) - _MOST_TOGETHER)
    told = case.images and case.detail == f"labelled {collection.label(case.images[0])!r}"  # stands there anyway
    detail = "" if told else case.detail
    return {"images": images, "names": case.names, "detail": detail, "looks": case.predicted, "more": more}
