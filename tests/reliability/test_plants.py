"""What others plant in a cache is neither run nor changed."""

from __future__ import annotations

import os

import pytest

from tests.reliability import plants


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps users' folders apart by other means")
@pytest.mark.parametrize("plant", [*plants.FOLDERS, *plants.ENTRIES], ids=lambda plant: plant.__name__)
def test_plants_are_survived(plant: plants.Plant) -> None:
    if plant not in plants.possible():
        pytest.skip("only the superuser can give a file to another user")
    assert plants.run([plant]) == []
