"""The reward of a judgement in reinforcement learning: 1 for naming a right candidate, 0 for anything else.

A judgement that cannot be parsed has reward 0 and is counted by its fault. The soft punishment of long judgements
(DAPO, arXiv 2503.14476, equation 13) comes from TRL. This module does not know any trainer or model.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nbest.judging.prompts import parse_genselect
from nbest.records import Finish


@dataclass(frozen=True, slots=True)
class JudgementText:
    """The `text` of a judgement and why it ended, with the verdicts `correct` of the candidates in its prompt."""

    text: str
    finish: Finish
    correct: Sequence[bool]


def reward_selection(output: JudgementText) -> tuple[float, str]:
    """Return (reward, fault): (1, "") for a right candidate, (0, "") for a wrong one, (0, fault) if none was named."""
    judgement = parse_genselect(output.text, len(output.correct), output.finish)
    if judgement.index is None:
        return 0.0, judgement.fault
    return float(output.correct[judgement.index]), ""


@dataclass(frozen=True, slots=True)
class SelectionAccuracy:
    """The share of `count` judgements that named a right candidate; `faults` counts those that named none."""

    count: int
    accuracy: float
    faults: Counter[str]


def measure_accuracy(outputs: Sequence[JudgementText]) -> SelectionAccuracy:
    """Return the accuracy of judgements. Those that name no candidate count as wrong; without any it is NaN."""
    results = [reward_selection(output) for output in outputs]
    faults = Counter(fault for _, fault in results if fault)
    mean = sum(reward for reward, _ in results) / len(results) if results else float("nan")
    return SelectionAccuracy(len(results), mean, faults)
