"""One of the runs of `kills`."""

import os

import pytest

from tests.reliability import kills


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_killed_training_ends_with_the_same_bits() -> None:
    assert kills.trial(1) is None
