"""Measurements of Lanewise, beside other frameworks where they do the same work: `python -m benchmarks --help`.

What is raced, and how competitors are run in turn, is part of the package: `lanewise.bench`, where `lanewise bench`
uses it too. Here `train.py`, `infer.py`, `threads.py`, `compiling.py`, `memory.py` and `growth.py` say what is measured
and what came of it; Lanewise by itself is measured in `kernels.py`, `mnist.py`, `signboard.py` and `install.py`.
`environment.py` is where the other frameworks live; `options.py` is what commands share; `report.py` and `svg.py` print
and draw.
"""
