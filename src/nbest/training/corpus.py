"""Write solutions of arithmetic problems by simulated authors of hidden skill: the corpus of the bundled policy.

The hidden states of a policy trained only on flawless solutions carry no signal about the quality of its trajectories.
Here each solution has an author of one of three skills, which the text does not reveal:

- *careful*: nearly always right;
- *careless*: applies the same misconceptions at every step (adds without carrying, subtracts digit by digit without
  borrowing, multiplies without carrying), so the wrong answers of careless authors agree and can win a vote;
- *sloppy*: makes random errors of 1, 10 or 100.

The share of careless authors depends on the subject (`CARELESS_SHARE`): on some subjects they are the majority. An
author sometimes notices a wrong step ("Wait") and repeats it; after a right step this is rare. To predict the next
line, a model must therefore represent, at the end of each step, who is writing and how likely the step was wrong.
"""

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nbest.answers.reasoning import CLOSE_TAG, OPEN_TAG
from nbest.problems.arithmetic import Chain, Operation

Skill: TypeAlias = Literal["careful", "careless", "sloppy"]

CARELESS_SHARE = {
    "shop": 0.10,
    "farm": 0.20,
    "bus": 0.30,
    "game": 0.62,
    "bank": 0.15,
    "library": 0.68,
    "garden": 0.25,
    "number": 0.56,
}
"""The share of careless authors per subject."""
SLOPPY_SHARE = 0.15
"""The share of sloppy authors, the same for all subjects."""


@dataclass(frozen=True, slots=True)
class Habits:
    """The habits of an author, as probabilities per step."""

    slip: float
    notices_wrong: float = 0.18
    doubts_right: float = 0.02
    checks: float = 0.0
    detours: float = 0.0


HABITS: dict[Skill, Habits] = {
    "careful": Habits(slip=0.005, checks=0.08, detours=0.10),
    "careless": Habits(slip=0.005, notices_wrong=0.12),
    "sloppy": Habits(slip=0.25, checks=0.03, detours=0.05),
}


def draw_skill(rng: random.Random, subject: str) -> Skill:
    """Draw the skill of an author who writes about `subject`."""
    point = rng.random()
    if point < SLOPPY_SHARE:
        return "sloppy"
    return "careless" if point < SLOPPY_SHARE + CARELESS_SHARE[subject] else "careful"


def work_carelessly(value: int, operation: Operation) -> int:
    """Return the result under the misconceptions: computed digit by digit; only the leading digit may carry.

    47 + 86: 7+6 writes 3, 4+8 writes 12 -> 123. 133 - 35: |3-5|=2, |3-3|=0, 1 -> 102. 47 * 3: 21 writes 1, 12 -> 121.
    """
    if value < 0:
        return operation.apply(value)
    digits = [int(d) for d in reversed(str(value))]
    operand_digits = [int(d) for d in reversed(str(operation.operand))]
    width = max(len(digits), len(operand_digits) if operation.symbol != "*" else 0)
    result = 0
    for position in range(width):
        digit = digits[position] if position < len(digits) else 0
        operand = (
            operation.operand
            if operation.symbol == "*"
            else operand_digits[position]
            if position < len(operand_digits)
            else 0
        )
        if operation.symbol == "-":
            column = abs(digit - operand)
        else:
            column = digit + operand if operation.symbol == "+" else digit * operand
        result += (column if position == width - 1 else column % 10) * 10**position
    return result


def _slip(rng: random.Random, value: int) -> int:
    sizes = [size for size in (1, 10, 100) if size == 1 or abs(value) >= size]
    return value + rng.choice(sizes) * rng.choice((-1, 1))


def _work(rng: random.Random, value: int, operation: Operation, skill: Skill) -> int:
    result = work_carelessly(value, operation) if skill == "careless" else operation.apply(value)
    return _slip(rng, result) if rng.random() < HABITS[skill].slip else result


def _write_step(rng: random.Random, value: int, operation: Operation, result: int) -> str:
    """Return one line of work; sums and products come in either order."""
    left, right = str(value), str(operation.operand)
    if operation.symbol != "-" and rng.random() < 0.3:
        left, right = right, left
    opening = rng.choice(("", "", "", "So ", "Then ", "Now "))
    return f"{opening}{left} {operation.symbol} {right} = {result}."


def _write_detour(value: int, operation: Operation) -> str | None:
    """Return a sum or difference computed correctly in two parts, or None if it cannot be split."""
    tens, ones = operation.operand // 10 * 10, operation.operand % 10
    if operation.symbol == "*" or not tens or not ones:
        return None
    middle = Operation(operation.symbol, tens).apply(value)
    return (
        f"{value} {operation.symbol} {tens} = {middle}, {middle} {operation.symbol} {ones} = {operation.apply(value)}."
    )


def _write_check(value: int, operation: Operation, result: int) -> str | None:
    inverse = {"+": "-", "-": "+"}.get(operation.symbol)
    return None if inverse is None else f"Check: {result} {inverse} {operation.operand} = {value}."


def write_solution(rng: random.Random, chain: Chain) -> str:
    """Return the text of one completion: `<think>`, steps separated by blank lines, `</think>`, the boxed answer."""
    skill = draw_skill(rng, chain.subject.name)
    habits = HABITS[skill]
    value, steps = chain.start, list[str]()
    for operation in chain.operations:
        truth = operation.apply(value)
        result = _work(rng, value, operation, skill)
        detour = _write_detour(value, operation) if result == truth and rng.random() < habits.detours else None
        steps.append(detour or _write_step(rng, value, operation, result))
        if rng.random() < (habits.doubts_right if result == truth else habits.notices_wrong):
            result = truth
            steps.append(f"Wait, {value} {operation.symbol} {operation.operand} = {result}.")
        check = _write_check(value, operation, result) if result == truth and rng.random() < habits.checks else None
        if check:
            steps.append(check)
        value = result
    closing = rng.choice(("", "", "The answer is ", "So we get "))
    return (
        f"{OPEN_TAG}\n" + "\n\n".join(steps) + f"\n{CLOSE_TAG}\n\n"
        f"{closing}\\boxed{{{value}}}" + ("." if closing else "")
    )
