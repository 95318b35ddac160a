"""Public functions with three or more parameters say what each of them is."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "lanewise"

MANY = 3
"""Parameters from which on a signature does not explain itself."""


def undocumented(source: str) -> Iterator[str]:
    """The names of public functions and methods of a module whose parameters are not described."""
    yield from _undocumented(ast.parse(source))


def _undocumented(body: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in body.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _undocumented(node)
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not _is_command(node):
            said = ast.get_docstring(node) or ""
            if _count(node.args) >= MANY and "Parameters\n" not in said and "Buffers:" not in said:
                yield node.name


def _is_command(node: ast.FunctionDef) -> bool:
    """Whether the docstring is a help text, where each option has a help of its own."""
    return any("click.command" in ast.unparse(one) for one in node.decorator_list)


def _count(given: ast.arguments) -> int:
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return sum(one is not None and one.arg not in ("self", "cls") for one in named)


def test_parameters_are_described():
    missing = {
        path.relative_to(SOURCE).as_posix(): found
        for path in SOURCE.rglob("*.py")
        if (found := list(undocumented(path.read_text(encoding="utf-8"))))
    }
    assert not missing, f"describe the parameters of {missing}: under `Parameters`, or a kernel's as `Buffers:`"


def test_a_function_without_is_found():
    assert list(undocumented('def f(a, b, *, c):\n    """Do."""')) == ["f"]
    assert list(undocumented('class A:\n    def f(self, a, b, **c):\n        """Do."""')) == ["f"]
    assert not list(undocumented('def f(a, b):\n    """Do."""\ndef _g(a, b, c):\n    """Do."""'))
    assert not list(
        undocumented('def f(a, b, c):\n    """Do.\n\n    Parameters\n    ----------\n    a, b, c : int\n    """')
    )
