"""Generate multi-step arithmetic problems for the bundled policy: seeded, endless, in splits that never overlap.

A problem is a start value and a chain of additions, subtractions and multiplications, worded as a short story about one
of eight subjects. The split is a stable hash of the numbers alone (not of the story), so that the same chain with
another subject is in the same split. All values along the chain are between 2 and 199.

This module does not know how solutions are written (`training/corpus.py`), nor any model.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nbest.errors import ConfigError
from nbest.records import Problem

Split: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
LARGEST_VALUE = 199
SMALLEST_VALUE = 2
LARGEST_OPERAND = 99


@dataclass(frozen=True, slots=True)
class Subject:
    """The sentences of a story: the start, one per operation, and the question. `{n}` is the operand."""

    name: str
    start: str
    add: str
    subtract: str
    multiply: str
    question: str


SUBJECTS = (
    Subject(
        "shop",
        "A shop has {n} pens.",
        "It buys {n} more.",
        "It sells {n}.",
        "Its stock grows {n} times.",
        "How many pens?",
    ),
    Subject(
        "farm",
        "A farm has {n} hens.",
        "{n} more come.",
        "{n} are sold.",
        "They become {n} times as many.",
        "How many hens?",
    ),
    Subject(
        "bus", "A bus line has {n} riders.", "{n} get on.", "{n} get off.", "Riders grow {n} times.", "How many riders?"
    ),
    Subject(
        "game", "A team has {n} points.", "It wins {n}.", "It loses {n}.", "Points count {n} times.", "How many points?"
    ),
    Subject(
        "bank",
        "An account has {n} coins.",
        "{n} are paid in.",
        "{n} are paid out.",
        "It grows {n} times.",
        "How many coins?",
    ),
    Subject(
        "library",
        "A library has {n} books.",
        "It gets {n}.",
        "It lends {n}.",
        "Books become {n} times as many.",
        "How many books?",
    ),
    Subject(
        "garden", "A garden has {n} roses.", "We plant {n}.", "We cut {n}.", "They grow {n} times.", "How many roses?"
    ),
    Subject("number", "Take {n}.", "Add {n}.", "Subtract {n}.", "Multiply by {n}.", "What is the result?"),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a chain."""

    symbol: Literal["+", "-", "*"]
    operand: int

    def apply(self, value: int) -> int:
        """Return the exact result of this operation on `value`."""
        if self.symbol == "+":
            return value + self.operand
        return value - self.operand if self.symbol == "-" else value * self.operand


@dataclass(frozen=True, slots=True)
class Chain:
    """One problem: a start value and operations on it, computed from left to right in exact integer arithmetic."""

    subject: Subject
    start: int
    operations: tuple[Operation, ...]

    @property
    def result(self) -> int:
        """The value after the last operation: the answer of the problem."""
        value = self.start
        for operation in self.operations:
            value = operation.apply(value)
        return value

    @property
    def fingerprint(self) -> str:
        """The BLAKE2b hash of the numbers, without the story: the same on all machines and versions."""
        text = str(self.start) + "".join(f"{o.symbol}{o.operand}" for o in self.operations)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def split(self) -> Split:
        """The split of the fingerprint: 80 % are train, 10 % validation, 10 % test."""
        bucket = int(self.fingerprint, 16) % 10
        return "test" if bucket == 9 else "validation" if bucket == 8 else "train"

    @property
    def question(self) -> str:
        """The text of the problem."""
        phrases = {"+": self.subject.add, "-": self.subject.subtract, "*": self.subject.multiply}
        sentences = [phrases[o.symbol].format(n=o.operand) for o in self.operations]
        return " ".join([self.subject.start.format(n=self.start), *sentences, self.subject.question])

    def to_problem(self) -> Problem:
        """Return the chain as a problem, with its result as target."""
        return Problem(
            id=f"arithmetic/{self.split}/{self.fingerprint}",
            prompt=self.question,
            target=str(self.result),
            meta={"subject": self.subject.name, "steps": len(self.operations)},
        )


def draw_chain(rng: random.Random, steps: tuple[int, int]) -> Chain:
    """Draw one chain; its number of operations is uniform from `steps[0]` to `steps[1]`, both included."""
    start = rng.randint(12, 99)
    value, operations = start, list[Operation]()
    for _ in range(rng.randint(*steps)):
        operation = _draw_operation(rng, value)
        value = operation.apply(value)
        operations.append(operation)
    return Chain(rng.choice(SUBJECTS), start, tuple(operations))


def _draw_operation(rng: random.Random, value: int) -> Operation:
    can_multiply = value * 2 <= LARGEST_VALUE
    can_subtract = value >= SMALLEST_VALUE + 11
    can_add = value + 11 <= LARGEST_VALUE
    kinds = ["+"] * (3 * can_add) + ["-"] * (3 * can_subtract) + ["*"] * (3 * can_multiply)
    kind = rng.choice(kinds)
    if kind == "*":
        return Operation("*", rng.randint(2, min(9, LARGEST_VALUE // value)))
    if kind == "-":
        return Operation("-", rng.randint(11, min(value - SMALLEST_VALUE, LARGEST_OPERAND)))
    return Operation("+", rng.randint(11, min(LARGEST_VALUE - value, LARGEST_OPERAND)))


def draw_chains(split: Split, seed: int, steps: tuple[int, int] = (3, 6)) -> Iterator[Chain]:
    """Yield distinct chains of one split, endlessly. Raises ConfigError if `split` or `steps` is not allowed."""
    if split not in SPLITS:
        raise ConfigError(f"problems.split: got {split!r}; allowed: {', '.join(SPLITS)}")
    if not 1 <= steps[0] <= steps[1]:
        raise ConfigError(f"problems.steps: got {list(steps)}; allowed: [low, high] with 1 <= low <= high")
    rng = random.Random(f"{seed}/{split}")
    seen = set[str]()
    while True:
        chain = draw_chain(rng, steps)
        if chain.split == split and chain.fingerprint not in seen:
            seen.add(chain.fingerprint)
            yield chain


def generate_problems(split: Split, count: int, seed: int = 0, steps: tuple[int, int] = (3, 6)) -> list[Problem]:
    """Return the first `count` problems of the stream; a larger count only adds problems at the end."""
    chains = draw_chains(split, seed, steps)
    return [next(chains).to_problem() for _ in range(count)]
