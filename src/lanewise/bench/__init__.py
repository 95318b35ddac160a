"""The same work done by Lanewise and by other frameworks, timed in turn.

    nets.py       the networks that are raced, as text
    data.py       random images and labels, the same for everybody
    ops.py        a network as a list of steps with the weights that everybody starts from
    workload.py   all of that as one value: what a competitor is given
    peers/        one file a framework: it learns, or predicts, what a workload says
    worker.py     a process that does so when it is told to
    process.py    the other end of its pipe
    race.py       workers timed in turn, and what came of it
    tables.py     the same as rows and sentences
    cold_start.py a process timed from its start, and the memory it took; who is ahead when
    environment.py    on what machine, with which versions, when
    versus.py     a network of the user's, beside whatever frameworks are installed

Files that a worker imports need NumPy and their own framework alone, so that a framework can be raced in an environment
where nothing of Lanewise is installed.
"""
