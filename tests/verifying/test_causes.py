"""Every difference between a label and a verdict has one cause."""

import pytest

from nbest.records import Problem, Verdict
from nbest.verifying import causes

MATH = Problem("p", "1/2?", target="1/2")
CODE = Problem("p", "def f", kind="code")


def test_an_agreement_has_no_cause():
    assert causes.find_cause(MATH, True, Verdict("p#0", True, "0.5")) is None
    assert causes.find_cause(CODE, False, Verdict("p#0", False, note="test 1 of 2")) is None


@pytest.mark.parametrize(
    ("problem", "label", "verdict", "cause"),
    [
        (MATH, True, Verdict("p#0", None, "0.5", "out of time"), causes.UNGRADED),
        (MATH, True, Verdict("p#0", False, None, "no answer"), causes.NO_ANSWER),
        (MATH, True, Verdict("p#0", False, "1/3"), causes.OTHER_ANSWER),
        (MATH, False, Verdict("p#0", True, "1 / 2"), causes.SAME_TEXT),
        (MATH, False, Verdict("p#0", True, "0.5"), causes.OTHER_FORM),
        (CODE, False, Verdict("p#0", True), causes.PASSED_TESTS),
        (CODE, True, Verdict("p#0", False, note="no program in the completion"), causes.WITHOUT_PROGRAM),
        (CODE, True, Verdict("p#0", False, note="test 1 of 3: timed out after 6 s"), causes.LIMIT),
        (CODE, True, Verdict("p#0", False, note="imports sympy, which is not in the package set"), causes.PACKAGE),
        (CODE, True, Verdict("p#0", False, note="test 2 of 3: raised KeyError: 1"), causes.RAISED),
        (CODE, True, Verdict("p#0", False, note="test 2 of 3: input 1; expected 2, got 3"), causes.FAILED_TEST),
        (CODE, True, Verdict("p#0", None, note="the sandbox failed: gone"), causes.UNGRADED),
    ],
)
def test_each_difference_has_its_cause(problem, label, verdict, cause):
    assert causes.find_cause(problem, label, verdict) == cause
