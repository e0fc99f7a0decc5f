"""Verdicts on answers: a trajectory is right when its answer is the same as the target.

The relation is `Equivalence`, the same that counts votes. This module does not know files or selectors.
"""

import asyncio
from collections.abc import Sequence
from types import TracebackType

from nbest.answers.extraction import answer_of
from nbest.protocols import Verifier
from nbest.records import Problem, Trajectory, Verdict
from nbest.verifying.equivalence import Comparison, Equivalence


class AnswerVerifier(Verifier):
    """Compares answers with `problem.target`, by the rules of the problem's kind (docs/answers.md).

    correct is True or False where the answer could be compared; a trajectory that states no answer is wrong
    (correct=False, note "no answer"). correct is None, with a note, where nothing can be said: the problem has no
    target, or the comparison ran out of time or memory. One relation for votes and grades: pass the `equivalence`
    that the selectors use; without one a private one is made and closed with this object.
    """

    def __init__(self, equivalence: Equivalence | None = None):
        self._owns = equivalence is None
        self.equivalence = equivalence or Equivalence()

    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        """Return one verdict per trajectory, in order. Equal answers are checked once."""
        return await asyncio.to_thread(self.verify_now, problem, trajectories)

    def verify_now(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        """Return what `verify` returns, for callers without an event loop."""
        answers = [answer_of(trajectory, problem) for trajectory in trajectories]
        target = (problem.target or "").strip()
        if not target:
            return [
                Verdict(trajectory.id, None, answer, "no target")
                for trajectory, answer in zip(trajectories, answers, strict=True)
            ]
        stated = list(dict.fromkeys(answer for answer in answers if answer is not None))
        self.equivalence.read([target, *stated], problem.kind)
        results = {answer: self.equivalence.compare(target, answer, problem.kind) for answer in stated}
        return [
            _verdict(trajectory, answer, results[answer] if answer is not None else None)
            for trajectory, answer in zip(trajectories, answers, strict=True)
        ]

    def close(self) -> None:
        """End the worker processes, where they belong to this object."""
        if self._owns:
            self.equivalence.close()

    async def aclose(self) -> None:
        self.close()

    def __enter__(self) -> "AnswerVerifier":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _verdict(trajectory: Trajectory, answer: str | None, result: Comparison | None) -> Verdict:
    if result is None:
        return Verdict(trajectory.id, False, None, "no answer")
    return Verdict(trajectory.id, result.is_equal, answer, result.note)
