"""The arena: blocks that are alive together never share a byte, and the others do share."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise import limits
from lanewise.engine.memory import ALIGNMENT, Block, place
from lanewise.errors import TooLargeError
from lanewise.limits import available_memory, check_memory


def _random_blocks(rng: np.random.Generator) -> list[Block]:
    blocks = []
    for _ in range(rng.integers(1, 40)):
        first = int(rng.integers(0, 30))
        size = int(rng.choice([rng.integers(1, 200), rng.integers(1, 5) * 64, rng.integers(1000, 9000)]))
        blocks.append(Block(size, first, first + int(rng.integers(0, 12)), bool(rng.random() < 0.15)))
    return blocks


@pytest.mark.parametrize("seed", range(60))
def test_random_blocks(seed: int) -> None:
    blocks = _random_blocks(np.random.default_rng(seed))
    starts, size = place(blocks)
    assert all(start % ALIGNMENT == 0 for start in starts)
    assert size % ALIGNMENT == 0
    owners: list[dict[int, int]] = []
    for call in range(45):
        bytes: dict[int, int] = {}
        for number, (block, start) in enumerate(zip(blocks, starts, strict=True)):
            if block.lasting or block.first <= call <= block.last:
                for byte in range(start, start + block.size, 8):
                    assert bytes.setdefault(byte // 8, number) == number, "two blocks alive together overlap"
                    assert byte < size
        owners.append(bytes)
    for number, block in enumerate(blocks):
        if block.lasting:
            own = set(range(starts[number] // 8, (starts[number] + block.size + 7) // 8))
            others = {byte for bytes in owners for byte, owner in bytes.items() if owner != number}
            assert not own & others, "a lasting block shares its place"


def test_blocks_one_after_the_other_share() -> None:
    chain = [Block(640, n, n + 1) for n in range(20)]
    starts, size = place(chain)
    assert size == 2 * 640
    assert len(set(starts)) == 2
    assert place([])[1] == 0
    assert place([Block(640, n, n + 1, lasting=True) for n in range(20)])[1] == 20 * 640


def test_gaps_are_filled() -> None:
    """A small block goes between two that leave room for it."""
    blocks = [Block(1024, 0, 9), Block(512, 0, 3), Block(512, 5, 9), Block(448, 0, 9), Block(64, 4, 4)]
    starts, size = place(blocks)
    assert size == 1024 + 512 + 448
    assert starts[1] == starts[2] == starts[4]


def test_too_much_memory_is_said_before() -> None:
    available = available_memory()
    assert available is not None
    assert available > 2**20
    check_memory("nothing", 0)
    with pytest.raises(TooLargeError, match=r"^this needs [\d.]+ GB of memory, but only [\d.]+ GB are free; use fewer"):
        check_memory("this", 2**60)
    with pytest.raises(TooLargeError, match="or a batch smaller than 512"):
        check_memory("this", 2**60, 512)
    with pytest.raises(TooLargeError) as caught:
        check_memory("this", 2**60, 64)
    assert "batch" not in str(caught.value)


def test_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "available_memory", lambda: None)
    check_memory("this", 2**60)
