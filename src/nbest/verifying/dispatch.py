"""One verifier for problems of every kind: hands each problem to the verifier of its kind.

The verifier of a kind is built in (math, choice) or the plug-in of that name. Problems of any other kind get verdicts
of None with a note, which are counted and shown.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType

from nbest.plugins import list_plugins
from nbest.protocols import Verifier
from nbest.records import Kind, Problem, Trajectory, Verdict
from nbest.registry import BuildContext, find_method
from nbest.verifying.choice import ChoiceVerifier
from nbest.verifying.equivalence import Equivalence
from nbest.verifying.math import MathVerifier


class KindVerifier(Verifier):
    """Grades by `verifiers`, or else by those built in and those of plug-ins.

    Code needs a sandbox that nbest does not have: without a plug-in its trajectories stay ungraded (correct=None).
    """

    def __init__(self, equivalence: Equivalence | None = None, verifiers: Mapping[Kind, Verifier] | None = None):
        self._math = MathVerifier(equivalence)
        self._verifiers: dict[Kind, Verifier] = {"math": self._math, "choice": ChoiceVerifier(), **(verifiers or {})}
        self._plugins: list[Verifier] = []

    @property
    def equivalence(self) -> Equivalence:
        return self._math.equivalence

    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        """Return one verdict per trajectory, in order. Raises UnavailableError for a plug-in that cannot be loaded."""
        verifier = self._find(problem.kind)
        if verifier is not None:
            return await verifier.verify(problem, trajectories)
        note = f"not judged: this version has no verifier for problems of kind {problem.kind!r}"
        return [Verdict(trajectory.id, None, None, note) for trajectory in trajectories]

    def _find(self, kind: Kind) -> Verifier | None:
        if kind not in self._verifiers and kind in list_plugins("verifier"):
            spec, method = find_method("verifier", kind)
            self._plugins.append(spec.make(BuildContext(self.equivalence), method))
            self._verifiers[kind] = self._plugins[-1]
        return self._verifiers.get(kind)

    def close(self) -> None:
        """End the worker processes, where they belong to this object."""
        self._math.close()

    async def aclose(self) -> None:
        """End the worker processes, and close the plug-ins that were loaded here."""
        while self._plugins:
            await self._plugins.pop().aclose()
        self.close()

    def __enter__(self) -> "KindVerifier":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
