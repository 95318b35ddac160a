"""Kernels: one file per family, forward beside backward, the formula first. Each function records one program."""
