"""The command line: `lanewise train`, `predict`, `evaluate` and `inspect`.

    group.py        the command `lanewise` itself: errors as one line, exit status
    options.py      types of options: 30s, 30x30x3, and options that commands share
    train.py predict.py evaluate.py inspect.py    a command each: what it is asked, in which order it works
    saving.py       where a trained model goes, so that nothing is lost
    output.py       what is said: to people on the terminal, to programs as JSON
    progress.py     the live bar, or plain lines where there is no terminal
    judging.py      an evaluation as tables
    wording.py      numbers, durations, shapes and file names as people read them

Nothing but click is imported before a command runs, so that help comes at once.
"""


def main() -> None:
    """Run the command line: the entry point."""
    from lanewise.cli.group import lanewise

    lanewise()
