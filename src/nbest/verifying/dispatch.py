"""One verifier for problems of every kind: hands each problem to the verifier of its kind.

A kind that no verifier here can judge gets verdicts of None with a note, which are counted and shown.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType

from nbest.protocols import Verifier
from nbest.records import Kind, Problem, Trajectory, Verdict
from nbest.verifying.choice import ChoiceVerifier
from nbest.verifying.equivalence import Equivalence
from nbest.verifying.math import MathVerifier


class KindVerifier:
    """`verifiers` by kind; by default math and choice. Code needs a sandbox that this version does not have, so its
    trajectories are not judged (correct=None)."""

    def __init__(self, equivalence: Equivalence | None = None, verifiers: Mapping[Kind, Verifier] | None = None):
        self._math = MathVerifier(equivalence)
        self._verifiers: dict[Kind, Verifier] = {"math": self._math, "choice": ChoiceVerifier(), **(verifiers or {})}

    @property
    def equivalence(self) -> Equivalence:
        return self._math.equivalence

    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        """One verdict a trajectory, in order."""
        verifier = self._verifiers.get(problem.kind)
        if verifier is not None:
            return await verifier.verify(problem, trajectories)
        note = f"not judged: this version has no verifier for problems of kind {problem.kind!r}"
        return [Verdict(trajectory.id, None, None, note) for trajectory in trajectories]

    def close(self) -> None:
        self._math.close()

    def __enter__(self) -> "KindVerifier":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
