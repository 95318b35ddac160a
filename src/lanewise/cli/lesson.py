"""`lanewise lesson`: what a convolutional network is, in scripts that run."""

from __future__ import annotations

import click

from lanewise.cli.options import PATH


@click.command()
@click.argument("number", required=False, type=click.IntRange(1, 6))
@click.argument("images", default="digits", type=PATH)
def lesson(number: int | None, images: str) -> None:
    """Run a lesson on what a convolutional network is.

    NUMBER is 1 to 6; without it, the lessons are listed. IMAGES is a folder with one subfolder of images per class, an
    .npz file, or the word digits (the default). Drawings go into the folder lessons in the current folder.
    """
    from lanewise.lessons import SCRIPTS, title

    if number is None:
        for known in SCRIPTS:
            click.echo(f"{known}  {title(known)}")
        click.echo(f"\nRun one with: lanewise lesson NUMBER [IMAGES]\nRead and change the scripts: {SCRIPTS[1].parent}")
        return
    import runpy
    import sys

    from lanewise.extras import need

    for module in ("matplotlib", "scipy"):
        need(module, "a lesson")
    sys.argv = [str(SCRIPTS[number]), images]
    runpy.run_path(sys.argv[0], run_name="__main__")
