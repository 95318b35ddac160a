"""What a search found, with its page."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lanewise.brief import short
from lanewise.experiments.search_found import SearchFound
from lanewise.experiments.search_page import write_page


@short
@dataclass(frozen=True, slots=True)
class SearchResult(SearchFound):
    """What `search` found: all of `SearchFound`, and a page of it."""

    def save_page(self, path: str | os.PathLike[str], images: str | os.PathLike[str] = "IMAGES") -> None:
        """Write a page with the trade-off, the course of the search, what mattered, and the commands.

        Parameters
        ----------
        path : path
        images : str
            What commands call them.
        """
        write_page(self, path, images)
