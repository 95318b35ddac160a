"""The optimizers by name, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping

LEARNING_RATES = {"sgd": 0.05, "adamw": 0.002, "muon": 0.02}
NORMALISED_LEARNING_RATES = {"sgd": 0.2, "adamw": 0.002, "muon": 0.06}
"""Of networks with batch normalisation that is trained: the size of weights before it changes nothing but the rate."""

WEIGHT_DECAYS = {"sgd": 5e-4, "adamw": 0.01, "muon": 0.1}
AUTO = "auto"


def each(defaults: Mapping[str, float]) -> str:
    """One number for each optimizer, in words."""
    return ", ".join(f"{value:g} for {name}" for name, value in defaults.items())
