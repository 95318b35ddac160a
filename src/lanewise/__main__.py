"""`python -m lanewise` is the command `lanewise`."""

from lanewise.cli import main

main()
