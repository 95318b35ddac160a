"""Shows functions that take options (`training/signatures.py`) as they are at run time: griffe reads sources alone."""

from __future__ import annotations

import inspect
from typing import Any

import griffe

MADE = ("lanewise.training.fit.train", "lanewise.estimator.CNNClassifier", "lanewise.estimator.CNNClassifier.__init__")


class Options(griffe.Extension):
    """Takes parameters and docstrings of `MADE` from the functions themselves."""

    def on_class(self, *, cls: griffe.Class, **rest: Any) -> None:
        """Explain the options of a class."""
        if cls.path in MADE and cls.docstring is not None:
            cls.docstring.value = inspect.getdoc(griffe.dynamic_import(cls.path)) or ""

    def on_function(self, *, func: griffe.Function, **rest: Any) -> None:
        """Show the parameters that a function takes."""
        if func.path not in MADE:
            return
        made = griffe.dynamic_import(func.path)
        func.parameters = griffe.Parameters(
            *(
                griffe.Parameter(
                    one.name,
                    annotation=None if one.annotation is one.empty else str(one.annotation),
                    kind=griffe.ParameterKind[one.kind.name.lower()],
                    default=None if one.default is one.empty else repr(one.default),
                )
                for one in inspect.signature(made).parameters.values()
            )
        )
        if func.docstring is not None:
            func.docstring.value = inspect.getdoc(made) or ""
