"""The house stands as it is drawn: imports go down, files stay short, heavy packages stay behind their doors."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lanewise.lanes import catalogue

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "lanewise"
FILES = sorted(SOURCE.rglob("*.py"))

FLOORS: dict[str, int] = {
    "version.py": 0,
    "errors.py": 0,
    "escaping.py": 0,
    "wording.py": 0,
    "notes.py": 0,
    "labels.py": 0,
    "interrupts.py": 0,
    "saving.py": 0,
    "figures.py": 0,
    "keywords.py": 0,
    "brief.py": 0,
    "frames.py": 0,
    "pages.py": 0,
    "extras.py": 0,
    "private.py": 0,
    "caching.py": 0,
    "cache_limit.py": 0,
    "forking.py": 0,
    "processors.py": 0,
    "launch.py": 0,
    "ranks.py": 0,
    "target.py": 0,
    "limits.py": 0,
    "proportions.py": 0,
    "abstention.py": 0,
    "resizing.py": 0,
    "preprocessing.py": 0,
    "network/": 1,
    "lanes/": 2,
    "kernels/": 3,
    "engine/": 4,
    "data/": 5,
    "model_file/": 5,
    "card.py": 6,
    "pixel_scale.py": 6,
    "inputs.py": 6,
    "model.py": 6,
    "foreign.py": 6,
    "pretrained/": 6,
    "training/": 7,
    "evaluation/": 8,
    "estimator.py": 8,
    "transformer.py": 8,
    "explain/": 8,
    "data_check/": 8,
    "experiments/": 8,
    "report/": 8,
    "bench/": 8,
    "lessons/": 9,
    "cli/": 9,
    "__main__.py": 10,
    "__init__.py": 9,  # what users import; inside, only the command line and the lessons do
}
LINES = 326
"""Of code; comments and docstrings are free."""

DOORS = {
    "llvmlite": {"engine/native.py", "target.py"},
    "pillow_heif": {"data/decode.py"},
    "PIL": {"data/decode.py", "data/encode.py"},
    "sklearn": {"estimator.py", "transformer.py", "report/figures.py"},
    "scipy": {"explain/"},
    "matplotlib": {"figures.py", "explain/", "lessons/", "report/plots.py", "experiments/plots.py"},
    "jinja2": {"pages.py"},
    "optuna": {"experiments/search_worker.py", "experiments/search_trial.py", "experiments/study.py"},
    "sqlalchemy": {"experiments/study.py"},
    "onnx": {"model_file/"},
    "click": {"cli/"},
    "mpi4py": {"ranks.py"},
    "rich": {"cli/", "training/progress.py"},
}
"""Package -> files or folders that may import it."""


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def floor(name: str) -> int:
    place = name.partition("/")[0] + ("/" if "/" in name else "")
    assert place in FLOORS, f"{name} stands on no floor: give it one in this test and in ARCHITECTURE.md"
    return FLOORS[place]


def imports(path: Path) -> list[str]:
    """All modules that a file imports, in functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} line {node.lineno}: imports are written out from lanewise on"
            assert node.module is not None
            # the version may be read anywhere: the package's front is there before any of its files
            submodules = [f"{node.module}.{alias.name}" for alias in node.names if alias.name != "__version__"]
            found += [m if file_of(m) else node.module for m in submodules]
    return found


def file_of(module: str) -> str | None:
    """The file of one of our modules, as `name_of` calls it."""
    place = ROOT / "src" / Path(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.exists() and SOURCE in path.parents:
            return name_of(path)
    return None


def code_lines(text: str) -> int:
    """Lines that hold code: no blank ones, comments or docstrings."""
    prose = {
        ast.get_docstring(n, clean=False) and n.body[0]
        for n in ast.walk(ast.parse(text))
        if hasattr(n, "body") and isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    told = {line for node in prose if node for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = enumerate(text.splitlines(), 1)
    return sum(1 for number, line in lines if number not in told and line.strip() and not line.lstrip().startswith("#"))


OWN_IMPORTS = {
    name_of(path): sorted({own for module in imports(path) if (own := file_of(module)) not in (None, name_of(path))})
    for path in FILES
}


def test_imports_go_down() -> None:
    wrong = [
        f"{name} (floor {floor(name)}) imports {other} (floor {floor(other)})"
        for name, others in OWN_IMPORTS.items()
        for other in others
        if floor(other) > floor(name)
    ]
    assert not wrong, wrong


def test_no_circles() -> None:
    """Within a floor there is an order, too."""
    try:
        order = list(TopologicalSorter(OWN_IMPORTS).static_order())
    except CycleError as error:
        pytest.fail(f"files import each other in a circle: {error.args[1]}")
    assert set(order) == {name_of(path) for path in FILES}


def test_recording_depends_on_no_more_than_its_digest_covers() -> None:
    """Programs are known again by a digest of these folders' sources: what they record may depend on nothing else."""
    without_influence = {"errors.py", "caching.py"}
    for name, others in OWN_IMPORTS.items():
        if name.startswith(tuple(f"{folder}/" for folder in catalogue.SOURCES)) and name != "lanes/llvm.py":
            outside = {o for o in others if o.partition("/")[0] not in catalogue.SOURCES} - without_influence
            assert not outside, f"{name} imports {outside}: add the folder to SOURCES in lanes/catalogue.py"


def test_packages_are_empty_but_for_their_fronts() -> None:
    """A folder's __init__ imports nothing from it, or whoever imports one file of it would get them all."""
    for name, others in OWN_IMPORTS.items():
        folder = name.removesuffix("__init__.py")
        if folder and folder != name and folder not in ("model_file/", "cli/", "explain/"):
            assert not others, f"{name} imports {others}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_short(path: Path) -> None:
    lines = code_lines(path.read_text())
    assert lines <= LINES, f"{name_of(path)} has {lines} lines of code; what in it has a name of its own?"


@pytest.mark.parametrize("package", DOORS)
def test_heavy_packages_stay_behind_their_doors(package: str) -> None:
    allowed = DOORS[package]
    users = {name_of(path) for path in FILES if any(m.split(".")[0] == package for m in imports(path))}
    wrong = {name for name in users if name not in allowed and name.partition("/")[0] + "/" not in allowed}
    assert not wrong, f"{package} is imported by {sorted(wrong)}"
    assert users, f"{package} is imported by nobody"


def test_only_the_compiler_mentions_llvm() -> None:
    mentions = {name_of(path) for path in FILES if "llvmlite" in path.read_text()}
    assert mentions <= {"lanes/llvm.py", "engine/native.py", "target.py"}


LIGHT = """
import sys
before = set(sys.modules)
import lanewise
print(*(name for name in set(sys.modules) - before if name.partition(".")[0] not in sys.stdlib_module_names))
"""


def test_import_is_light() -> None:
    """It takes no other package and no module of its own but the version."""
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"lanewise", "lanewise.version"}


PREDICTING = """
import sys
import numpy as np
from lanewise import Model
model = Model.load(sys.argv[1])
model.predict(np.zeros((1, *model.preprocessing.shape), np.uint8))
model.predict_one(np.zeros(model.preprocessing.shape, np.uint8))
print(*(name for name in sys.modules if name.startswith("lanewise.")))
"""


def test_prediction_imports_nothing_of_training() -> None:
    """Neither does loading a model: what only predicts starts the faster."""
    saved = ROOT / "tests" / "model_file" / "data" / "bytes.onnx"
    done = subprocess.run([sys.executable, "-c", PREDICTING, saved], capture_output=True, text=True, check=True)
    training = [m for m in done.stdout.split() if m.startswith(("lanewise.training", "lanewise.engine.trainer"))]
    assert "lanewise.engine.inference" in done.stdout.split()
    assert not training


def test_architecture_names_every_file() -> None:
    """The drawing is complete: each file is in ARCHITECTURE.md by its name, and it names no other."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    others = (path for kind in ("*.ll", "*.js", "*.css", "*.html") for path in SOURCE.rglob(kind))
    for path in [*FILES, *others]:
        if path.name != "__init__.py":
            assert path.name in text, f"{name_of(path)} is not in ARCHITECTURE.md"
