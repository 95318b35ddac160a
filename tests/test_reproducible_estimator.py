"""The same random_state gives the same bits, whatever the number of threads, the process and what was fitted before."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from lanewise import CNNClassifier

pytestmark = pytest.mark.usefixtures("all_processors")

X, Y = load_digits(return_X_y=True)

CASES: dict[str, dict[str, Any]] = {
    "images": {"image_shape": (8, 8), "batch_size": 48},
    "rows": {},
    "adamw": {"image_shape": (8, 8), "optimizer": "adamw", "augment": "shift+flip"},
    "dropout": {"image_shape": (8, 8), "network": "conv 5@3x3, relu, dropout 0.3, dense 10"},
}


def probabilities(threads, **options):
    classifier = CNNClassifier(epochs=3, threads=threads, random_state=7, **options)
    return classifier.fit(X[:500], Y[:500]).predict_proba(X)


@pytest.mark.parametrize("name", CASES)
def test_threads_do_not_change_a_bit(name):
    one = probabilities(1, **CASES[name])
    assert np.isfinite(one).all()
    for threads in (2, 3):
        assert probabilities(threads, **CASES[name]).tobytes() == one.tobytes()


def test_threads_do_not_change_a_bit_of_partial_fit():
    results = []
    for threads in (1, 2):
        classifier = CNNClassifier(image_shape=(8, 8), threads=threads, random_state=7)
        for part in np.array_split(np.arange(600), 3):
            classifier.partial_fit(X[part], Y[part], classes=range(10))
        results.append(classifier.predict_proba(X).tobytes())
    assert results[0] == results[1]


def test_what_was_fitted_before_does_not_matter():
    classifier = CNNClassifier(image_shape=(8, 8), epochs=2, random_state=7, threads=2)
    first = clone(classifier).fit(X[:300], Y[:300]).predict_proba(X)
    classifier.fit(X[300:700], Y[300:700] > 4)
    assert classifier.fit(X[:300], Y[:300]).predict_proba(X).tobytes() == first.tobytes()


def test_another_process_gets_the_same_bits():
    program = """
import hashlib
from sklearn.datasets import load_digits
from lanewise import CNNClassifier

X, y = load_digits(return_X_y=True)
classifier = CNNClassifier(epochs=3, threads=2, random_state=7, image_shape=(8, 8), batch_size=48)
print(hashlib.sha256(classifier.fit(X[:500], y[:500]).predict_proba(X).tobytes()).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(probabilities(1, **CASES["images"]).tobytes()).hexdigest()
