from nbest.protocols import Verifier
from nbest.records import Completion, Problem, Trajectory
from nbest.verifying.choice import ChoiceVerifier
from nbest.verifying.dispatch import KindVerifier
from nbest.verifying.equivalence import Equivalence

TRAJECTORY = Trajectory("p#0", "p", 0, 0, Completion(r"\boxed{C}"))


async def test_each_kind_has_its_verifier(equivalence: Equivalence) -> None:
    verifier = KindVerifier(equivalence)
    assert isinstance(verifier, Verifier)
    assert verifier.equivalence is equivalence
    (choice,) = await verifier.verify(Problem("p", "?", "(c)", kind="choice"), [TRAJECTORY])
    (math,) = await verifier.verify(Problem("p", "?", "C", kind="math"), [TRAJECTORY])
    assert (choice.correct, math.correct) == (True, True)


async def test_code_is_not_judged_and_says_so(equivalence: Equivalence) -> None:
    (verdict,) = await KindVerifier(equivalence).verify(Problem("p", "?", kind="code"), [TRAJECTORY])
    assert (verdict.correct, verdict.answer) == (None, None)
    assert "no verifier for problems of kind 'code'" in verdict.note


async def test_a_verifier_of_a_kind_can_be_given(equivalence: Equivalence) -> None:
    with KindVerifier(equivalence, {"code": ChoiceVerifier()}) as verifier:
        (verdict,) = await verifier.verify(Problem("p", "?", "C", kind="code"), [TRAJECTORY])
    assert verdict.correct is True
