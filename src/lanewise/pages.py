"""Pages, each one HTML file, from a template that lies beside the code which fills it.

text = template("lanewise.report", "page.html.j2", percent=percent).render(model=model)
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from lanewise.extras import need


def shipped_text(package: str, name: str) -> str:
    """A text file of a package of ours."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def template(package: str, name: str, **filters: Any) -> Any:
    """A page to be rendered: values are escaped, and one that is missing is an error rather than nothing.

    Parameters
    ----------
    package, name : str
        Where the template lies.
    **filters : callable
        What it calls to write values.

    Raises
    ------
    MissingPackageError
        Jinja is not installed.
    """
    need("jinja2", "a page")
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= filters
    return environment.from_string(shipped_text(package, name))
