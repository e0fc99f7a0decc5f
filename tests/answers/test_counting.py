from nbest.answers.counting import AnswerCounts
from nbest.records import Completion, Finish, Problem, Trajectory


def make_trajectory(text: str, answer: str | None = None, finish: Finish = "stop") -> Trajectory:
    return Trajectory("p#0", "p", 0, 0, Completion(text, finish=finish), answer)


def test_answers_are_counted_by_the_rule_that_read_them() -> None:
    problem, counts = Problem("p", ""), AnswerCounts()
    for text in (r"\boxed{2}", r"\boxed{3}", "The answer is 4.", "nothing"):
        counts.add(make_trajectory(text), problem)
    counts.add(make_trajectory("nothing", "5"), problem)
    counts.add(make_trajectory("", finish="error"), problem)
    counts.add(make_trajectory("def f(): pass"), Problem("c", "", kind="code"))
    assert (counts.read, counts.unread) == (4, 1)
    assert counts.to_json() == {"read": 4, "unread": 1, "by_rule": {"box": 2, "statement": 1, "recorded": 1}}


def test_the_answer_is_returned() -> None:
    extraction = AnswerCounts().add(make_trajectory("RESULT 5"), Problem("p", "", answer_rule=r"regex:RESULT (\d)"))
    assert extraction is not None
    assert (extraction.answer, extraction.rule) == ("5", r"regex:RESULT (\d)")
