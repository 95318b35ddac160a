"""Which files of a folder are images, of which class, for training or for evaluation. Nothing is decoded here.

    FOLDER/CLASS/*.png                          one set
    FOLDER/{train,val,test}/CLASS/*.png         up to three sets; `validation` is as good as `val`
    FOLDER/ONE/...                              either of these, one folder deeper, as archives are unpacked

Folders inside a class belong to the class. The order is that of the names, so it is the same everywhere. The folder may
be a tar file that holds folders (`tar_folders.py`): then these are the rules, too.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lanewise.data.formats import named_by
from lanewise.data.tree import Entry, Folder, ImageFile, printable, stamp_of
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

_SUFFIXES = frozenset(SUFFIXES)

Tree = Folder[Any]
"""A folder, whatever its entries are."""

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


def list_sets(root: Tree) -> dict[str, Listing]:
    """Find the sets of images in a folder for training; `train` is always among them.

    Raises
    ------
    DataError
        When the folder is missing, or its layout is not one for training.
    """
    root = opened(root)
    inner, notes = entered(root)
    parts, left_out = _labelled(_parts_of(inner))
    notes = (*root.notes, *notes, *left_out)
    if not parts:
        return {TRAIN: _noting(notes, _list_classes(root, inner, None, learning=True))}
    if TRAIN not in parts:
        raise DataError(f"{inner} holds {' and '.join(parts)} but no train folder to train on")
    train = _noting(notes, _list_classes(root, parts[TRAIN], None, learning=True))
    others = (part for part in (VALIDATION, TEST) if part in parts)
    return {TRAIN: train} | {part: _list_classes(root, parts[part], train.classes, learning=False) for part in others}


def list_to_evaluate(root: Tree, classes: Sequence[str], split: str | None = None) -> tuple[str, Listing]:
    """Find the images to evaluate a model with: those in `test`, else in `validation`, else all there are.

    Parameters
    ----------
    root : Folder
    classes : sequence of str
        Those of the model.
    split : str, optional
        The set that is wanted, if there are sets.

    Returns
    -------
    part : str
        "test", "validation", "train" or, without such folders, "all".
    listing : Listing
        Labels are positions in `classes`; some classes may have no image.
    """
    root = opened(root, classes)
    inner, notes = entered(root, classes)
    notes = (*root.notes, *notes)
    there = _parts_of(inner)
    if split in (TRAIN, VALIDATION, TEST) and there:
        if split not in there:
            words = ("validation", "val") if split == VALIDATION else (split,)
            raise DataError(f"{inner} holds no folder {' or '.join(map(repr, words))}")
        return split, _noting(notes, _list_classes(root, there[split], classes, learning=False))
    parts, left_out = _labelled(there)
    notes += left_out
    for part in (TEST, VALIDATION, TRAIN):
        if part in parts:
            return part, _noting(notes, _list_classes(root, parts[part], classes, learning=False))
    return "all", _noting(notes, _list_classes(root, inner, classes, learning=False))


def _noting(notes: tuple[Note, ...], listing: Listing) -> Listing:
    return replace(listing, notes=(*notes, *listing.notes))


def opened(root: Tree, known: Sequence[str] = ()) -> Tree:
    """What was packed: the folder around all, as `tar cf photos.tar photos` puts it there; else the folder itself.

    It is a folder of folders with nothing beside it, and no set or one of the classes that are `known`.
    """
    names = {unicodedata.normalize("NFC", name) for name in known}
    for _ in range(DEEPEST):
        folders = _folders_in(root) if root.packed else []
        if len(folders) != 1 or part_named(folders[0]) is not None or class_named(folders[0]) in names:
            break
        inside = root.inside(folders[0])
        if _has_images(root) or not _folders_in(inside):
            break
        root = inside
    return root


def entered(root: Tree, known: Sequence[str] | None = None) -> tuple[Tree, tuple[Note, ...]]:
    """The folder itself, or the one inside where only that can be meant, which is said.

    That is one that holds train and test, or classes that are `known` already, and has no other folder or image beside
    it.
    """
    root.check()
    names = {unicodedata.normalize("NFC", name) for name in known or ()}
    here = root
    for _ in range(DEEPEST):
        folders = _folders_in(here)
        parts = any(part_named(name) in (TRAIN, VALIDATION, TEST) for name in folders)
        if parts or len(folders) != 1:
            break
        if _has_images(here) or class_named(folders[0]) in names:
            return root, ()
        here = here.inside(folders[0])
    else:
        return root, ()
    if here is root or not (parts or (folders and set(map(class_named, folders)) <= names)):
        return root, ()
    inside = printable(os.path.relpath(here.path, root.path))
    return here, (Note(f"{printable(root.path.name or str(root))} holds nothing but {inside}, which is used instead."),)


def _has_images(folder: Tree) -> bool:
    return any(_is_image_name(entry.name) and not _is_folder(entry) for entry in _entries(folder))


def _labelled(parts: dict[str, Tree]) -> tuple[dict[str, Tree], tuple[Note, ...]]:
    """The sets, without evaluation sets that hold images but no class folders, and a note on these."""
    bare = [p for p in (VALIDATION, TEST) if p in parts and not _folders_in(parts[p]) and _has_images(parts[p])]
    if not parts.keys() - bare:
        return parts, ()
    notes = (
        Caution(
            f"{printable(parts[part].path.name)} is left out: its images are not in class folders, so their classes "
            "are unknown; use lanewise predict for such images"
        )
        for part in bare
    )
    return {part: folder for part, folder in parts.items() if part not in bare}, tuple(notes)


def list_tree(root: Tree, name: str) -> Listing:
    """Find all images below a folder, whatever its layout. Their names begin with `name`, unless that is empty."""
    root.check()
    files: list[ImageFile] = []
    skipped: list[tuple[str, str]] = []
    _collect(root, root, f"{name}/" if name else "", -1, files, skipped, set())
    return Listing(root.path, tuple(files), (), tuple(skipped), root.notes)


def single_file(path: Path) -> ImageFile:
    """Take a file for an image whatever its name."""
    return ImageFile(os.fspath(path), printable(os.fspath(path)), -1, stamp_of(path.stat()))


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


def _parts_of(root: Tree) -> dict[str, Tree]:
    """The folders train, val and test in `root`; none when it holds classes."""
    root.check()
    folders = _folders_in(root)
    parts: dict[str, Tree] = {}
    for name in folders:
        part = part_named(name)
        if part is None:
            continue
        if part in parts:
            raise DataError(f"{root} holds both {parts[part].path.name!r} and {name!r}: keep one of them")
        parts[part] = _inner(root.inside(name), part)
    classes = [name for name in folders if part_named(name) is None]
    if parts.keys() <= {UNLABELLED}:  # without others, it is the name of a class
        _check_no_unknown_parts(root, folders)
        return {}
    parts.pop(UNLABELLED, None)
    if parts and classes:
        raise DataError(
            f"{root} holds {some(repr(one.path.name) for one in parts.values())} beside {some(map(repr, classes))}: it "
            "may hold either train, val and test, or one folder per class: move what does not belong, or rename it if "
            "it is a class"
        )
    return parts


def _folders_in(root: Tree) -> list[str]:
    return [entry.name for entry in _entries(root) if _is_folder(entry)]


def _inner(folder: Tree, part: str) -> Tree:
    """The folder itself, or the only one in it if that has the name of the same part: archives are packed like that."""
    entries = list(_entries(folder))
    if len(entries) == 1 and _is_folder(entries[0]) and part_named(entries[0].name) == part:
        return folder.inside(entries[0].name)
    return folder


def _check_no_unknown_parts(root: Tree, folders: Sequence[str]) -> None:
    """Refuse folders that hold the same classes each, and that the word train or test says are no classes."""
    if not any(word in name.lower() for name in folders for word in ("train", "test", "valid", "fold", "split")):
        return
    inside = [frozenset(map(class_named, _folders_in(_unpacked(root.inside(name))))) for name in folders]
    if len(folders) > 1 and len(inside[0]) > 1 and len(set(inside)) == 1:
        raise DataError(
            f"{some(map(repr, folders))} in {root} hold folders of the same names, so they are not classes: name those "
            "to train, validate and test with train, val and test, and give one of the others by itself"
        )


def _unpacked(folder: Tree) -> Tree:
    """The folder itself, or the only one in it if that has the same name."""
    return folder.inside(folder.path.name) if _folders_in(folder) == [folder.path.name] else folder


def _perhaps_parts(classes: Sequence[str], files: Sequence[ImageFile], start: int) -> tuple[Caution, ...]:
    """A word where each class holds folders of the same names, which may be the classes.

    The names of files have `start` characters before that of their class.
    """
    inside: dict[int, set[str]] = {}
    for file in files:
        # Only what lies between the folder of the class and the file: nothing else names a class.
        below = file.name[start:].split("/", 2)[1:-1]
        inside.setdefault(file.label, set()).add(class_named(below[0]) if below else "")
    names = inside.get(0, set())
    if len(inside) < 2 or len(names) < 2 or "" in names or any(others != names for others in inside.values()):
        return ()
    return (
        Caution(
            f"{some(map(repr, classes))} are taken as the classes, but each holds {some(map(repr, sorted(names)))}: if "
            "these are the classes, name the folders around them train, val and test, or give one of them"
        ),
    )


def _list_classes(root: Tree, folder: Tree, known: Sequence[str] | None, *, learning: bool) -> Listing:
    """List one folder a class. With `known` classes there may be fewer in the folder, but no others."""
    entries = list(_entries(folder))
    names = [entry.name for entry in entries if _is_folder(entry)]
    loose = [entry.name for entry in entries if _is_image_name(entry.name) and not _is_folder(entry)]
    if not names:
        found = "images but no folders" if loose else "no images"
        raise DataError(f"{folder} holds {found}: put each class into a folder with its name")
    classes = tuple(dict.fromkeys(map(class_named, names))) if known is None else tuple(known)
    if learning and len(classes) < 2:
        only = folder.inside(names[0])
        inside = _folders_in(only)
        hint = f"; if {some(map(repr, inside))} are classes, give {only}" if len(inside) > 1 else ""
        raise DataError(f"{folder} holds only one class, {classes[0]!r}, but training needs at least two{hint}")
    place = {unicodedata.normalize("NFC", name): n for n, name in enumerate(classes)}
    prefix = printable(os.path.relpath(folder.path, root.path) + "/") if folder.path != root.path else ""
    files: list[ImageFile] = []
    skipped = [(prefix + printable(name), "it lies outside the folders of the classes") for name in loose]
    own: dict[object, str] = {}
    for name in names:
        other = own.setdefault(folder.inside(name).identity(), name)
        if class_named(other) != class_named(name):
            raise DataError(f"{other!r} and {name!r} in {folder} are one folder, by a link: remove the link")
    for name in names:
        shown = class_named(name)
        if shown not in place:
            told = some(map(repr, classes))
            raise DataError(f"{folder} holds a folder {shown!r}, which is none of the classes {told}")
        before = len(files)
        inner = folder.inside(name)
        others = own.keys() - {inner.identity()}
        _collect(folder, inner, f"{prefix}{shown}/", place[shown], files, skipped, set(others))
        if learning and len(files) == before:
            raise DataError(f"the class {shown!r} in {folder} holds no images: add some, or remove its folder")
    if not files:
        raise DataError(f"there are no images in {folder}: no file ends in {' '.join(SUFFIXES)}")
    doubt = _perhaps_parts(classes, files, len(prefix))
    return Listing(folder.path, tuple(files), classes, tuple(skipped), doubt)


_AGAIN = "it is a link to a folder that is read elsewhere, or around it"


def _collect(
    root: Tree,
    folder: Tree,
    prefix: str,
    label: int,
    files: list[ImageFile],
    skipped: list[tuple[str, str]],
    seen: set[object],
) -> None:
    """Add the images below `folder`, depth first. Links are followed, but no folder is entered twice.

    Those to folders in `root` or around it are not: what lies there has a class by its own name.
    """
    inside: list[tuple[Tree, str, Iterator[Entry]]] = []  # and no recursion: folders may be deeper than Python's stack

    def enter(folder: Tree, prefix: str) -> None:
        here = folder.identity()
        if here in seen:
            skipped.append((prefix[:-1], _AGAIN))
            return
        seen.add(here)
        inside.append((folder, prefix, _entries(folder)))

    enter(folder, prefix)
    while inside:
        folder, prefix, entries = inside[-1]
        if (entry := next(entries, None)) is None:
            inside.pop()
            continue
        shown = prefix + printable(entry.name)
        try:
            if entry.is_dir():
                if folder.leads_back(entry, root):
                    skipped.append((shown, _AGAIN))
                else:
                    enter(folder.inside(entry.name), f"{shown}/")
                continue
            file = folder.image(entry, shown, label) if _is_image_name(entry.name) else None
        except OSError as error:
            skipped.append((shown, (error.strerror or "it cannot be opened").lower()))
            continue
        if file is None:
            skipped.append((shown, named_by(os.path.splitext(entry.name)[1])))
        elif isinstance(file, str):
            skipped.append((shown, file))
        else:
            files.append(file)


def _entries(folder: Tree) -> Iterator[Entry]:
    """What a folder holds, in the order of names, without hidden files and the litter of file browsers."""
    return (one for one in folder.entries() if not one.name.startswith(".") and one.name.lower() not in _LITTER)


def _is_folder(entry: Entry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_image_name(name: str) -> bool:
    return name[name.rfind(".") :].lower() in _SUFFIXES
