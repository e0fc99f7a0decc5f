import pytest

from nbest.judging.prompts import (
    Approval,
    Judgement,
    Preference,
    parse_genselect,
    parse_pairwise,
    parse_pointwise,
    parse_usc,
    render_genselect,
    render_pairwise,
    render_pointwise,
    render_summary,
    render_usc,
    show_candidate,
    write_judgement,
)
from nbest.records import CodeTask

THOUGHT = "<think>\n2 + 2 = 5.\n\nNo, 4.\n</think>\n\n\\boxed{4}"
CODE = "<think>\n```python\nno()\n```\n</think>\n```python\nfirst()\n```\nOr:\n```python\nlast()\n  more()\n```\nDone."


@pytest.mark.parametrize(
    ("text", "thinking", "candidate"),
    [
        (THOUGHT, "remove", "\\boxed{4}"),
        (THOUGHT, "keep", "2 + 2 = 5.\n\nNo, 4.\n\n\n\\boxed{4}"),
        ("<think>\ncut off", "remove", ""),
        ("<think>\ncut off", "keep", "cut off"),
        ("plain", "remove", "plain"),
        ("no opening tag</think>\n4", "remove", "4"),
    ],
)
def test_a_candidate_is_shown_without_or_with_its_thinking(text, thinking, candidate):
    assert show_candidate(text, thinking) == candidate


@pytest.mark.parametrize(
    ("text", "candidate"),
    [
        (CODE, "last()\n  more()"),
        ("<think>\n```\ncut()\n```", ""),
        ("no block", ""),
        ("```python\nunclosed()", "unclosed()"),
        ("```python\nlast()\n```\n```text\noutput\n```", "last()"),
        ("```\nprint('```')\n```", "print('```')"),
    ],
)
def test_of_code_only_the_program_is_shown(text, candidate):
    assert show_candidate(text, "keep", "code") == show_candidate(text, "remove", "code") == candidate


def test_a_program_is_shown_as_its_text_holds_it():
    task = CodeTask("f", "import re\n\ndef f(x):\n")
    assert show_candidate("    return x\n", "remove", "code", code=task) == "    return x"
    assert show_candidate("```\ndef f(x):\n    return 1\n```\n```\nf(2)\n```", kind="code", code=task) == (
        "def f(x):\n    return 1"
    )
    assert show_candidate("    return x\n", "remove", "code") == ""


def test_the_published_prompt():
    prompt = render_genselect("Sum {of} sets?", ["so \\boxed{1}", "so {2}"])
    assert prompt.startswith("You will be given a challenging math problem followed by 2 solutions. ")
    assert "indexed 0-1, each concluding with an answer in \\boxed{} notation" in prompt
    assert "\n\nProblem: Sum {of} sets?\n\nSolutions:\nSolution 0: so \\boxed{1}\n\nSolution 1: so {2}\n\n" in prompt
    assert prompt.endswith(
        "End your evaluation with exactly:\nJudgment: IDX\nwhere IDX is the index 0-1 of the best solution."
    )


def test_the_published_prompt_for_code():
    prompt = render_genselect("Sort.", ["a()", "b()"], "code")
    assert "Solution 0:\n```\na()\n```\n\nSolution 1:\n```\nb()\n```\n" in prompt
    assert prompt.endswith("where IDX is the index 0-1 of the best solution.")


def test_a_candidate_shown_by_its_final_answer_alone():
    assert (
        show_candidate("<think>\n2 + 2 = 4.\n</think>\n\nSo we get \\boxed{4}.", "answer", answer="4") == "\\boxed{4}"
    )
    assert show_candidate("<think>\n2 + 2 = 4.", "answer") == ""
    assert write_judgement("\\boxed{4}", 3) == "\\boxed{4}\nJudgment: 3"


def test_an_index_of_thousands_of_digits_is_out_of_range():
    assert parse_genselect("Judgment: " + "1" * 5000, 2) == Judgement(None, "out-of-range")


def test_the_compact_prompt():
    assert render_genselect("2 + 2?", ["4", "5"], style="compact") == "4\nCandidate 0\n\n5\nCandidate 1\n\n2 + 2?"


@pytest.mark.parametrize(
    ("text", "finish", "judgement"),
    [
        ("Judgment: 1", "stop", Judgement(1)),
        ("First Judgment: 0, then Judgement: **[2]**.", "stop", Judgement(2)),
        ("Judgment: 3", "stop", Judgement(None, "out-of-range")),
        ("Judgment: -1", "stop", Judgement(None, "unparsed")),
        ("the best is 2", "stop", Judgement(None, "unparsed")),
        ("", "stop", Judgement(None, "unparsed")),
        ("Judgment: 1", "length", Judgement(None, "truncated")),
        ("Judgment: 1", "error", Judgement(None, "error")),
        ("<think>Judgment: 0</think>Judgment: 2", "stop", Judgement(2)),
        ("<Thinking>Judgment: 0</Thinking>Judgment: 2", "stop", Judgement(2)),
        ("judgment: 2", "stop", Judgement(2)),
        ("JUDGMENT: 2", "stop", Judgement(2)),
        ("Judgment : 2", "stop", Judgement(2)),
        ("Judgment: \\boxed{2}", "stop", Judgement(2)),
        ("Judgment: $\\boxed{2}$", "stop", Judgement(2)),
        ("Judgment: (2)", "stop", Judgement(2)),
        ("**Judgment:** 2", "stop", Judgement(2)),
        ("**Judgment**: `2`", "stop", Judgement(2)),
        ("Judgement - 2", "stop", Judgement(2)),
        ("My judgment is 2.", "stop", Judgement(2)),
        ("Judgment: Solution 2", "stop", Judgement(2)),
        ("Judgment: 2\n\n1. It is right.", "stop", Judgement(2)),
        ("Judgment: 1 or 2", "stop", Judgement(None, "unparsed")),
        ("Judgment: 0, 2", "stop", Judgement(None, "unparsed")),
        ("Judgment: 0 and 1", "stop", Judgement(None, "unparsed")),
        ("Judgment: \\boxed{1} or \\boxed{2}", "stop", Judgement(None, "unparsed")),
        ("Judgment: 0. Judgment: 1 or 2", "stop", Judgement(None, "unparsed")),
        ("Judgment: 1 or 2. Judgment: 1", "stop", Judgement(1)),
        ("Judgment: tie", "stop", Judgement(None, "unparsed")),
        ("misjudgment: 1", "stop", Judgement(None, "unparsed")),
        ("<think>Judgment: 0</think>none", "stop", Judgement(None, "unparsed")),
        ("Judgment: 1", "unknown", Judgement(1)),
    ],
)
def test_a_judgement_is_read_or_its_fault_named(text, finish, judgement):
    assert parse_genselect(text, 3, finish) == judgement


def test_universal_self_consistency():
    prompt = render_usc("2 + 2?", ["4", "5"])
    assert prompt.startswith(
        "I have generated the following responses to the question: 2 + 2?\n\nResponse 0: 4\n\nResponse 1: 5"
    )
    assert parse_usc("The most consistent response is Response 1.", 2) == Judgement(1)
    assert parse_usc("the **most consistent response is: Response #0**", 2) == Judgement(0)
    assert parse_usc("The most consistent response is Response 2", 2) == Judgement(None, "out-of-range")
    assert parse_usc("Response 1 it is", 2) == Judgement(None, "unparsed")


def test_pairs():
    assert "Solution 0: a\n\nSolution 1: b\n" in render_pairwise("p", "a", "b")
    assert render_pairwise("p", "a", "b", style="compact") == render_genselect("p", ["a", "b"], style="compact")
    assert parse_pairwise("Judgment: 0") == Preference(1.0)
    assert parse_pairwise("Judgment: 0 ... Judgment: 1") == Preference(0.0)
    assert parse_pairwise("Judgment: Tie") == Preference(0.5)
    assert parse_pairwise("Judgment: 2") == Preference(None, "out-of-range")
    assert parse_pairwise("0") == Preference(None, "unparsed")
    assert parse_pairwise("Judgment: 0", "length") == Preference(None, "truncated")


def test_one_alone():
    assert render_pointwise("p", "a").endswith("Problem: p\n\nSolution: a")
    assert render_pointwise("p", "a", style="compact") == "p\n\nCandidate:\na"
    text = "Verification: Is the answer correct (Yes/No)? Yes"
    assert parse_pointwise(text) == Approval(True, text.rindex("Yes"))
    assert parse_pointwise(text + "\nIs the answer correct (Yes/No)? **No**.").is_right is False
    assert parse_pointwise("Judgment: no") == Approval(False, 10)
    assert parse_pointwise("<think>" + text + "</think>") == Approval(None, fault="unparsed")
    assert parse_pointwise("Judgment: nothing").fault == "unparsed"
    assert parse_pointwise(text, "error").fault == "error"


def test_a_summary_is_asked_of_the_whole_text():
    assert "Solution:\n2 + 2 = 5.\n\nNo, 4.\n" in render_summary("2 + 2?", THOUGHT)
