"""Which files of a folder are images, of which class, for training or for evaluation. Nothing is decoded here.

    FOLDER/CLASS/*.png                          one set
    FOLDER/{train,val,test}/CLASS/*.png         up to three sets; `validation` is as good as `val`
    FOLDER/ONE/...                              either of these, one folder deeper, as archives are unpacked

Folders inside a class belong to the class. The order is that of the names, so it is the same everywhere.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lanewise.data.decode import PassingError
from lanewise.data.formats import named_by
from lanewise.errors import DataError
from lanewise.notes import Caution, Note
from lanewise.wording import some

SUFFIXES = (
    *(".heic", ".heif", ".avif"),
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".pbm", ".pgm", ".ppm", ".pnm"),
)
"""Names that end like this, in any case, are taken for images."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"
UNLABELLED = "unlabelled"

DEEPEST = 4
"""Folders that are entered, one inside the other, to find the images."""

_WORDS = {
    TRAIN: ("train", "training", "trn"),
    VALIDATION: ("val", "valid", "validation", "dev", "eval", "evaluation"),
    TEST: ("test", "testing", "tst", "holdout"),
    UNLABELLED: ("pred", "predict", "prediction", "unlabelled", "unlabeled"),
}
_AROUND = re.compile(r"(seg_|images?_|data_|dataset_)*(?P<word>[a-z]+?)(_?(set|data|dataset|images?|imgs?|split))*")
_LITTER = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "__macosx", "icon\r", "__pycache__"),
        *("@eadir", "@tmp", "@recycle", "@__thumb", "#recycle", "#snapshot"),  # of network storage
        *("$recycle.bin", "system volume information", "lost+found"),
    )
)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that is an image by its name.

    Attributes
    ----------
    path : str
        Where to open it.
    name : str
        Relative to the folder the user named, with `/`, fit for printing.
    label : int
        Position among the classes; -1 where there are none.
    stamp : (bytes, modified ns, changed ns)
        Differs when the file was written again.
    within : (start, length) or None
        Which bytes of the file are the image; None for all.
    """

    path: str
    name: str
    label: int
    stamp: tuple[int, int, int]
    within: tuple[int, int] | None = None

    def source(self) -> str | bytes:
        """What to decode: the path, or the bytes of an image that is part of a file."""
        if self.within is None:
            return self.path
        start, length = self.within
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(start)
                return file.read(length)
        except OSError as error:
            raise PassingError(f"it cannot be read: {os.strerror(error.errno or 5).lower()}") from None


@dataclass(frozen=True, slots=True)
class Listing:
    """One set of images on disk: the files of all classes, the files left aside, and notes.

    `folder` may be a table or shards, of which this is one `part`; then the group of each file may be known.
    """

    folder: Path
    files: tuple[ImageFile, ...]
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...] = ()
    groups: tuple[str, ...] | None = None
    grouped_by: str = ""
    part: str | None = None


def list_sets(root: Path) -> dict[str, Listing]:
    """Find the sets of images in a folder for training; `train` is always among them.

    Raises
    ------
    DataError
        When the folder is missing, or its layout is not one for training.
    """
    inner, notes = entered(root)
    parts, left_out = _labelled(_parts_of(inner))
    notes += left_out
    if not parts:
        return {TRAIN: replace(_list_classes(root, inner, None, learning=True), notes=notes)}
    if TRAIN not in parts:
        raise DataError(f"{inner} holds {' and '.join(parts)} but no train folder to train on")
    train = replace(_list_classes(root, parts[TRAIN], None, learning=True), notes=notes)
    others = (part for part in (VALIDATION, TEST) if part in parts)
    return {TRAIN: train} | {part: _list_classes(root, parts[part], train.classes, learning=False) for part in others}


def list_to_evaluate(root: Path, classes: Sequence[str]) -> tuple[str, Listing]:
    """Find the images to evaluate a model with: those in `test`, else in `validation`, else all there are.

    Returns
    -------
    part : str
        "test", "validation", "train" or, without such folders, "all".
    listing : Listing
        Labels are positions in `classes`; some classes may have no image.
    """
    inner, notes = entered(root, classes)
    parts, left_out = _labelled(_parts_of(inner))
    notes += left_out
    for part in (TEST, VALIDATION, TRAIN):
        if part in parts:
            return part, replace(_list_classes(root, parts[part], classes, learning=False), notes=notes)
    return "all", replace(_list_classes(root, inner, classes, learning=False), notes=notes)


def entered(root: Path, known: Sequence[str] | None = None) -> tuple[Path, tuple[Note, ...]]:
    """The folder itself, or the one inside where only that can be meant, which is said.

    That is one that holds train and test, or classes that are `known` already, and has no other folder or image beside
    it.
    """
    _check_folder(root)
    names = {unicodedata.normalize("NFC", name) for name in known or ()}
    here = root
    for _ in range(DEEPEST):
        folders = _folders_in(here)
        parts = any(part_named(name) in (TRAIN, VALIDATION, TEST) for name in folders)
        if parts or len(folders) != 1:
            break
        if _has_images(here) or class_named(folders[0]) in names:
            return root, ()
        here = here / folders[0]
    else:
        return root, ()
    if here == root or not (parts or (folders and set(map(class_named, folders)) <= names)):
        return root, ()
    inside = printable(os.path.relpath(here, root))
    return here, (Note(f"{printable(root.name or str(root))} holds nothing but {inside}, which is used instead."),)


def _has_images(folder: Path) -> bool:
    return any(_is_image_name(entry.name) and not _is_folder(entry) for entry in _entries(folder))


def _labelled(parts: dict[str, Path]) -> tuple[dict[str, Path], tuple[Note, ...]]:
    """The sets, without evaluation sets that hold images but no class folders, and a note on these."""
    bare = [p for p in (VALIDATION, TEST) if p in parts and not _folders_in(parts[p]) and _has_images(parts[p])]
    if not parts.keys() - bare:
        return parts, ()
    notes = (
        Caution(
            f"{printable(parts[part].name)} is left out: its images are not in class folders, so their classes are "
            "unknown; use lanewise predict for such images"
        )
        for part in bare
    )
    return {part: folder for part, folder in parts.items() if part not in bare}, tuple(notes)


def list_tree(root: Path) -> Listing:
    """Find all images below a folder, whatever its layout."""
    _check_folder(root)
    files: list[ImageFile] = []
    skipped: list[tuple[str, str]] = []
    _collect(root, printable(str(root)), -1, files, skipped, set())
    return Listing(root, tuple(files), (), tuple(skipped))


def single_file(path: Path) -> ImageFile:
    """Take a file for an image whatever its name."""
    status = path.stat()
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return ImageFile(os.fspath(path), printable(os.fspath(path)), -1, stamp)


def part_named(folder: str) -> str | None:
    """The set of images that a folder's name stands for: "train", "validation" or "test"; None for other names.

    Names like Training, test-set, seg_train and valid stand for them, too.
    """
    found = _AROUND.fullmatch(folder.lower().replace("-", "_").replace(" ", "_").replace(".", "_"))
    word = found["word"] if found else ""
    return next((part for part, words in _WORDS.items() if word in words), None)


def class_named(folder: str) -> str:
    """The class that a folder stands for. Systems write one name with other bytes (NFC, NFD): it is one class."""
    return unicodedata.normalize("NFC", printable(folder))


def printable(name: str) -> str:
    r"""Make a file name fit for printing and for JSON: bytes that are no UTF-8 become `\xff`."""
    return name.replace(os.sep, "/").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _parts_of(root: Path) -> dict[str, Path]:
    """The folders train, val and test in `root`; none when it holds classes."""
    _check_folder(root)
    folders = _folders_in(root)
    parts: dict[str, Path] = {}
    for name in folders:
        part = part_named(name)
        if part is None:
            continue
        if part in parts:
            raise DataError(f"{root} holds both {parts[part].name!r} and {name!r}: keep one of them")
        parts[part] = _inner(root / name, part)
    classes = [name for name in folders if part_named(name) is None]
    if parts.keys() <= {UNLABELLED}:  # without others, it is the name of a class
        _check_no_unknown_parts(root, folders)
        return {}
    parts.pop(UNLABELLED, None)
    if parts and classes:
        raise DataError(
            f"{root} holds {some(repr(path.name) for path in parts.values())} beside {some(map(repr, classes))}: it "
            "may hold either train, val and test, or one folder per class: move what does not belong, or rename it if "
            "it is a class"
        )
    return parts


def _folders_in(root: Path) -> list[str]:
    return [entry.name for entry in _entries(root) if _is_folder(entry)]


def _inner(folder: Path, part: str) -> Path:
    """The folder itself, or the only one in it if that has the name of the same part: archives are packed like that."""
    entries = list(_entries(folder))
    if len(entries) == 1 and _is_folder(entries[0]) and part_named(entries[0].name) == part:
        return folder / entries[0].name
    return folder


def _check_no_unknown_parts(root: Path, folders: Sequence[str]) -> None:
    """Refuse folders that hold the same classes each, and that the word train or test says are no classes."""
    if not any(word in name.lower() for name in folders for word in ("train", "test", "valid", "fold", "split")):
        return
    inside = [frozenset(map(class_named, _folders_in(_unpacked(root / name)))) for name in folders]
    if len(folders) > 1 and len(inside[0]) > 1 and len(set(inside)) == 1:
        raise DataError(
            f"{some(map(repr, folders))} in {root} hold folders of the same names, so they are not classes: name those "
            "to train, validate and test with train, val and test, and give one of the others by itself"
        )


def _unpacked(folder: Path) -> Path:
    """The folder itself, or the only one in it if that has the same name."""
    return folder / folder.name if _folders_in(folder) == [folder.name] else folder


def perhaps_parts(listing: Listing) -> Caution | None:
    """A word where each class holds folders of the same names, which may be the classes."""
    inside: dict[int, set[str]] = {}
    if listing.part is not None:  # classes are no folders
        return None
    for file in listing.files:
        # Only what lies between the folder of the class and the file: nothing else names a class.
        below = Path(file.path).relative_to(listing.folder).parts[1:-1]
        inside.setdefault(file.label, set()).add(class_named(below[0]) if below else "")
    names = inside.get(0, set())
    if len(inside) < 2 or len(names) < 2 or "" in names or any(others != names for others in inside.values()):
        return None
    return Caution(
        f"{some(map(repr, listing.classes))} are taken as the classes, but each holds {some(map(repr, sorted(names)))}:"
        " if these are the classes, name the folders around them train, val and test, or give one of them"
    )


def _list_classes(root: Path, folder: Path, known: Sequence[str] | None, *, learning: bool) -> Listing:
    """List one folder a class. With `known` classes there may be fewer in the folder, but no others."""
    entries = list(_entries(folder))
    names = [entry.name for entry in entries if _is_folder(entry)]
    loose = [entry.name for entry in entries if _is_image_name(entry.name) and not _is_folder(entry)]
    if not names:
        found = "images but no folders" if loose else "no images"
        raise DataError(f"{folder} holds {found}: put each class into a folder with its name")
    classes = tuple(dict.fromkeys(map(class_named, names))) if known is None else tuple(known)
    if learning and len(classes) < 2:
        inside = _folders_in(folder / names[0])
        hint = f"; if {some(map(repr, inside))} are classes, give {folder / names[0]}" if len(inside) > 1 else ""
        raise DataError(f"{folder} holds only one class, {classes[0]!r}, but training needs at least two{hint}")
    place = {unicodedata.normalize("NFC", name): n for n, name in enumerate(classes)}
    prefix = printable(os.path.relpath(folder, root) + "/") if folder != root else ""
    files: list[ImageFile] = []
    skipped = [(prefix + printable(name), "it lies outside the folders of the classes") for name in loose]
    for name in names:
        shown = class_named(name)
        if shown not in place:
            told = some(map(repr, classes))
            raise DataError(f"{folder} holds a folder {shown!r}, which is none of the classes {told}")
        before = len(files)
        _collect(folder / name, prefix + shown, place[shown], files, skipped, set())
        if learning and len(files) == before:
            raise DataError(f"the class {shown!r} in {folder} holds no images: add some, or remove its folder")
    if not files:
        raise DataError(f"there are no images in {folder}: no file ends in {' '.join(SUFFIXES)}")
    return Listing(folder, tuple(files), classes, tuple(skipped))


def _collect(
    folder: str | Path,
    name: str,
    label: int,
    files: list[ImageFile],
    skipped: list[tuple[str, str]],
    seen: set[tuple[int, int]],
) -> None:
    """Add the images below `folder`, depth first. Links are followed, but no folder is entered twice."""
    here = os.stat(folder)
    if (here.st_dev, here.st_ino) in seen:
        return
    seen.add((here.st_dev, here.st_ino))
    for entry in _entries(folder):
        shown = f"{name}/{printable(entry.name)}"
        try:
            if entry.is_dir():
                _collect(entry.path, shown, label, files, skipped, seen)
                continue
            status = entry.stat()
        except OSError as error:
            skipped.append((shown, (error.strerror or "it cannot be opened").lower()))
            continue
        if not _is_image_name(entry.name):
            skipped.append((shown, named_by(os.path.splitext(entry.name)[1])))
        elif not stat.S_ISREG(status.st_mode):
            skipped.append((shown, "it is not an ordinary file"))
        else:
            stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            files.append(ImageFile(entry.path, shown, label, stamp))


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, in the order of names, without hidden files and the litter of file browsers."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from None
    return (entry for entry in found if not entry.name.startswith(".") and entry.name.lower() not in _LITTER)


def _check_folder(root: Path) -> None:
    try:
        status = os.stat(root)
    except (FileNotFoundError, ValueError):  # or a name that no file can have
        raise DataError(f"no such folder: {root}") from None
    except OSError as error:
        raise DataError(f"cannot read the folder {root}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise DataError(f"{root} is not a folder of images")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES
