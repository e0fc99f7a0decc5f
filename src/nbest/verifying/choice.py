"""Verdicts on multiple-choice answers: exact match of the letter. This module does not know files or math-verify."""

from collections.abc import Sequence

from nbest.protocols import Verifier
from nbest.records import Problem, Trajectory, Verdict
from nbest.text.answers import answer_of, read_letter
from nbest.text.forms import normal_form


class ChoiceVerifier(Verifier):
    """Compares letters: `C`, `(c)`, `C. 12 apples` and `\\text{(C)}` are one. A target that is not a letter (the words
    of the right option) is compared by its normal form. No answer is wrong (note "no answer"); no target is None."""

    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        """One verdict a trajectory, in order."""
        target = _key(problem.target or "")
        return [_verdict(target, trajectory, answer_of(trajectory, "choice")) for trajectory in trajectories]


def _key(answer: str) -> str:
    return read_letter(answer) or normal_form(answer)


def _verdict(target: str, trajectory: Trajectory, answer: str | None) -> Verdict:
    if not target:
        return Verdict(trajectory.id, None, answer, "no target")
    if answer is None:
        return Verdict(trajectory.id, False, None, "no answer")
    return Verdict(trajectory.id, _key(answer) == target, answer)
