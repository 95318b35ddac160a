"""Measurements of Lanewise, beside other frameworks where they do the same work: `python -m benchmarks --help`.

In the order things happen: `nets.py` and `data.py` say what is learned, `peers/` learns it (one file a framework),
`worker.py` runs a peer in a process of its own, `race.py` times them in turn, `train.py` says what came of it. Lanewise
by itself is measured in `kernels.py`, `mnist.py`, `signboard.py` and `install.py`. `report.py` prints for all of them.
"""
