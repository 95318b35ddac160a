"""ONNX's own tests of the operators that are read: right numbers, or a refusal that names the node; nothing else."""

import pytest

from lanewise.model_file.operators import OPERATORS
from tests.onnx_counts import by_engine, by_reference, converted_tests, count, node_tests


@pytest.mark.parametrize(
    ("tests", "passed", "least"),
    # ONNX adds tests from release to release; what passed once must go on passing.
    [(node_tests, 67, 150), (converted_tests, 42, 60)],
    ids=["single operators", "models of other frameworks"],
)
@pytest.mark.parametrize("compute", [by_reference, by_engine])
def test_none_of_onnx_own_tests_gives_a_wrong_answer(tests, passed, least, compute):
    total, _, lines = count(tests(), compute)
    print(dict(total))
    assert not [line for line in lines if line.startswith("wrong")]
    assert total["passed"] >= passed, "\n".join(lines)
    assert total.total() >= least


def test_every_operator_meets_a_test():
    _, by_operator, _ = count(node_tests())
    assert set(OPERATORS) - {"Cast", "Shape"} <= set(by_operator), "these two write other types than float32"
