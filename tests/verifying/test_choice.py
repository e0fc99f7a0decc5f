from nbest.protocols import Verifier
from nbest.records import Completion, Problem, Trajectory
from nbest.verifying.choice import ChoiceVerifier


async def judge(target: str | None, *texts: str) -> list[tuple[bool | None, str | None, str]]:
    verifier = ChoiceVerifier()
    assert isinstance(verifier, Verifier)
    trajectories = [Trajectory(f"p#{index}", "p", index, 0, Completion(text)) for index, text in enumerate(texts)]
    verdicts = await verifier.verify(Problem("p", "?", target, kind="choice"), trajectories)
    return [(verdict.correct, verdict.answer, verdict.note) for verdict in verdicts]


async def test_letters_are_compared() -> None:
    assert await judge("C", r"\boxed{c}", "The answer is (B).", "hmm") == [
        (True, "C", ""),
        (False, "B", ""),
        (False, None, "no answer"),
    ]
    assert await judge("(C) 12 apples", "Answer: C") == [(True, "C", "")]


async def test_no_target() -> None:
    assert await judge(None, "Answer: C") == [(None, "C", "no target")]
