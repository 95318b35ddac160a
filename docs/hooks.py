"""What the site does to the files of the repository: pages from outside docs/ come in, and links between them hold."""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "ARCHITECTURE.md": "architecture.md",
    "BENCHMARKS.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Pages at the top of the repository, and what they are called in the site."""

LESSONS = {
    path.relative_to(ROOT).as_posix(): f"lessons/{path.stem}.md"
    for path in sorted((ROOT / "src" / "lanewise" / "lessons").glob("*_*.py"))
    if path.name[0].isdigit()
}
"""Scripts, and the pages that show them."""

PLACES = OUTSIDE | LESSONS | {"docs/decisions": "decisions.md"}
"""Where a link of the repository leads to in the site, if not to a page of the same name."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for name, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for name, page in LESSONS.items():
        code = (ROOT / name).read_text(encoding="utf-8")
        title = code.partition("\n")[0].strip('"').rstrip(".")
        files.append(
            File.generated(config, page, content=f"# {title}\n\n[What it shows.](README.md)\n\n```python\n{code}```\n")
        )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where things are in the site."""
    if page.parent is None and not page.is_homepage:  # alone under its tab
        page.meta.setdefault("hide", ["navigation"])
    names = {site: name for name, site in OUTSIDE.items()}
    path = names.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def moved(link: re.Match[str]) -> str:
        target, mark, anchor = link[1].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return link[0]
        there = normpath(f"{dirname(path)}/{target}".lstrip("/"))
        there = PLACES.get(there) or there.removeprefix("docs/")
        return f"]({relpath(there, dirname(page.file.src_uri) or '.')}{mark}{anchor})"

    return re.sub(r"\]\(([^)\s]+)\)", moved, markdown)
