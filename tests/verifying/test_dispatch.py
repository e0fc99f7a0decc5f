from collections.abc import Sequence

import pytest

from nbest.protocols import Verifier
from nbest.records import Completion, Kind, Problem, Trajectory, Verdict
from nbest.verifying.dispatch import KindVerifier
from nbest.verifying.equivalence import Equivalence

TRAJECTORY = Trajectory("p#0", "p", 0, 0, Completion(r"\boxed{C}"))


class Generous(Verifier):
    """Finds everything right."""

    async def verify(self, _problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        return [Verdict(trajectory.id, True, "C") for trajectory in trajectories]


@pytest.mark.parametrize(
    ("kind", "text", "target"),
    [
        ("math", r"\boxed{0.5}", "1/2"),
        ("choice", r"\boxed{C}", "(c) 12 apples"),
        ("exact", r"\boxed{aB c}", "aB c"),
        ("number", r"\boxed{12{,}000}", "12000"),
        ("python", r"\boxed{[1, 'a']}", "[1,'a']"),
        ("date", r"\boxed{5 May 2001}", "2001-05-05"),
    ],
)
async def test_every_kind_is_compared_by_its_rules(
    equivalence: Equivalence, kind: Kind, text: str, target: str
) -> None:
    verifier = KindVerifier(equivalence)
    assert isinstance(verifier, Verifier)
    assert verifier.equivalence is equivalence
    trajectories = [Trajectory("p#0", "p", 0, 0, Completion(text)), Trajectory("p#1", "p", 1, 0, Completion("hmm"))]
    right, unread = await verifier.verify(Problem("p", "?", target, kind=kind), trajectories)
    assert right.correct is True
    assert unread.correct is False


async def test_code_is_not_graded_and_says_so(equivalence: Equivalence) -> None:
    (verdict,) = await KindVerifier(equivalence).verify(Problem("p", "?", kind="code"), [TRAJECTORY])
    assert (verdict.correct, verdict.answer) == (None, None)
    assert "no verifier for problems of kind 'code'" in verdict.note


async def test_a_verifier_of_a_kind_can_be_passed(equivalence: Equivalence) -> None:
    with KindVerifier(equivalence, {"code": Generous()}) as verifier:
        (verdict,) = await verifier.verify(Problem("p", "?", "C", kind="code"), [TRAJECTORY])
    assert verdict.correct is True
