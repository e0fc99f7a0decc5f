"""The authors: their misconceptions by hand, and that what they write is read back as it was meant."""

import random
import re
from itertools import islice

import pytest

from nbest.answers.extraction import extract_answer
from nbest.problems.arithmetic import SUBJECTS, Operation, draw_chains
from nbest.training.corpus import CARELESS_SHARE, SLOPPY_SHARE, draw_skill, work_carelessly, write_solution


@pytest.mark.parametrize(
    ("value", "operation", "result"),
    [
        (47, Operation("+", 86), 123),  # 7+6=13 writes 3; 4+8=12 leads -> 123 (right: 133)
        (41, Operation("+", 38), 79),  # no carry: right
        (5, Operation("+", 86), 81),  # 5+6=11 writes 1; 8 -> 81
        (133, Operation("-", 35), 102),  # |3-5|=2, |3-3|=0, 1 -> 102 (right: 98)
        (58, Operation("-", 35), 23),  # no borrow: right
        (47, Operation("*", 3), 121),  # 21 writes 1; 4*3=12 leads -> 121 (right: 141)
        (32, Operation("*", 3), 96),  # no carry: right
        (-5, Operation("+", 12), 7),  # below zero there are no digits to mistake
    ],
)
def test_misconceptions(value: int, operation: Operation, result: int) -> None:
    assert work_carelessly(value, operation) == result


def test_every_subject_has_its_authors() -> None:
    assert {subject.name for subject in SUBJECTS} == set(CARELESS_SHARE)
    rng = random.Random(1)
    for subject, share in CARELESS_SHARE.items():
        skills = [draw_skill(rng, subject) for _ in range(4000)]
        # Binomial: the standard deviation of a share of 4,000 is below 0.008; five of them are 0.04.
        assert skills.count("careless") / 4000 == pytest.approx(share, abs=0.04)
        assert skills.count("sloppy") / 4000 == pytest.approx(SLOPPY_SHARE, abs=0.04)


def test_solutions_have_the_shape_of_a_reasoning_trace() -> None:
    rng = random.Random(2)
    for chain in islice(draw_chains("train", 2), 200):
        text = write_solution(rng, chain)
        thinking, closing, answer = text.partition("\n</think>\n\n")
        assert thinking.startswith("<think>\n")
        assert closing
        steps = thinking.removeprefix("<think>\n").split("\n\n")
        assert len(steps) >= len(chain.operations)
        assert all(re.fullmatch(r"\D*[-0-9]+ [-+*] .*\d\.", step) for step in steps)
        final_answer = extract_answer(text)
        assert final_answer is not None
        assert answer.rstrip(".").endswith(f"\\boxed{{{final_answer}}}")


def test_authors_of_a_subject_differ_in_how_often_they_are_right() -> None:
    rng = random.Random(3)
    right = dict.fromkeys(CARELESS_SHARE, 0)
    count = dict.fromkeys(CARELESS_SHARE, 0)
    for chain in islice(draw_chains("train", 3), 1600):
        count[chain.subject.name] += 1
        right[chain.subject.name] += extract_answer(write_solution(rng, chain)) == str(chain.result)
    assert right["shop"] / count["shop"] > 0.65
    assert right["library"] / count["library"] < 0.50


def test_right_solutions_are_not_copies_of_one_text() -> None:
    chain = next(draw_chains("train", 4))
    rng = random.Random(4)
    texts = [write_solution(rng, chain) for _ in range(64)]
    right = [text for text in texts if extract_answer(text) == str(chain.result)]
    assert len(set(right)) > 0.8 * len(right) > 10
