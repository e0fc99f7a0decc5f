"""What a judgement is worth in reinforcement learning: 1 for naming a right candidate, 0 for anything else.

A judgement that cannot be read is worth 0 and is counted by its fault. The soft punishment of long judgements (DAPO,
arXiv 2503.14476, equation 13) is TRL's. Knows no trainer and no model.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nbest.judging.prompts import parse_genselect
from nbest.records import Finish


@dataclass(frozen=True, slots=True)
class JudgedText:
    """A judgement's `text` and why it ended, with the verdicts `correct` of the candidates that it was shown."""

    text: str
    finish: Finish
    correct: Sequence[bool]


def reward_selection(judged: JudgedText) -> tuple[float, str]:
    """(reward, fault): (1, "") for a right candidate, (0, "") for a wrong one, (0, fault) where none was named."""
    judgement = parse_genselect(judged.text, len(judged.correct), judged.finish)
    if judgement.index is None:
        return 0.0, judgement.fault
    return float(judged.correct[judgement.index]), ""


@dataclass(frozen=True, slots=True)
class SelectionAccuracy:
    """Of `count` judgements the share that named a right candidate; `faults` counts those that named none."""

    count: int
    accuracy: float
    faults: Counter[str]


def measure_accuracy(judged: Sequence[JudgedText]) -> SelectionAccuracy:
    """Judgements that name nobody count as wrong. NaN where there are none."""
    results = [reward_selection(each) for each in judged]
    faults = Counter(fault for _, fault in results if fault)
    mean = sum(reward for reward, _ in results) / len(results) if results else float("nan")
    return SelectionAccuracy(len(results), mean, faults)
