"""Every command in odd circumstances: languages, names, folders, terminals, streams, places and values.

    python -m tests.reliability.environments --count 600

Each case runs one command in one circumstance, on a handful of tiny images. Right means: the exit status is one that
the circumstance allows (0 where the work can be done, 1 or 2 with one line where it cannot), no traceback, no control
character of a name gets through, nothing is cut off, and what was written is whole.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lanewise import Model
from tests.reliability.running import main

CONVOLUTION = "conv 2@3x3, relu, dense 2"
COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("train", "PHOTOS", "--network", CONVOLUTION, "--epochs", "2", "--folds", "0", "-o", "OUT.onnx"),
    "train, all files": (
        *("train", "PHOTOS", "--network", CONVOLUTION, "--epochs", "2", "--history", "OUT.csv", "--report"),
        *("OUT.html", "-o", "OUT.onnx"),
    ),
    "predict": ("predict", "MODEL", "PHOTOS", "--top", "2", "--csv", "OUT.csv"),
    "evaluate": ("evaluate", "MODEL", "PHOTOS", "--split", "all", "--top", "2"),
    "inspect": ("inspect", "MODEL"),
    "connections": ("inspect", "MODEL", "--connections", "OUT.png"),
    "report": ("report", "MODEL", "PHOTOS", "--split", "all", "-o", "OUT.html"),
    "check": ("check", "PHOTOS", "--no-labels", "--page", "OUT.html"),
    "check labels": ("check", "PHOTOS"),
    "compare": ("compare", "PHOTOS", "--network", CONVOLUTION, "--seeds", "1", "--epochs", "1", "-o", "OUT"),
    "vary": ("vary", "PHOTOS", "--network", "conv {1,2}@3x3, relu, dense 2", "--epochs", "1", "-o", "OUT"),
    "help": ("train", "--help"),
    "nothing": (),
    "misused": ("evaluate", "MODEL", "PHOTOS", "--nonsense"),
}
WITH_JSON = ("train", "predict", "evaluate", "inspect", "report", "check", "compare", "vary")
PLAIN = ("help", "nothing", "misused")

NAMES = {
    "plain": "dark",
    "composed": unicodedata.normalize("NFC", "dünkel é"),
    "decomposed": unicodedata.normalize("NFD", "dünkel é"),
    "chinese": "暗い写真",
    "right to left": "כהה",
    "beyond the basic plane": "dark 🌒",
    "no UTF-8": os.fsdecode(b"dark\xff\xfe"),
    "escape sequence": "dark\x1b[31m\x1b]0;title\x07",
    "line break": "dark\nlanewise: done\r",
    "other controls": "da\x08\x7f\x9brk\u202e\u2028",
    "markup": "[red]dark[bold] [0m",
    "option": "--dark",
    "quotes": "da'r\"k $(x) %s {0}",
    "blanks": " dark ",
    "long": "d" * 200,
}


@dataclass
class Stage:
    """Where a case runs, and what it may come to."""

    root: Path
    kind: str
    words: list[str]
    env: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    cwd: Path | None = None
    shell: str = ""
    bound: bool = False
    width: int | None = None
    allowed: frozenset[int] = frozenset((0,))
    names: tuple[str, ...] = ()
    silent: bool = False
    out: Path | None = None
    whole: bool = True

    def replaced(self, word: str, by: object) -> None:
        """Put something else for a word, or the part of a word before a dot."""
        self.words = [
            str(by) + one[len(word) :] if one == word or one.startswith(f"{word}.") else one for one in self.words
        ]


Circumstance = Callable[[Stage], None]


def photos(root: Path, first: str = "dark", second: str = "light", image: str = "a") -> Path:
    """Two folders of six grey images each, the one dark and the other light."""
    random = np.random.default_rng(3)
    for number, name in enumerate((first, second)):
        (root / name).mkdir(parents=True)
        for n in range(6):
            grey = 40 + 140 * number + random.integers(0, 30, (8, 8))
            with open(root / name / f"{image}{n}.png", "wb") as file:
                Image.fromarray(grey.astype(np.uint8)).save(file, "png")
    return root


@cache
def model_bytes(first: str = "dark", second: str = "light") -> bytes:
    """A model of such photographs, trained once."""
    import lanewise

    with tempfile.TemporaryDirectory() as folder:
        root = photos(Path(folder, "photos"), first, second)
        model = lanewise.train(str(root), network=CONVOLUTION, epochs=2, folds=0, notes=lambda note: None)
        model.save(Path(folder, "m.onnx"))
        return Path(folder, "m.onnx").read_bytes()


# circumstances


def named(where: str, name: str, **env: str) -> Circumstance:
    """An odd name of a class, of image files, or of what is read and written."""

    def setting(stage: Stage) -> None:
        text = NAMES[name]
        stage.env.update(env)
        if where == "class":
            photos(stage.root / "photos", text)
            if name not in ("no UTF-8",):
                stage.root.joinpath("m.onnx").write_bytes(model_bytes(text))
            stage.names = (text,)
        elif where == "file":
            photos(stage.root / "photos", image=text)
        else:
            inside = stage.root / f"{text}d"
            inside.mkdir()
            stage.cwd = inside
            photos(inside / text)
            (inside / f"{text}.onnx").write_bytes(model_bytes())
            dot = "./" if text.startswith("-") else ""
            for word, by in (("PHOTOS", text), ("MODEL", f"{text}.onnx"), ("OUT", f"{text}-out")):
                stage.replaced(word, dot + by)
            stage.out = inside / f"{text}-out"

    return setting


def environment(allowed: tuple[int, ...] = (0,), *without: str, **env: str) -> Circumstance:
    """Odd variables; ROOT in them is the folder of the case."""

    def setting(stage: Stage) -> None:
        stage.env.update({key: value.replace("ROOT", str(stage.root)) for key, value in env.items()})
        stage.without, stage.allowed = without, frozenset(allowed)
        stage.root.joinpath("a file").write_text("")
        stage.root.joinpath("read only").mkdir(mode=0o555)
        stage.bound = "read only" in "".join(env.values())

    return setting


def terminal(width: int | None, **env: str) -> Circumstance:
    """A terminal of so many columns."""

    def setting(stage: Stage) -> None:
        stage.width = 0 if width is None else width
        stage.env.update(env)

    return setting


def streams(shell: str, status: tuple[int, ...] = (0,), silent: bool = True) -> Circumstance:
    """Streams that are closed, full or otherwise odd."""

    def setting(stage: Stage) -> None:
        stage.shell, stage.allowed, stage.silent = shell, frozenset(status), silent

    return setting


def placed(word: str, by: str, allowed: tuple[int, ...] = (1, 2)) -> Circumstance:
    """An odd place for what is read or written; ROOT in it is the folder of the case."""

    def setting(stage: Stage) -> None:
        stage.root.joinpath("empty.onnx").write_bytes(b"")
        stage.root.joinpath("a folder").mkdir()
        stage.root.joinpath("closed").mkdir()
        (stage.root / "closed" / "m.onnx").write_bytes(model_bytes())
        photos(stage.root / "closed" / "photos")
        stage.root.joinpath("pipe").symlink_to("nowhere")
        target = by.replace("ROOT", str(stage.root))
        if any(one == word or one.startswith(f"{word}.") for one in stage.words):
            stage.words = [target if one == word or one.startswith(f"{word}.") else one for one in stage.words]
            stage.allowed = frozenset(allowed)
            stage.out, stage.whole = None, False
        if "closed" in by:
            stage.bound = True
            os.chmod(stage.root / "closed", 0)

    return setting


def _drop_powers() -> None:
    """Let permissions hold for the superuser, too: without the two capabilities that pass over them."""
    if os.getuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH; 24 is PR_CAPBSET_DROP
            libc.prctl(24, capability, 0, 0, 0)


def gone(stage: Stage) -> None:
    """The working folder was deleted."""
    stage.cwd = stage.root / "gone"
    stage.shell = 'rmdir "$PWD"; RUN'


def relative_gone(stage: Stage) -> None:
    """The working folder was deleted, and all names are relative to it."""
    gone(stage)
    for word in ("PHOTOS", "MODEL", "OUT"):
        stage.replaced(word, word.lower())
    stage.out, stage.whole = None, False
    if stage.kind not in PLAIN:
        stage.allowed = frozenset((1, 2))


ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LATIN = {"PYTHONIOENCODING": "latin-1"}
WIDTHS = ("20", "40", "80", "0", "-5", "1", "1000000", "eighty", "")
CIRCUMSTANCES: dict[str, Circumstance] = {
    **{f"{where} {name}": named(where, name) for name in NAMES for where in ("class", "file", "path")},
    **{f"{where} {name}, ASCII": named(where, name, **ASCII) for name in NAMES for where in ("class", "file", "path")},
    **{
        f"{where} {name}, {'strict ' if ':' in text else ''}{text}": named(where, name, PYTHONIOENCODING=text)
        for name in ("composed", "chinese", "no UTF-8", "escape sequence")
        for where in ("class", "path")
        for text in ("ascii", "ascii:strict", "latin-1", "utf-8:strict", "cp1252", "utf-16")
    },
    "LANG=C": environment(LANG="C"),
    "ASCII": environment(**ASCII),
    "LC_ALL of no language": environment(LC_ALL="xx_YY.UTF-8"),
    "an encoding that is none": environment((0, 1), PYTHONIOENCODING="latin-1"),
    "no home": environment((0,), "HOME"),
    "home is not there": environment(HOME="/nonexistent/home"),
    "home is read-only": environment(HOME="ROOT/read only"),
    "home is a file": environment(HOME="ROOT/a file"),
    "home is empty": environment(HOME=""),
    "home is a device": environment(HOME="/dev/null"),
    "cache is relative": environment(XDG_CACHE_HOME="here/there"),
    "cache is a file": environment(XDG_CACHE_HOME="ROOT/a file"),
    "cache is a device": environment(XDG_CACHE_HOME="/dev/full"),
    "cache is not there": environment(XDG_CACHE_HOME="/proc/nothing"),
    "cache is read-only": environment(XDG_CACHE_HOME="ROOT/read only"),
    "cache has a long name": environment(XDG_CACHE_HOME="/tmp/" + "c" * 300),
    "own cache is a file": environment(LANEWISE_CACHE="ROOT/a file"),
    "own cache has a break in its name": environment(LANEWISE_CACHE="ROOT/a\nb"),
    "no folder for temporary files": environment(TMPDIR="/nonexistent"),
    "folder for temporary files is a file": environment(TMPDIR="ROOT/a file"),
    "no variables but the path": environment((0,), "HOME", "LANG", "LC_ALL", "TERM", "USER", "LOGNAME", "SHELL"),
    **{f"COLUMNS={width!r}": environment(COLUMNS=width) for width in WIDTHS},
    **{f"terminal of {width}": terminal(width) for width in (200, 120, 80, 60, 40, 20, 1, None)},
    **{f"terminal of 80, COLUMNS={width!r}": terminal(80, COLUMNS=width) for width in WIDTHS},
    "dumb terminal": terminal(80, TERM="dumb"),
    "dumb terminal of 40": terminal(40, TERM="dumb"),
    "terminal without a name": terminal(80, TERM=""),
    "terminal of an unknown kind": terminal(80, TERM="no-such-terminal"),
    "terminal without colour": terminal(80, NO_COLOR="1"),
    "terminal of 40 without colour": terminal(40, NO_COLOR="1"),
    "terminal, ASCII": terminal(80, **ASCII),
    "terminal of 40, ASCII": terminal(40, **ASCII),
    "terminal, latin-1": terminal(80, **LATIN),
    "colour forced": environment(FORCE_COLOR="1"),
    "terminal forced": environment(TTY_COMPATIBLE="1"),
    "no rows": terminal(80, LINES="0"),
    "output full": streams("RUN >/dev/full", (1, 2), silent=False),
    "both full": streams("RUN >/dev/full 2>/dev/full", (1, 2)),
    "errors full": streams("RUN 2>/dev/full", (0, 2)),
    "no input": streams("RUN <&-", silent=False),
    "no output": streams("RUN >&-"),
    "no errors": streams("RUN 2>&-", (0, 2)),
    "no streams": streams("RUN <&- >&- 2>&-", (0, 2)),
    "output only to read": streams("RUN 1</dev/null"),
    "reader has gone": streams("RUN | true; exit ${PIPESTATUS[0]}", (0, 2)),
    "reader takes a line": streams("RUN | head -n 1; exit ${PIPESTATUS[0]}", (0, 2)),
    "working folder deleted": gone,
    "working folder deleted, relative names": relative_gone,
    "output has 300 letters": placed("OUT", "ROOT/" + "o" * 300),
    "output has 250 letters": placed("OUT", "ROOT/" + "o" * 245 + ".html", (0, 1, 2)),
    "output is empty": placed("OUT", ""),
    "output is a minus": placed("OUT", "-", (0, 1, 2)),
    "output is a folder": placed("OUT", "ROOT/a folder", (0, 1, 2)),
    "output is a device": placed("OUT", "/dev/full"),
    "output is nothing": placed("OUT", "/dev/null"),
    "output is in no folder": placed("OUT", "ROOT/none/there/o.html", (0, 1, 2)),
    "output is a link to nowhere": placed("OUT", "ROOT/pipe", (0, 1, 2)),
    "output is in a file": placed("OUT", "ROOT/empty.onnx/o.html"),
    "output has a null": placed("OUT", "ROOT/o\x01.html", (0, 1, 2)),
    "output may not be written": placed("OUT", "ROOT/closed/o.html"),
    "model has 300 letters": placed("MODEL", "m" * 300),
    "model is a folder": placed("MODEL", "ROOT/a folder"),
    "model is a device": placed("MODEL", "/dev/null"),
    "model is endless": placed("MODEL", "/dev/zero"),
    "model is in no folder": placed("MODEL", "ROOT/none/m.onnx"),
    "model is empty": placed("MODEL", "ROOT/empty.onnx"),
    "model has no name": placed("MODEL", ""),
    "model is a minus": placed("MODEL", "-"),
    "model may not be read": placed("MODEL", "ROOT/closed/m.onnx"),
    "images have 300 letters": placed("PHOTOS", "p" * 300),
    "images are a device": placed("PHOTOS", "/dev/null"),
    "images are an empty folder": placed("PHOTOS", "ROOT/a folder"),
    "images are an empty file": placed("PHOTOS", "ROOT/empty.onnx"),
    "images have no name": placed("PHOTOS", ""),
    "images are a minus": placed("PHOTOS", "-"),
    "images may not be read": placed("PHOTOS", "ROOT/closed/photos"),
}


# running a case


def cases() -> list[tuple[str, str]]:
    """(circumstance, command) of all cases, in an order that meets every circumstance early."""
    kinds = [*COMMANDS, *(f"{kind} --json" for kind in WITH_JSON)]
    found = [
        (name, kinds[(n + turn) % len(kinds)]) for turn in range(len(kinds)) for n, name in enumerate(CIRCUMSTANCES)
    ]
    return [case for case in found if possible(*case)]


def possible(circumstance: str, kind: str) -> bool:
    """Whether a case makes sense: a circumstance may be of a word that the command does not have."""
    words = COMMANDS[kind.removesuffix(" --json")]
    word = {"output ": "OUT", "model ": "MODEL", "images ": "PHOTOS"}.get(circumstance.partition(" ")[0] + " ")
    if word is None or circumstance in ("output full", "output only to read"):
        return not (circumstance.startswith("class no UTF-8") and "MODEL" in words)
    return any(one.partition(".")[0] == word for one in words)


def trial(number: int) -> str | None:
    """Run a case; what is wrong with it, or None."""
    every = cases()
    circumstance, kind = every[number % len(every)]
    wrong = run(circumstance, kind)
    return None if wrong is None else f"{kind}, {circumstance}: {wrong}"


def run(circumstance: str, kind: str) -> str | None:
    """Run a command in a circumstance."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        plain, _, as_json = kind.partition(" --json")
        words = [*COMMANDS[plain], *(["--json"] if as_json or kind.endswith("--json") else [])]
        stage = Stage(Path(folder), plain, words, out=Path(folder, "out"))
        CIRCUMSTANCES[circumstance](stage)
        if plain == "misused" or plain == "nothing":
            stage.allowed = frozenset((1, 2) if circumstance in ("output full", "both full") else (2,))
        if not (stage.root / "photos").exists():
            photos(stage.root / "photos")
        if not (stage.root / "m.onnx").exists():
            (stage.root / "m.onnx").write_bytes(model_bytes())
        for word, by in (("PHOTOS", "photos"), ("MODEL", "m.onnx"), ("OUT", "out")):
            stage.replaced(word, stage.root / by)
        return _evaluated(stage, *_run(stage))


def _run(stage: Stage) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    env = {key: value for key, value in os.environ.items() if key not in (*stage.without, "COLUMNS", "LINES")}
    words = [sys.executable, "-m", "lanewise", *stage.words]
    cwd = stage.cwd or stage.root
    cwd.mkdir(exist_ok=True)
    options: dict[str, Any] = {"cwd": cwd, "env": {**env, **stage.env}}
    if stage.bound:
        options["preexec_fn"] = _drop_powers
    if stage.width is not None:
        return _on_terminal(words, stage.width, options)
    if stage.shell:
        words = ["bash", "-c", stage.shell.replace("RUN", '"$@"'), "bash", *words]
    done = subprocess.run(words, capture_output=True, timeout=600, **options)
    return done.returncode, _text(done.stdout, stage, "--json" in stage.words), _text(done.stderr, stage)


def _text(data: bytes, stage: Stage, as_json: bool = False) -> str:
    encoding = stage.env.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
    return data.decode("utf-8" if as_json else encoding, "replace")


def _on_terminal(words: list[str], width: int, options: dict[str, Any]) -> tuple[int, str, str]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    options["env"].setdefault("TERM", "xterm-256color")
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, **options)
    os.close(slave)
    seen = b""
    try:
        while data := os.read(master, 65536):
            seen += data
    except OSError:
        pass
    os.close(master)
    status = process.wait(120)
    text = seen.decode("utf-8", "replace").replace("\r\n", "\n")
    return status, text, text if status else ""


def _evaluated(stage: Stage, status: int, out: str, err: str) -> str | None:
    """What is wrong with how a command ended, or None."""
    said = f"{out[-300:]!r} {err[-600:]!r}"
    if any(word in out + err for word in ("Traceback", "Exception ignored", "Error:", "Fatal Python")):
        return f"status {status}, a traceback: {said}"
    if status not in stage.allowed:
        return f"status {status}: {said}"
    if stage.width is None:
        controls = [
            c
            for c in out + err
            if (ord(c) < 32 and c != "\n") or (c in "\x7f\x9b\u2028\u202e" and "--json" not in stage.words)
        ]
        if controls and "FORCE_COLOR" not in stage.env and "TTY_COMPATIBLE" not in stage.env:
            return f"control characters {controls[:3]}: {said}"
    if status and not stage.silent and stage.kind != "nothing" and stage.width is None:
        lines = [line for line in err.splitlines() if line.startswith("lanewise")]
        if len(lines) != 1 or not err.endswith("\n"):
            return f"{len(lines)} lines: {said}"
    return _results(stage, status, out, said)


def _results(stage: Stage, status: int, out: str, said: str) -> str | None:
    last = out.rpartition("\x1b[2K")[2]  # what is seen for a moment only may be cut
    if "…" in last and stage.width is not None:
        return f"something is cut: {said}"
    if status:
        return None
    if stage.kind not in PLAIN and "--json" in stage.words and not stage.shell and stage.width is None:
        json.loads(out)
    if stage.out is None or not stage.whole:
        return None
    for word in stage.words:
        if word.startswith(str(stage.out)) or (
            stage.cwd is not None and word.removeprefix("./").startswith(stage.out.name)
        ):
            path = stage.cwd / word if stage.cwd is not None and not os.path.isabs(word) else Path(word)
            if not path.exists():
                return f"there is no {path.name!r}: {said}"
            if path.suffix == ".onnx":
                Model.load(path)
    return None


if __name__ == "__main__":
    main("environments", trial, len(cases()))
