"""Experiments with networks: many variants side by side, and what learning the filters is worth."""
