"""`lanewise cache`: what lies in the caches, and how to be rid of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lanewise.cli.options import json_option

if TYPE_CHECKING:
    from lanewise.cache_limit import Entry
    from lanewise.cli.output import Output

WHAT = {
    "images": "decoded images",
    "features": "what pretrained networks see in images",
    "code": "machine code",
    "programs": "what is known of kernels",
    "experiments": "finished trainings of compare and vary",
}
KINDS = tuple(WHAT)
MOST_FOLDERS = 12


@click.command()
@click.argument("action", type=click.Choice(["show", "clear"]), default="show")
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
@json_option
def cache(action: str, kinds: tuple[str, ...], as_json: bool) -> None:
    """Show what lies in the caches, or clear them.

    `lanewise cache` shows what there is, how large it is, when it was used last, and of which folders images are. All
    of it can be made again, and nothing is lost if it goes.

    `lanewise cache clear` removes it, or only KINDS of it: images, features, code or programs. What a running process
    uses stays. The finished trainings of `compare` and `vary`, experiments, took long and go only if they are named.

    The caches lie in the folder that the variable LANEWISE_CACHE names, by default lanewise in the user's cache folder.
    They take at most what LANEWISE_CACHE_LIMIT says, like 500MB, 20GB or none, by default 20GB or a quarter of the
    disk if that is less. What was not used for longest goes first, and what nobody used for 30 days goes anyway.
    """
    from lanewise.cli.output import open_output

    out = open_output(as_json)
    if action == "clear":
        _clear(out, kinds)
    else:
        _show(out, kinds)


def _clear(out: Output, kinds: tuple[str, ...]) -> None:
    from lanewise.cache_limit import clear, clear_experiments
    from lanewise.wording import file_size, plural

    chosen = kinds or KINDS[:-1]
    gone, kept = clear([kind for kind in chosen if kind != "experiments"])
    count, size = clear_experiments() if "experiments" in chosen else (0, 0)
    count, size = count + len(gone), size + sum(entry.size for entry in gone)
    out.result("Removed", f"{plural(count, 'file')}, {file_size(size)}" if count else "nothing: there was nothing")
    if kept:
        out.result(
            "In use", f"{plural(len(kept), 'file')}, {file_size(sum(entry.size for entry in kept))}, not removed"
        )
    out.finish({"removed": count, "bytes": size, "in_use": [str(entry.path) for entry in kept]})


def _show(out: Output, kinds: tuple[str, ...]) -> None:
    from lanewise import cache_limit
    from lanewise.caching import cache_folder
    from lanewise.cli.output import laid_out
    from lanewise.wording import file_size, shown

    found = [entry for entry in cache_limit.entries() if not kinds or entry.kind in kinds]
    experiments = cache_limit.experiments() if not kinds or "experiments" in kinds else []
    most = cache_limit.limit()
    taken = sum(entry.size for entry in found)
    folder = cache_folder("images").parent
    limit = "none" if most == cache_limit.UNLIMITED else file_size(most)
    out.result("Folder", shown(folder))
    out.result("Size", f"{file_size(taken)}; the limit is {limit} ({cache_limit.VARIABLE} sets another)")
    rows = [_row(kind, [entry for entry in found if entry.kind == kind]) for kind in KINDS[:-1]]
    rows.append(_row("experiments", experiments))
    rows = [row for row in rows if row[2] != "0"]
    if rows:
        out.blank()
        out.table(laid_out(("kind", "", "files", "size", "last used"), rows, words=("kind", "")))
    images = [_of_images(entry) for entry in reversed(found) if entry.kind == "images"]
    if images:
        out.blank()
        cells = [
            (
                shown(one["folder"] or "unknown"),
                "" if one["count"] is None else f"{one['count']:,}",
                one["shape"] or "being written",
                file_size(one["bytes"]),
                _ago(one["unused_for"]),
            )
            for one in images[:MOST_FOLDERS]
        ]
        out.table(laid_out(("images of", "count", "shape", "size", "last used"), cells, words=("images of",)))
        if len(images) > MOST_FOLDERS:
            out.result("", f"and {len(images) - MOST_FOLDERS:,} more")
    out.finish(
        {
            "folder": str(folder),
            "limit": None if most == cache_limit.UNLIMITED else most,
            "bytes": taken,
            "kinds": [
                {"kind": kind, "files": len(one), "bytes": sum(entry.size for entry in one)}
                for kind in KINDS
                if (one := [entry for entry in [*found, *experiments] if entry.kind == kind])
            ],
            "entries": images,
        }
    )


def _row(kind: str, entries: list[Entry]) -> tuple[str, ...]:
    import time

    from lanewise.wording import file_size

    used = _ago(time.time() - max(entry.used for entry in entries)) if entries else ""
    return kind, WHAT[kind], f"{len(entries):,}", file_size(sum(entry.size for entry in entries)), used


def _of_images(entry: Entry) -> dict[str, Any]:
    """What is known of decoded images, for a table and for JSON."""
    import time

    from lanewise.data.image_cache import known_of

    found = None if entry.half else known_of(entry.path)
    shape, known = found or ((), {})
    return {
        "file": str(entry.path),
        "folder": known.get("folder"),
        "count": shape[0] if shape else None,
        "shape": "x".join(map(str, shape[1:])) if shape else None,
        "bytes": entry.size,
        "unused_for": max(round(time.time() - entry.used), 0),
    }


def _ago(seconds: float) -> str:
    """How long ago something was, to the hour, which is how finely uses are noted."""
    for unit, length in (("day", 86400), ("hour", 3600)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}s ago"
    return "lately"
