"""One verifier for problems of every kind: hands each problem to the verifier of its kind.

Answers of every kind but code are compared here. A verifier of code needs a sandbox: it is passed by whoever opens one
(`nbest.verifying.code.verifier`), or it is the plug-in of that name. Problems of a kind without a verifier get verdicts
of None with a note, which are counted and shown.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType

from nbest.plugins import list_plugins
from nbest.protocols import Verifier
from nbest.records import KINDS, Kind, Problem, Trajectory, Verdict
from nbest.registry import BuildContext, find_method
from nbest.verifying.answers import AnswerVerifier
from nbest.verifying.equivalence import Equivalence


class KindVerifier(Verifier):
    """Grades by `verifiers`, or else by those built in and those of plug-ins.

    A verifier of code has to be passed in `verifiers`, and is closed by its owner: without one and without a plug-in,
    nothing is run, and trajectories of code stay ungraded (correct=None).
    """

    def __init__(self, equivalence: Equivalence | None = None, verifiers: Mapping[Kind, Verifier] | None = None):
        self._answers = AnswerVerifier(equivalence)
        self._verifiers: dict[Kind, Verifier] = {kind: self._answers for kind in KINDS if kind != "code"}
        self._verifiers.update(verifiers or {})
        self._plugins: list[Verifier] = []

    @property
    def equivalence(self) -> Equivalence:
        return self._answers.equivalence

    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        """Return one verdict per trajectory, in order. Raises UnavailableError for a plug-in that cannot be loaded."""
        verifier = self._find(problem.kind)
        if verifier is not None:
            return await verifier.verify(problem, trajectories)
        note = f"not graded: there is no verifier for problems of kind {problem.kind!r}"
        return [Verdict(trajectory.id, None, None, note) for trajectory in trajectories]

    def _find(self, kind: Kind) -> Verifier | None:
        if kind not in self._verifiers and kind in list_plugins("verifier"):
            spec, method = find_method("verifier", kind)
            self._plugins.append(spec.make(BuildContext(self.equivalence), method))
            self._verifiers[kind] = self._plugins[-1]
        return self._verifiers.get(kind)

    def close(self) -> None:
        """End the worker processes, where they belong to this object."""
        self._answers.close()

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
