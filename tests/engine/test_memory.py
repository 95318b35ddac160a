"""The arena: blocks that are alive together never share a byte, and the others do share."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise import limits
from lanewise.engine import memory, operands
from lanewise.engine.inference import Inference
from lanewise.engine.memory import ALIGNMENT, Block, Slot, SlotCall, place
from lanewise.engine.recompute import again, recomputed
from lanewise.engine.single import SingleInference
from lanewise.engine.trainer import Trainer
from lanewise.errors import TooLargeError
from lanewise.kernels import optimizers
from lanewise.limits import available_memory, check_memory
from tests.engine.support import images_for, network, parameters_for, raw_for, steps_of


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


WITH_BORDERS = [
    "2 * (conv 8@3x3 same, relu), conv 8@5x5 same stride 2, conv 16@3x3 same, max 2, dense 3, softmax",
    "conv 8@3x3 same, batchnorm, relu, residual(conv 8@3x3 same, relu, conv 8@3x3 same), max 2, dense 3, softmax",
    "2 * (concat(conv 8@3x3 same | conv 8@1x5 same, max 3 same stride 1)), global average, dense 3, softmax",
    "conv 16@1, relu6, conv 16@3x3 same groups 16, relu6, conv 16@1, conv 16@3x3 same groups 16, dense 3, softmax",
]


@pytest.mark.parametrize("text", WITH_BORDERS)
def test_shared_memory_does_not_change_a_bit(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where values with a border take each other's places, the border is cleared each time."""
    graph = network(text, (3, 12, 12))
    parameters, images = parameters_for(graph), images_for(graph, 40)
    single = images[0]

    def everything(shared: bool) -> tuple[list[bytes], int]:
        monkeypatch.setattr(memory, "worth_sharing", lambda *_: shared)
        trainer = Trainer(graph, parameters, raw_for(graph), batch_size=40, threads=1)
        steps = steps_of(np.arange(40), 3, learning_rate=0.1)
        trainer.run(images, steps)
        trainer.run(images, steps)
        outputs = [*trainer.parameters, Inference(graph, parameters, raw_for(graph)).run(images)]
        one = SingleInference(graph, parameters, raw_for(graph))
        outputs += [one.run(single), one.run(single)]
        return [value.tobytes() for value in outputs], one._plan.arena

    (apart, separate), (together, shared) = everything(False), everything(True)
    assert apart == together
    assert shared < separate


NORMALISED = [
    "conv 8@3x3 same nobias, max 2, batchnorm, relu, 3 * (conv 8@3x3 same, batchnorm, silu), conv 8@3x3, dense 3",
    "conv 8@3x3 same, batchnorm, relu6, residual(conv 8@3x3 same, batchnorm, relu, conv 8@3x3 same, batchnorm), relu, "
    "conv 8@3x3 same groups 8, batchnorm frozen, gelu, global average, dense 3",
    "conv 4@3x3 same, elu, concat(conv 8@3x3 same, batchnorm, relu | max 3 same stride 1), dense 3",
]


@pytest.mark.parametrize("text", NORMALISED)
def test_values_made_again_do_not_change_a_bit(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network(f"{text}, softmax", (3, 12, 12))
    parameters, images = parameters_for(graph), images_for(graph, 40)

    def trained(large: int) -> tuple[list[bytes], int]:
        monkeypatch.setattr(operands, "LARGE", large)
        monkeypatch.setattr(operands, "ENOUGH", 1.0)
        needed = Trainer.memory(graph, raw_for(graph), 40, threads=1)
        trainer = Trainer(graph, parameters, raw_for(graph), batch_size=40, threads=1)
        trainer.run(images, steps_of(np.arange(40), 3, learning_rate=0.1))
        return [value.tobytes() for value in trainer.parameters], needed

    (kept, all_memory), (made_again, less) = trained(2**40), trained(0)
    assert kept == made_again
    assert less < all_memory


def test_only_values_whose_sources_are_kept_anyway_are_made_again() -> None:
    """What an activation reads is kept for nobody else, so nothing is saved; behind a normalisation it is."""

    def call(*slots: Slot) -> SlotCall:
        return optimizers.zero(16), slots

    x, y, z = ("value", 1), ("value", 2), ("value", 3)
    forward = [call(x), call(x, y), call(y, z), call(z)]
    activations = {y: forward[1], z: forward[2]}
    assert recomputed([*forward, call(z)], activations, 4) == [*forward, call(z)]
    behind = recomputed([*forward, call(z), call(x)], activations, 4)
    second_y, second_z = again(y), again(z)
    assert behind[4:] == [call(x, second_y), call(second_y, second_z), call(second_z), call(x)]


def test_sharing_is_worth_half_the_arena_or_what_is_past_all_caches() -> None:
    assert not memory.worth_sharing(2**18, 2**10)
    assert not memory.worth_sharing(2**20, 2**19 + 64)
    assert memory.worth_sharing(2**20, 2**19)
    assert memory.worth_sharing(2**26 + 64, 2**26)


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
