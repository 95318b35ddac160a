"""The command `lanewise`: train, predict, evaluate, inspect, report, check, import, compare, vary, bench, lesson
and cache.

    output.py       what is said: to people on the terminal, to programs as JSON
    progress.py     the live bar, or plain lines where there is no terminal
    evaluating.py      an evaluation as tables
    layers.py       a network as tables, and what its numbers mean
    reporting.py    where a page about a model goes
    streams.py      output that may go away while the work goes on
    saving.py       where a trained model goes, so that nothing is lost
    training.py     what `train` does between its options and its exit status
    experimenting.py   what commands that train several networks share
    options.py      values like 30s and 30x30x3, and options that commands share
    train.py predict.py evaluate.py inspect.py report.py check.py import_.py compare.py vary.py bench.py
                    lesson.py cache.py   a command each
    group.py        the command `lanewise` itself: errors as one line, exit status

Before a command runs, nothing is imported but click, so that help comes at once.
"""

import sys


def main() -> None:
    """Run the command line: the entry point."""
    from lanewise import interrupts
    from lanewise.cli.streams import lost, make_lasting, silence
    from lanewise.launch import number

    make_lasting()
    if number() > 0:  # the first rank speaks for all
        silence()
    interrupts.ends_soon = True
    status: int | str | None = 0
    try:
        from lanewise.cli.group import lanewise

        lanewise()
    except SystemExit as ended:
        status = ended.code
    except KeyboardInterrupt:  # before the command began, or after it
        interrupts.ignore()
        print("lanewise: stopped", file=sys.stderr)
        # Python notes an interrupt inside an `exec`, as dataclasses use it, and `python -m` would then end by a signal
        # in spite of the status: another `exec` clears the note.
        exec("pass")
        status = 130
    reason = lost()
    if reason is not None:
        rest = "" if status else "; all else was done"
        print(f"lanewise: standard output could not be written: {reason}{rest}", file=sys.stderr)
        status = status or 1  # a worse status says more
    sys.exit(status)
