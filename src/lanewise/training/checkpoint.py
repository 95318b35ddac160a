"""Where training is, kept on disk, so that another process goes on after this one was killed: with the same bits.

`lanewise.train` is repeated from its beginning: what it reads and chooses takes little time and comes out the same.
Its loops, one after the other (folds, weight decays, another learning rate, fine-tuning), ask the keeper first: one
that was finished has its result there, and the one that was under way its state.

    keeper.identify(facts, say)     refuses data and options that are not those of the checkpoint
    keeper.begin(loop)              its result if it was finished; else it is restored, if it was under way
    keeper.offer(loop)              between two native calls: written if it is time
    keeper.finish(result, ...)      this loop is over
    keeper.complete(digest)         training is over; until the model is saved, the checkpoint stays
    keeper.remove()

A file is written beside, flushed to the disk, and put in place; the one before it stays as FILE.before. While a process
lives it holds its file, so that others know.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lanewise.engine.trainer import Trainer
from lanewise.errors import OptionError
from lanewise.model import Model
from lanewise.model_file.metadata import digest
from lanewise.notes import Caution, Note, Say, unheard
from lanewise.ranks import active
from lanewise.saving import beside, claim, flush_folder, hold
from lanewise.training.checkpoint_file import CheckpointError, about_of, packed, unpacked, with_about
from lanewise.training.clock import Clock
from lanewise.training.progress import which_fold
from lanewise.training.same_run import Facts, check_ranks, differences, facts_of_loop
from lanewise.training.state import TrainingState
from lanewise.training.task import TrainingTask, TrainResult
from lanewise.wording import duration, quoted, shown

SUFFIX = ".checkpoint"
BEFORE = ".before"

SECONDS = 30.0
"""A checkpoint is due at the end of an epoch, and in an epoch when the last one is so long ago."""

SHARE = 0.02
"""Of the time, writing takes no more: on a slow disk, or for a large network, checkpoints are rarer."""

FIRST = 0.02
"""Seconds that the first is thought to take."""

MOST_NAMES = 1000

Decided = TypeVar("Decided")


class Resumable(Protocol):
    """What a keeper asks of a loop."""

    trainer: Trainer
    task: TrainingTask
    result: TrainResult
    steps_per_epoch: int
    say: Say
    clock: Clock

    def state(self) -> TrainingState:
        """All that it carries."""
        ...

    def restore(self, state: TrainingState) -> None:
        """Go on from that."""
        ...

    def planned_steps(self) -> float:
        """All steps there will be."""
        ...


class Keeper:
    """Keeps where training is in a file, and knows where an earlier process was.

    Parameters
    ----------
    path : path, optional
        Of the file; without one nothing is kept.
    resume : bool
        Go on from the file, if it is there.
    command : str
        What resumes the training, as it is told to users.
    asked : bool
        Whether the user named the file; one that nobody named gets a number where the name is taken, is not written
        for trainings of a second, and is removed when the user ends training.

    Raises
    ------
    OptionError
        The file is there and is not to be resumed, is held by a process that lives, or nothing in it is whole.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        resume: bool = False,
        command: str = "",
        asked: bool = True,
    ) -> None:
        self.path = None if path is None else Path(os.path.abspath(path))
        self.command, self.asked = command, asked
        self._wanted = "" if self.path is None else self.path.name
        self.about: dict[str, Any] = {}
        self._facts: Callable[[], Facts] | None = None
        self._finished: list[tuple[TrainResult, float, Facts]] = []
        self._current: tuple[TrainingState, float, Facts] | None = None
        self._decided: dict[str, Any] = {}
        self._troubles: list[str] = []
        self._later = 0.0
        self._number = 0
        self._held: int | None = None
        self._sound = self.path  # the file that is not to be lost
        self._ours = self._complained = False
        self._last, self._cost = time.perf_counter(), FIRST
        ranks = active()
        self._writes = ranks is None or ranks.rank == 0  # the others read what the first rank has written
        if self.path is None:
            if resume:
                raise OptionError("resume is about a checkpoint: name its file too, like checkpoint='FILE'")
            return
        there = [name for name in (self.path, before(self.path)) if os.path.lexists(name)]
        if there and not resume and asked and self._writes:
            raise OptionError(f"{shown(path)} {_in_the_way(there[0])}")
        if there and resume:
            self._load(there)
        elif asked and not self.path.parent.is_dir():
            raise OptionError(f"the checkpoint {shown(path)} cannot be written: there is no such folder")

    def _load(self, there: list[Path]) -> None:
        """Take the newest file that is whole."""
        assert self.path is not None
        try:
            self._held = hold(there[0]) if self._writes else None
        except BlockingIOError:
            raise OptionError(running(self._name)) from None
        except OSError:  # it is told below, where it is read
            self._held = None
        for name in there:
            try:
                about, state = unpacked(name.read_bytes())
                self._finished, self._current, self._decided = state
                self.about, self._sound = about, name
                break
            except (CheckpointError, OSError, ValueError, TypeError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                self._troubles.append(f"{shown(near(name))} is not used: {why}")
        else:
            self.close()
            it = "it" if len(there) == 1 else "both"
            raise OptionError(f"{'; '.join(self._troubles)}. Delete {it} to start training anew")
        self._ours = True

    def identify(self, facts: Callable[[], Facts], say: Say = unheard) -> None:
        """Say what the training depends on; it is worked out when it is needed.

        Parameters
        ----------
        facts : callable
            Gives what `same_run.facts_of` does.
        say : callable
            Told from where training goes on.

        Raises
        ------
        OptionError
            The checkpoint, or what other ranks were given, is of another training.
        """
        if self._facts is not None:  # folds are parts of one training
            return
        ranks = active()
        times = [] if ranks is None else ranks.gather(self.about.get("time", 0.0))
        for rank, seen in enumerate(times):
            if ranks is not None and seen != times[0]:
                raise OptionError(
                    f"{ranks.named(rank)} has not the checkpoint that rank 0 has: name a file that all ranks read"
                )
        known: list[Facts] = []

        def once() -> Facts:
            if not known:
                known.append(facts())
            return known[0]

        self._facts = once
        check_ranks(once)
        if not self.about:
            return
        if other := list(differences(self.about.get("facts", {}), once())):
            self._refuse(other)
        for trouble in self._troubles:
            say(Caution(f"{trouble}; the checkpoint before it is."))
        say(Note(f"Training goes on {self.about.get('where')}, by the checkpoint {shown(self._name)}."))

    def _refuse(self, other: list[str]) -> None:
        self.close()
        raise OptionError(
            f"{shown(self._name)} is of a training with other data or options ({'; '.join(other)}): give those "
            "again to resume it, or name another checkpoint"
        )

    @property
    def _name(self) -> str:
        """The file as the user sees it."""
        assert self.path is not None
        return near(self.path)

    def decided(self, name: str, decide: Callable[[], Decided]) -> Decided:
        """What was decided by looking at the clock, so that it is decided once.

        Parameters
        ----------
        name : str
        decide : callable
            Gives values that a checkpoint can hold.
        """
        if name not in self._decided:
            self._decided[name] = decide()
        found: Decided = self._decided[name]
        return found

    def now(self) -> float:
        """Seconds of a clock that counts what processes before this one used, too."""
        return time.perf_counter() + self._later

    def _used(self, task: TrainingTask, seconds: float) -> None:
        """Let the clock stand where a loop had used so many seconds."""
        self._later += max(0.0, seconds - (self.now() - task.started))

    def begin(self, loop: Resumable) -> TrainResult | None:
        """The result of a loop that was finished; None for one to be run, which goes on where it was.

        Raises
        ------
        OptionError
            The checkpoint is of another training.
        """
        if self.path is None:
            return None
        number, self._number = self._number, self._number + 1
        known = self._finished[number] if number < len(self._finished) else None
        if known is not None:
            result, seconds, facts = known
            self._compare(facts, loop)
            self._used(loop.task, seconds)
            return copied(result)
        if self._current is not None:
            (state, seconds, facts), self._current = self._current, None
            self._compare(facts, loop)
            self._used(loop.task, seconds)
            loop.restore(state)
        self._last = time.perf_counter()
        return None

    def _compare(self, facts: Mapping[str, Any], loop: Resumable) -> None:
        if other := list(differences(facts, facts_of_loop(loop.trainer, loop.task))):
            self._refuse(other)

    def offer(self, loop: Resumable, *, epoch_done: bool = False) -> None:
        """Write a checkpoint between two steps, if it is time.

        Parameters
        ----------
        loop : Resumable
        epoch_done : bool
            Between two epochs.
        """
        if self.path is None or not self._due(epoch_done):
            return
        began = time.perf_counter()
        used = self.now() - loop.task.started
        facts = facts_of_loop(loop.trainer, loop.task)
        self._write((self._finished, (loop.state(), used, facts), self._decided), where(loop), loop.say)
        self._took(began)

    def _took(self, began: float) -> None:
        """Note what a checkpoint cost, and that of the state that went into it."""
        self._last = time.perf_counter()
        self._cost = self._last - began

    def finish(self, loop: Resumable) -> None:
        """Keep the result of a loop that has come to its end."""
        if self.path is None:
            return
        began = time.perf_counter()
        used = self.now() - loop.task.started
        self._finished.append((copied(loop.result), used, facts_of_loop(loop.trainer, loop.task)))
        if self._due(epoch_done=True):
            self._write((self._finished, None, self._decided), where(loop), loop.say)
            self._took(began)

    def _due(self, epoch_done: bool) -> bool:
        passed = time.perf_counter() - self._last
        return self._writes and passed >= max(self._cost / SHARE, 0.0 if epoch_done else SECONDS)

    def complete(self, digest: str, *, interrupted: bool, say: Say = unheard) -> None:
        """Training is over: what is kept until its model is saved.

        Parameters
        ----------
        digest : str
            Of the weights that are to be saved: a file that has them already is that model.
        interrupted : bool
            Whether the user ended it. Then a checkpoint that was asked for stays, to go on from, and others go.
        say : callable
        """
        if self.path is None or self._sound is None or not self._writes:
            return
        if interrupted:
            if not self.asked:
                self.remove()
            elif self._ours:
                self.about["weights"] = digest
                self._put(self._with_about, say)
            else:  # it was too early for one: the same command begins anew, and replaces the model
                self._write((self._finished, None, self._decided), "at its beginning", say, digest)
            return
        if self.asked or self._ours:
            self._write((self._finished, None, self._decided), "after all epochs", say, digest)

    def _with_about(self) -> list[bytes | memoryview]:
        assert self._sound is not None
        return with_about(self._sound.read_bytes(), self.about)

    def _write(self, state: Any, where: str, say: Say, weights: str | None = None) -> None:
        assert self._facts is not None, "identify comes first"
        facts = self._facts()
        self.about |= {} if weights is None else {"weights": weights}
        self.about |= {
            "facts": facts,
            "where": where,
            "name": self.about.get("name", self._wanted),
            "command": self.command,
            "folder": os.getcwd(),
            "time": time.time(),
        }
        self._put(lambda: packed(self.about, state), say)

    def _put(self, parts: Callable[[], list[bytes | memoryview]], say: Say) -> None:
        """Put a new file in place, and the one before it beside; where that fails, training goes on without.

        Parameters
        ----------
        parts : callable
            Gives what is to be in it.
        say : callable
        """
        assert self.path is not None
        try:
            with beside(self.path, *parts()) as temporary:
                held = hold(temporary)
                try:
                    if not self._ours:
                        self.path = claim(temporary, self.path, 1 if self.asked else MOST_NAMES)
                        self._ours = True
                    else:
                        if self._sound == self.path:  # else it is damaged, and must not replace the one before it
                            with suppress(FileNotFoundError):  # somebody removed it
                                self.path.replace(before(self.path))
                                self._sound = before(self.path)
                        temporary.replace(self.path)
                        flush_folder(self.path.parent)
                except BaseException:
                    _close(held)
                    raise
                self.close()
                self._held, self._sound = held, self.path
        except OSError as error:
            if not self._complained:
                self._complained = True
                say(
                    Caution(
                        f"The checkpoint {shown(self._name)} could not be written ({error.strerror}): training goes "
                        "on, but if it is killed now, it cannot be resumed from here."
                    )
                )

    def remove(self) -> None:
        """The model is saved: nothing of the checkpoint is left."""
        if self.path is not None and self._ours and self._writes:
            for name in (before(self.path), self.path):
                with suppress(OSError):
                    name.unlink()
            self._ours = False
        self.close()

    def close(self) -> None:
        """Let others have the file."""
        held, self._held = self._held, None
        _close(held)


def keeper_of(checkpoint: str | os.PathLike[str] | Keeper | None, resume: bool) -> Keeper:
    """The keeper that options of training ask for; see `Keeper`."""
    return checkpoint if isinstance(checkpoint, Keeper) else Keeper(checkpoint, resume=resume)


def keeper_of_part(path: Path) -> Keeper:
    """That of one of many trainings, which nobody is asked about: it goes on from what a killed process left there.

    Nothing is kept if another process is at it; what is damaged is begun anew.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return Keeper(path, resume=True)
        except OptionError:
            there = [name for name in (path, before(path)) if name.exists()]
            if any(map(is_held, there)):
                return Keeper()
            for name in there:
                name.unlink()
            return Keeper(path)
    except (OptionError, OSError):
        return Keeper()


def kept(model: Model, keeper: Keeper, say: Say, *, ours: bool) -> Model:
    """The model, with its checkpoint there until it is saved.

    Parameters
    ----------
    model : Model
    keeper : Keeper
    say : callable
    ours : bool
        Whether nobody else removes the checkpoint.
    """
    interrupted = bool(model.provenance["interrupted"])
    keeper.complete(digest(model.parameters), interrupted=interrupted, say=say)
    if keeper.path is not None and ours and not interrupted:
        model.when_saved(keeper.remove)
    return model


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)


def near(path: Path) -> str:
    """A path as the user would write it: below the current folder, or whole."""
    short = os.path.relpath(path)
    return short if not short.startswith("..") else str(path)


def running(name: str) -> str:
    """The refusal of a checkpoint that a living process holds."""
    return f"{shown(name)} is of a training that is still running: wait for it, or name another checkpoint"


def before(path: Path) -> Path:
    """The name of the checkpoint before the last one."""
    return path.with_name(path.name + BEFORE)


def copied(result: TrainResult) -> TrainResult:
    """A result whose attributes may be changed without changing the other's."""
    made = copy(result)
    made.history, made.setbacks = list(result.history), list(result.setbacks)
    return made


def _in_the_way(path: Path) -> str:
    try:
        return told(about_of(path))
    except (CheckpointError, OSError):
        return "is there already, and is no checkpoint that is whole: name another file, or delete it"


def where(loop: Resumable) -> str:
    """Where training is, in words: "after 3.5 of 12 epochs (40 s)"."""
    steps = loop.steps_per_epoch
    done, planned = loop.result.steps / steps, max(loop.planned_steps(), loop.result.steps) / steps
    return f"{which_fold()}after {done:.4g} of {planned:.4g} epochs ({duration(loop.clock.training)})"


def is_of(about: Mapping[str, Any], path: Path) -> bool:
    """Whether a checkpoint was to have this name, and has it, or a number after it because that was taken."""
    return bool(about.get("name", path.name) == path.name)


def told(about: Mapping[str, Any]) -> str:
    """What a checkpoint is, and what resumes it, in words that follow its name."""
    command, folder = about.get("command"), about.get("folder")
    elsewhere = f"cd {quoted(folder)} && " if folder and folder != os.getcwd() else ""
    way = f"to resume it, run {elsewhere}{command}" if command else "to resume it, give resume=True"
    return f"holds a training that ended {about.get('where')} before it was done; {way}; to start anew, delete it"


def is_held(path: Path) -> bool:
    """Whether a process that lives holds a file."""
    try:
        _close(hold(path))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
