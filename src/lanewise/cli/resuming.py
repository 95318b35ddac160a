"""Checkpoints of `lanewise train`: where they lie, and what is said of those that a killed training left."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lanewise.cli.options import WORDS
from lanewise.cli.output import Output
from lanewise.errors import OptionError
from lanewise.ranks import active
from lanewise.saving import free_name
from lanewise.training.checkpoint import BEFORE, SUFFIX, Keeper, before, is_held, is_of, near, running, told
from lanewise.training.checkpoint_file import CheckpointError, about_of
from lanewise.wording import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

RESUME = "--resume"


def keeper_for(out: Output, model: Path, checkpoint: str | None, resume: bool) -> Keeper:
    """What keeps a training that is to make `model`; the user hears of those that can be resumed.

    Parameters
    ----------
    out : Output
    model : Path
        Where the model is to go, unless that name is taken.
    checkpoint : str or None
        The file that the user named.
    resume : bool

    Raises
    ------
    OptionError
        As for `Keeper`.
    """
    command = this_command()
    if checkpoint is not None:
        return Keeper(checkpoint, resume=resume, command=command)
    ranks = active()
    wanted = model.with_suffix(SUFFIX)
    if ranks is None or ranks.rank == 0:  # it looks for all
        wanted = _chosen(out, wanted, command, resume)
    wanted = wanted if ranks is None else Path(ranks.agree(str(wanted)))
    return Keeper(wanted, resume=resume, command=command, asked=resume)


def _chosen(out: Output, wanted: Path, command: str, resume: bool) -> Path:
    """The checkpoint to go on from, or the name of a new one."""
    there = list(_there(wanted))
    left = [(path, about) for path, about, held in there if not held]
    if resume:
        same = [path for path, about in left if about.get("command") == command]
        newest = max(left, key=lambda one: one[1].get("time", 0.0), default=None)
        found = same[-1] if same else newest[0] if newest is not None else None
        if found is None:
            for path, _, _ in there:
                raise OptionError(running(near(path)))
            found = free_name(wanted)
            out.tell("Resume", f"there is no checkpoint {shown(wanted)}, so training begins")
        return found
    for path, about in left:
        out.tell("Resume", f"{shown(path)} {told(about)}", "yellow")
    return wanted


def _there(wanted: Path) -> Iterator[tuple[Path, Mapping[str, Any], bool]]:
    """The checkpoints that were to have this name, what is told of them, and whether a living process holds them."""
    alike = re.compile(rf"{re.escape(wanted.stem)}(-\d+)?{re.escape(SUFFIX)}({re.escape(BEFORE)})?")
    try:
        names = {path.name.removesuffix(BEFORE) for path in wanted.parent.iterdir() if alike.fullmatch(path.name)}
    except OSError:
        return
    for path in sorted(wanted.with_name(name) for name in names):
        files = [file for file in (path, before(path)) if file.exists()]
        held = any(map(is_held, files))
        for file in files:
            try:
                about = about_of(file)
            except (CheckpointError, OSError):
                continue
            if is_of(about, wanted):
                yield path, about, held
            break


def this_command(extra: Sequence[str] = (RESUME,)) -> str:
    """The command that is running, as one could type it, with `--resume`."""
    context = click.get_current_context(silent=True)
    words = [] if context is None else [word for word in context.meta.get(WORDS, []) if word not in extra]
    return shlex.join(["lanewise", *words, *extra]) if words else ""
