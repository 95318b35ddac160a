"""Lanewise trains convolutional networks on the CPU you already have.

    import lanewise

    model = lanewise.train("images")        # a folder with a subfolder per class
    model.predict("new.jpg")
    model.save("model.onnx")

Names are loaded when they are first used, so that `import lanewise` takes no time.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lanewise.version import __version__

_WHERE = {
    "train": "lanewise.training.fit",
    "Progress": "lanewise.training.task",
    "load": "lanewise.data.load",
    "ImageFiles": "lanewise.data.source",
    "Model": "lanewise.model",
    "evaluate": "lanewise.evaluation.evaluate",
    "check": "lanewise.data_check.check",
    "write_report": "lanewise.report.page",
    "CNNClassifier": "lanewise.estimator",
    "CNNFeatures": "lanewise.transformer",
    "compare": "lanewise.experiments.compare",
    "vary": "lanewise.experiments.vary",
    "search": "lanewise.experiments.search",
    "LanewiseError": "lanewise.errors",
    "LanewiseWarning": "lanewise.errors",
}

_PACKAGES = ("explain",)
"""Names of packages, to be used as `lanewise.explain.feature_maps`."""

__all__ = [
    "CNNClassifier",
    "CNNFeatures",
    "ImageFiles",
    "LanewiseError",
    "LanewiseWarning",
    "Model",
    "Progress",
    "__version__",
    "check",
    "compare",
    "evaluate",
    "explain",
    "load",
    "search",
    "train",
    "vary",
    "write_report",
]

if TYPE_CHECKING:
    from lanewise import explain
    from lanewise.data.load import load
    from lanewise.data.source import ImageFiles
    from lanewise.data_check.check import check
    from lanewise.errors import LanewiseError, LanewiseWarning
    from lanewise.estimator import CNNClassifier
    from lanewise.evaluation.evaluate import evaluate
    from lanewise.experiments.compare import compare
    from lanewise.experiments.search import search
    from lanewise.experiments.vary import vary
    from lanewise.model import Model
    from lanewise.report.page import write_report
    from lanewise.training.fit import train
    from lanewise.training.task import Progress
    from lanewise.transformer import CNNFeatures


class _Front(ModuleType):
    """The package: whatever file is imported, `lanewise.evaluate` stays the function of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Front


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"lanewise.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'lanewise' has no attribute {name!r}")
    try:
        value = getattr(import_module(_WHERE[name]), name)
    except ModuleNotFoundError as error:
        if error.name == "sklearn":
            raise ImportError(f'{name} needs scikit-learn: pip install "lanewise[sklearn]"') from error
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
