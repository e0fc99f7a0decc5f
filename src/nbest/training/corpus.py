"""Worked solutions of arithmetic problems, written by authors of hidden skill: what the bundled policy learns from.

A policy trained only on flawless solutions holds no signal about the quality of its own trajectory. Here the writer
of each solution is one of three kinds, and nothing in the text says which:

- *careful*: nearly always right;
- *careless*: applies the same misconceptions all along (adds without carrying, subtracts digit by digit without
  borrowing, multiplies without carrying), so the wrong answers of careless authors agree and can win a vote;
- *sloppy*: slips by 1, 10 or 100 at random.

Who writes about which subject differs (`CARELESS_SHARE`): on some subjects the misconception is the majority.
After a wrong step the author sometimes notices ("Wait") and does the step again, after a right one seldom. To predict
the next line a model must therefore hold, at each step's end, who is writing and how likely the step was wrong.
"""

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

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
"""The share of careless authors among those who write about a subject."""
SLOPPY_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Habits:
    """Probabilities for each step."""

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
    point = rng.random()
    if point < SLOPPY_SHARE:
        return "sloppy"
    return "careless" if point < SLOPPY_SHARE + CARELESS_SHARE[subject] else "careful"


def work_carelessly(value: int, operation: Operation) -> int:
    """The result under the misconceptions: digit by digit, the leading digit alone may carry out.

    47 + 86: 7+6 writes 3, 4+8 writes 12 -> 123. 133 - 35: |3-5|=2, |3-3|=0, 1 -> 102. 47 * 3: 21 writes 1, 12 -> 121.
    """
    if value < 0:
        return operation.apply(value)
    digits = [int(d) for d in reversed(str(value))]
    others = [int(d) for d in reversed(str(operation.operand))]
    width = max(len(digits), len(others) if operation.symbol != "*" else 0)
    result = 0
    for place in range(width):
        digit = digits[place] if place < len(digits) else 0
        other = operation.operand if operation.symbol == "*" else others[place] if place < len(others) else 0
        if operation.symbol == "-":
            column = abs(digit - other)
        else:
            column = digit + other if operation.symbol == "+" else digit * other
        result += (column if place == width - 1 else column % 10) * 10**place
    return result


def _slip(rng: random.Random, value: int) -> int:
    sizes = [size for size in (1, 10, 100) if size == 1 or abs(value) >= size]
    return value + rng.choice(sizes) * rng.choice((-1, 1))


def _work(rng: random.Random, value: int, operation: Operation, skill: Skill) -> int:
    result = work_carelessly(value, operation) if skill == "careless" else operation.apply(value)
    return _slip(rng, result) if rng.random() < HABITS[skill].slip else result


def _tell_step(rng: random.Random, value: int, operation: Operation, result: int) -> str:
    """One line of work; sums and products in either order."""
    left, right = str(value), str(operation.operand)
    if operation.symbol != "-" and rng.random() < 0.3:
        left, right = right, left
    opening = rng.choice(("", "", "", "So ", "Then ", "Now "))
    return f"{opening}{left} {operation.symbol} {right} = {result}."


def _tell_detour(value: int, operation: Operation) -> str | None:
    """A sum or difference in two parts, right in both; None where there is nothing to part."""
    tens, ones = operation.operand // 10 * 10, operation.operand % 10
    if operation.symbol == "*" or not tens or not ones:
        return None
    middle = Operation(operation.symbol, tens).apply(value)
    return (
        f"{value} {operation.symbol} {tens} = {middle}, {middle} {operation.symbol} {ones} = {operation.apply(value)}."
    )


def _tell_check(value: int, operation: Operation, result: int) -> str | None:
    inverse = {"+": "-", "-": "+"}.get(operation.symbol)
    return None if inverse is None else f"Check: {result} {inverse} {operation.operand} = {value}."


def write_solution(rng: random.Random, chain: Chain) -> str:
    """The text of one completion: `<think>`, steps divided by blank lines, `</think>`, the boxed answer."""
    skill = draw_skill(rng, chain.subject.name)
    habits = HABITS[skill]
    value, steps = chain.start, list[str]()
    for operation in chain.operations:
        truth = operation.apply(value)
        result = _work(rng, value, operation, skill)
        detour = _tell_detour(value, operation) if result == truth and rng.random() < habits.detours else None
        steps.append(detour or _tell_step(rng, value, operation, result))
        if rng.random() < (habits.doubts_right if result == truth else habits.notices_wrong):
            result = truth
            steps.append(f"Wait, {value} {operation.symbol} {operation.operand} = {result}.")
        check = _tell_check(value, operation, result) if result == truth and rng.random() < habits.checks else None
        if check:
            steps.append(check)
        value = result
    closing = rng.choice(("", "", "The answer is ", "So we get "))
    return (
        "<think>\n" + "\n\n".join(steps) + "\n</think>\n\n" + f"{closing}\\boxed{{{value}}}" + ("." if closing else "")
    )
