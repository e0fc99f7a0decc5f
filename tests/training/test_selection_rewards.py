"""What judgements are worth, and accuracy over many of them."""

import math
from collections import Counter

import pytest

from nbest.records import Finish
from nbest.training.selection_rewards import JudgementText, measure_accuracy, reward_selection

CORRECT = (False, True, True)


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("</think>\nJudgment: 1", "stop", (1.0, "")),
        ("Judgment: 2<|im_end|>", "stop", (1.0, "")),
        ("Judgment: 0", "stop", (0.0, "")),
        ("Judgment: 1, no: Judgment: 0", "stop", (0.0, "")),  # the last one counts
        ("the second one", "stop", (0.0, "unparsed")),
        ("", "stop", (0.0, "unparsed")),
        ("Judgment: 3", "stop", (0.0, "out-of-range")),
        ("Judgment: 1", "length", (0.0, "truncated")),  # right, but it did not end
        ("Judgment: 1</think>\nno verdict", "stop", (0.0, "unparsed")),
    ],
)
def test_the_reward_of_a_judgement(text: str, finish: Finish, expected: tuple[float, str]) -> None:
    assert reward_selection(JudgementText(text, finish, CORRECT)) == expected


def test_accuracy_counts_judgements_that_name_nobody_as_wrong() -> None:
    texts = ["Judgment: 1", "Judgment: 2", "Judgment: 0", "?", "??", "Judgment: 7"]
    outputs = [JudgementText(text, "stop", CORRECT) for text in texts]
    outputs.append(JudgementText("Judgment: 1", "length", CORRECT))
    # 2 of 7 name a right candidate; of the others one is wrong, two unparsed, one out of range, one truncated.
    accuracy = measure_accuracy(outputs)
    assert (accuracy.count, accuracy.accuracy) == (7, 2 / 7)
    assert accuracy.faults == Counter({"unparsed": 2, "out-of-range": 1, "truncated": 1})


def test_the_accuracy_of_nothing_is_not_a_number() -> None:
    accuracy = measure_accuracy([])
    assert accuracy.count == 0
    assert math.isnan(accuracy.accuracy)
