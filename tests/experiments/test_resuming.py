"""Experiments go on in the middle of a training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lanewise import vary
from lanewise.data.images import ImageSets
from lanewise.data.load import load
from lanewise.training import checkpoint
from lanewise.training.loop import Loop


class KilledError(BaseException):
    """Ends all, as a signal would."""


def test_a_training_under_way_goes_on_in_an_experiment(tmp_path, monkeypatch):
    """Killed in the third epoch of the second training, it has two to go: one of the second, three of the third."""
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)
    whole = load("digits")
    sets = ImageSets(whole.train.take(np.arange(200)), test=whole.test)
    options: dict[str, Any] = {"seeds": (0,), "epochs": 3, "folder": tmp_path}
    expected = vary(sets, "dense {10,20,30}, relu, dense 10", **options | {"folder": None})
    epoch, epochs = Loop.one_epoch, []

    def counted(self: Loop) -> None:
        epochs.append(1)
        if len(epochs) == 6:
            raise KilledError
        epoch(self)

    monkeypatch.setattr(Loop, "one_epoch", counted)
    with pytest.raises(KilledError):
        vary(sets, "dense {10,20,30}, relu, dense 10", **options)
    assert len(list(tmp_path.glob("vary-*.checkpoint"))) == 1
    found = vary(sets, "dense {10,20,30}, relu, dense 10", **options)
    assert len(epochs) - 6 == 1 + 3
    assert [row.accuracy for row in found.rows] == [row.accuracy for row in expected.rows]
    assert [path.name for path in tmp_path.iterdir()] == ["vary.jsonl"]
