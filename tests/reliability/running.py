"""What stress runs share: their command line, the count at the end, and how a failure is shown."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable

Trial = Callable[[int], str | None]
"""Try case number n; None if all is right, else what is wrong."""


def failures(trial: Trial, numbers: range) -> list[str]:
    """Whatever is wrong with these cases, a line each; an exception is wrong, too."""
    found = []
    for number in numbers:
        try:
            wrong = trial(number)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            wrong = f"{type(error).__name__}: {str(error)[:200]} ({place.name}, line {place.lineno})"
        if wrong is not None:
            found.append(f"case {number}: {wrong}")
    return found


def main(kind: str, trial: Trial, count: int) -> None:
    """Run `trial` as often as the command line says, and leave with status 1 if anything is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0, help="number of the first case")
    options = parser.parse_args()
    found = failures(trial, range(options.seed, options.seed + options.count))
    print(*found, f"{kind}: tried {options.count:,}, right {options.count - len(found):,}", sep="\n")
    sys.exit(bool(found))
