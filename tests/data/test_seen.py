"""Images that a model has seen are known again, and nothing in a file can break the reading of them."""

import json

import numpy as np
import pytest

from lanewise.data.held_out import hold_out
from lanewise.data.images import Images
from lanewise.data.seen import HELD, NEW, TRAINED, Seen, hashes_of
from tests.reliability.seen import tried

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (300, 5, 4, 3)).astype(np.uint8)


def seen_of(pixels, trained, held):
    nothing = Seen.nothing(pixels)
    hashes = hashes_of(pixels, nothing.form)
    return nothing.and_more(hashes[trained], hashes[held])


FORMS = [
    IMAGES,
    IMAGES.astype(np.float32),
    (IMAGES / 255).astype(np.float32),
    IMAGES.astype(np.float32) / np.float32(255),
    (IMAGES / 127.5 - 1).astype(np.float32),
]


@pytest.mark.parametrize("given", FORMS)
@pytest.mark.parametrize("asked", [FORMS[0], FORMS[1]])
def test_images_are_known_again_whatever_form_they_come_in(given, asked):
    seen = Seen.from_json(json.loads(json.dumps(seen_of(given, np.arange(200), np.arange(200, 250)).to_json())))
    assert seen.kinds(given).tolist() == [TRAINED] * 200 + [HELD] * 50 + [NEW] * 50
    assert seen.kinds(asked[::-1]).tolist() == [NEW] * 50 + [HELD] * 50 + [TRAINED] * 200


def test_a_copy_of_a_training_image_is_no_held_out_one():
    seen = seen_of(IMAGES[[0, 1, 0]], np.array([0, 1]), np.array([2]))
    assert seen.kinds(IMAGES[:3]).tolist() == [TRAINED, TRAINED, NEW]


def test_sixty_thousand_images_take_less_than_300_kb():
    hashes = RANDOM.integers(0, 2**40, 60_000, dtype=np.uint64)
    assert len(json.dumps(Seen.of("bytes", hashes, hashes[:0]).to_json())) < 300_000


GOOD = seen_of(IMAGES, np.arange(10), np.arange(10, 12)).to_json()
PART = GOOD["trained_on"]


@pytest.mark.parametrize(
    "rubbish",
    [
        *(None, [], "x", {}, {**GOOD, "form": "other"}, {**GOOD, "form": []}, {**GOOD, "held_out": 3}),
        *({**GOOD, "trained_on": {**PART, "count": n}} for n in (-1, 9, 11, 10**12, True, 1.5, "10", None)),
        *(
            {**GOOD, "trained_on": {**PART, "hashes": t}}
            for t in ("", "é", "AAAA", 5, None, PART["hashes"][:-8] + "AAAAAAA=")
        ),
    ],
)
def test_rubbish_is_no_memory(rubbish):
    assert Seen.from_json(rubbish) is None


def test_what_was_held_out_stays_held_out():
    images = Images(IMAGES, (np.arange(300) % 3).astype(np.int32), tuple("abc"))
    everything = np.arange(300)
    first = hold_out(images, everything[:200], 0.2, 0, None)
    again = hold_out(images, everything[:200], 0.2, 7, first.seen())
    assert again.held.tolist() == first.held.tolist()
    more = hold_out(images, everything, 0.2, 7, first.seen())
    assert set(first.held) < set(more.held)
    assert not set(more.held) & set(first.trained)
    assert len(more.held) == 60
    third = more.seen()
    assert third.kinds(IMAGES).tolist() == [HELD if n in more.held else TRAINED for n in range(300)]


def test_where_all_were_trained_on_nothing_is_held_out_honestly():
    images = Images(IMAGES, (np.arange(300) % 3).astype(np.int32), tuple("abc"))
    whole = hold_out(images, np.arange(300), 0, 0, None)
    again = hold_out(images, np.arange(300), 0.1, 0, whole.seen())
    assert len(again.held) == 30
    assert not again.honest
    assert not (again.seen().kinds(IMAGES) == HELD).any()


def test_training_images_never_pass_for_new_ones_whatever_happens_to_their_files():
    assert tried(6) == []
