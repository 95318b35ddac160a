"""Stress runs: much tried, all of it right. `python -m tests.reliability.networks --count 2000` and so on.

Each module tries one kind of thing, prints "KIND: tried N, right M" and fails where M is less; the tests run a few.
"""
