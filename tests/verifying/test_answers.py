import pytest

from nbest.protocols import Verifier
from nbest.records import Completion, Problem, Trajectory, Verdict
from nbest.verifying.answers import AnswerVerifier
from nbest.verifying.equivalence import Equivalence


def make_trajectories(*texts: str) -> list[Trajectory]:
    return [Trajectory(f"p#{index}", "p", index, 0, Completion(text)) for index, text in enumerate(texts)]


async def test_verdicts(equivalence: Equivalence) -> None:
    verifier = AnswerVerifier(equivalence)
    assert isinstance(verifier, Verifier)
    trajectories = make_trajectories(r"\boxed{\frac12}", "A: 0.50", r"\boxed{2}", "cut off after 3 +", r"\boxed{no}")
    verdicts = await verifier.verify(Problem("p", "?", "1/2"), trajectories)
    assert verdicts == [
        Verdict("p#0", True, r"\frac12"),
        Verdict("p#1", True, "0.50"),
        Verdict("p#2", False, "2"),
        Verdict("p#3", False, None, "no answer"),
        Verdict("p#4", False, "no"),
    ]


@pytest.mark.parametrize("target", ["27.0", "27", r"\frac{54}{2}", "x=27", "27 apples", r"3^3"])
async def test_a_target_may_be_a_number_latex_or_a_sentence(equivalence: Equivalence, target: str) -> None:
    (verdict,) = await AnswerVerifier(equivalence).verify(Problem("p", "?", target), make_trajectories("A: 27"))
    assert verdict.correct is True


@pytest.mark.parametrize("target", [None, "", "  "])
async def test_without_a_target_nothing_is_graded(equivalence: Equivalence, target: str | None) -> None:
    verdicts = await AnswerVerifier(equivalence).verify(Problem("p", "?", target), make_trajectories("A: 1", "x"))
    assert verdicts == [Verdict("p#0", None, "1", "no target"), Verdict("p#1", None, None, "no target")]


async def test_what_cannot_be_graded_is_none_with_a_note() -> None:
    with AnswerVerifier(Equivalence(limit_seconds=0.5)) as verifier:
        trajectories = make_trajectories(r"\boxed{10^{10^{10}}}", r"\boxed{24}")
        verdicts = await verifier.verify(Problem("p", "?", "24"), trajectories)
        verifier.equivalence.close()
    assert verdicts[0].correct is None
    assert "timed out" in verdicts[0].note
    assert verdicts[1] == Verdict("p#1", True, "24")


async def test_an_empty_pool(equivalence: Equivalence) -> None:
    assert await AnswerVerifier(equivalence).verify(Problem("p", "?", "1"), []) == []


def test_closing_leaves_a_shared_relation_open(equivalence: Equivalence) -> None:
    with AnswerVerifier(equivalence):
        pass
    assert equivalence.same("(x+2)^2", "x^2+4x+4")


async def test_letters_are_compared(equivalence: Equivalence) -> None:
    trajectories = make_trajectories(r"\boxed{c}", "The answer is (B).", "hmm")
    verdicts = await AnswerVerifier(equivalence).verify(Problem("p", "?", "C", kind="choice"), trajectories)
    assert [(verdict.correct, verdict.answer, verdict.note) for verdict in verdicts] == [
        (True, "C", ""),
        (False, "B", ""),
        (False, None, "no answer"),
    ]


async def test_the_note_names_the_reading(equivalence: Equivalence) -> None:
    (verdict,) = await AnswerVerifier(equivalence).verify(Problem("p", "?", "2.74"), make_trajectories("A: 2,74"))
    assert verdict == Verdict("p#0", True, "2,74", "decimal comma")
