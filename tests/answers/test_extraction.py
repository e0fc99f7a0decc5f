import random

import numpy as np
import pytest

from nbest.answers.extraction import Extraction, answer_of, extract, extract_answer, read_trajectory
from nbest.records import KINDS, Completion, Finish, Kind, Pool, Problem, Trajectory

BOX, TAG, LINE, JSON = "box", "tag", "line", "json"
STATEMENT, CONCLUSION, WHOLE = "statement", "conclusion", "whole"

STATED = [
    # Boxes.
    (r"so \boxed{7}.", "7", BOX),
    (r"so \boxed {7}.", "7", BOX),
    (r"first \boxed{3}. No: \boxed{\frac{1}{2}}", r"\frac{1}{2}", BOX),
    (r"\boxed{840}.\n\n**Final Answer**\n\boxed{840}", "840", BOX),
    (r"\boxed{840} \boxed{840}", "840", BOX),
    (r"roots \boxed{1} and \boxed{-2}.", "1, -2", BOX),
    (r"\(\boxed{1}\), \(\boxed{2}\) or \(\boxed{3}\)", "1, 2, 3", BOX),
    (r"$x = \boxed{1}$ and $y = \boxed{2}$", "1, 2", BOX),
    (r"\boxed{1} \text{ and } \boxed{2}", "1, 2", BOX),
    ("\\boxed{1}\n\nHmm, \\boxed{2}", "2", BOX),
    (r"\boxed{1} no no no no no \boxed{2}", "2", BOX),
    (r"\boxed{2}, wait, actually \boxed{3}", "3", BOX),
    (r"\boxed{2}, no, \boxed{3}", "3", BOX),
    (r"\boxed{2}, correction: \boxed{3}", "3", BOX),
    (r"\boxed{2}, or rather \boxed{3}", "3", BOX),
    (r"\boxed{2}, sorry, \boxed{3}", "3", BOX),
    (r"\boxed{2}, so the answer is \boxed{3}", "3", BOX),
    (r"\boxed{2} + 1, which gives \boxed{3}", "3", BOX),
    (r"\boxed{\boxed{5}}", r"\boxed{5}", BOX),
    (r"set \boxed{\{1, 2\}}", r"\{1, 2\}", BOX),
    (r"\boxed{4} and then \boxed{5", "4", BOX),
    (r"\boxed{5} The final answer is correct.", "5", BOX),
    ("\\boxed{5}\n\nThe final answer is verified and consistent.", "5", BOX),
    (r"\boxed{5}. Thus the final answer is the number of apples.", "5", BOX),
    (r"\boxed{5}. The final answer is right, since 2 + 3 = 5.", "5", BOX),
    (
        r"interest is \boxed{255} so. Final Answer: The final answer is $10,455$. I hope it is correct.",
        "$10,455$",
        STATEMENT,
    ),
    (r"We get \boxed{4}, so the final answer is 4 + 1 = 5.", "4 + 1 = 5", STATEMENT),
    # Reasoning.
    (r"<think> \boxed{1} </think> it is \boxed{2}", "2", BOX),
    (r"<think> \boxed{1} </think> the answer is 3.", "3", STATEMENT),
    (r"<Think>\boxed{1}</Think>The answer is 2", "2", STATEMENT),
    (r"\boxed{1}</think>The answer is 2", "2", STATEMENT),
    (r"[THINK]the answer is 1.[/THINK]#### 2", "2", LINE),
    (r"<think> \boxed{1} and then", "1", BOX),
    ("<think>So the final answer is 7.\nLet", "7", STATEMENT),
    # Tags.
    ("<answer>42</answer>", "42", TAG),
    ("<ANSWER> 42 </ANSWER>", "42", TAG),
    ("<answer>1</answer> no: <answer>2</answer>", "2", TAG),
    ("<answer>1</answer> <answer>", "1", TAG),
    ("<final_answer>42</final_answer>", "42", TAG),
    ("<think>x</think>\n<answer>The sum is 40 + 2.\n\nThe answer is 42.</answer>", "42", TAG),
    ("[ANSWER]42[/ANSWER]", "42", TAG),
    # Lines.
    ("3 * 4 = 12\nA: 26", "26", LINE),
    ("3 * 4 = 12\n#### 1,200", "1,200", LINE),
    ("#### 18\nI hope this helps!", "18", LINE),
    ("#### Step 1: add\n3 + 4 = 7\n#### 7", "7", LINE),
    ("#### Paris", "Paris", LINE),
    ("#### Final Answer\n42", "42", STATEMENT),
    ("#### Step 1: add\n3 + 4 = 7\nThe answer is 7.", "7", STATEMENT),
    # JSON.
    ('{"answer": 18}', "18", JSON),
    ('```json\n{"reasoning": "9 + 9", "answer": "18"}\n```', "18", JSON),
    ('Here it is: {"final_answer": 3.50}', "3.50", JSON),
    ('{"reasoning": "the answer is {1}", "answer": 2}', "2", JSON),
    # Statements.
    ("We add. The answer is 42.", "42", STATEMENT),
    ("Final Answer: **73**", "73", STATEMENT),
    ("**Final Answer**\n\n73", "73", STATEMENT),
    ("### Final Answer\n\n$$\nx = 5\n$$", "$$\nx = 5\n$$", STATEMENT),
    ("**Answer:** 73", "73", STATEMENT),
    ("**Answer**: 73", "73", STATEMENT),
    ("Answer \\[ 9 \\]", "\\[ 9 \\]", STATEMENT),
    ("The final answer is $\\frac{3}{4}$. I hope it is correct.", "$\\frac{3}{4}$", STATEMENT),
    ("The final answer is: 12<|im_end|>", "12", STATEMENT),
    ("The answer is therefore 12.", "12", STATEMENT),
    ("The answer to the question is 12.", "12", STATEMENT),
    ("The answer is 12, because 3 * 4 = 12.", "12", STATEMENT),
    ("The answer is $5. He has $6 left.", "$5", STATEMENT),
    ("The answer is 42!", "42", STATEMENT),
    ("The answers are $3$ and $4$.", "$3$ and $4$", STATEMENT),
    ("Answer: Evelyn", "Evelyn", STATEMENT),
    ("Answer: no real solutions", "no real solutions", STATEMENT),
    ("The answer is yes.", "yes", STATEMENT),
    ("The answer is five because he ate one.", "five", STATEMENT),
    ("The answer is 3.5", "3.5", STATEMENT),
    ("Final result: 42", "42", STATEMENT),
    ("If so the answer is 5. But the answer is 6.", "6", STATEMENT),
    ("The answer is 6. If the answer is 5, the sum is odd.", "6", STATEMENT),
    ("Answer: Let us add. 3 + 4 = 7. So the answer is 7.", "7", STATEMENT),
    # Conclusions.
    ("The result is 42.", "42", CONCLUSION),
    ("Therefore, x = 42.", "x = 42", CONCLUSION),
    ("We add 40 and 2.\n\nTherefore, $x = 42$.", "$x = 42$", CONCLUSION),
    ("40 + 2\n\nThus the total is 42 dollars.", "42 dollars", CONCLUSION),
    ("So Jake has 11 apples.", "Jake has 11 apples", CONCLUSION),
    ("The total cost is $42.", "$42", CONCLUSION),
    ("We add.\n\nIn total, there are 12 ways.\n\nI hope this helps!", "12 ways", CONCLUSION),
    ("The probability that both are red is $\\frac{1}{6}$.", "$\\frac{1}{6}$", CONCLUSION),
    ("Hence the value of $x$ is \\(3\\).", "\\(3\\)", CONCLUSION),
    ("**Therefore, the sum is 12.**", "12", CONCLUSION),
    ("We have $a = 3$ $b = 4$ So, the pair $(a, b)$ is $(3, 4)$.", "$(3, 4)$", CONCLUSION),
    ("So, the pair $(x, y)$ that solves both is $(7, 6)$. <|im_start|>user", "$(7, 6)$", CONCLUSION),
    ("$a = 1$ and " * 300 + "$b = 2$. Therefore, it rises by 100%.", "it rises by 100%", CONCLUSION),
    # The whole text.
    ("25", "25", WHOLE),
    (" -3/4 ", "-3/4", WHOLE),
    ("$\\frac{1}{2}$", "$\\frac{1}{2}$", WHOLE),
    ("x = 5", "x = 5", WHOLE),
    ("12 apples", "12 apples", WHOLE),
    ("**42**", "**42**", WHOLE),
    ("(1, 2)", "(1, 2)", WHOLE),
    ("\\frac{\\pi}{4}", "\\frac{\\pi}{4}", WHOLE),
]


@pytest.mark.parametrize(("text", "answer", "rule"), STATED)
def test_the_answer_and_the_rule_that_found_it(text: str, answer: str, rule: str) -> None:
    assert extract(text) == Extraction(answer, rule)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Adding 3 and 4 gives 7, and then we multiply by",
        "so 6 * 7 = <<6*7=42>>42",
        "so 6 * 7 = 42",
        "<think> if the answer is 5, then 7",
        "<think>The answer is 5. Or the",
        "the answer is not obvious, so let us look at the next case first",
        "The answer is not 5.",
        "The answer is correct.",
        r"\boxed{}",
        "Answer:",
        "Answer: Let us compute the sum first",
        "If the answer is 5, we are done.",
        "First we add 3 and 4. Then we add 5. The sums 7 and 12 are needed later.",
        "<answer></answer>",
        '{"other": 18}',
        '{"answer": "___"}',
        '{"answer": " "}',
    ],
)
def test_a_text_that_states_nothing_has_no_answer(text: str) -> None:
    assert extract(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("the answer is 4. But wait", None),
        ("the answer is 4", None),
        ("the answer is 4.", None),  # 4.5 may have been cut
        ("The final answer is 4.\n", "4"),
        ("The answer is 4.\n\nTo check, we add", "4"),
        ("The answer is 4. Let me check that aga", None),
        ("The answer is 4.\nHmm", None),
        ("The answer is $4$. The sum", "$4$"),
        (r"so \boxed{4} and", "4"),
        (r"so \boxed{4} and \boxed{5", "4"),
        (r"so \boxed{4}. But wait", "4"),
        ("#### 12", None),
        ("#### 12\n", "12"),
        ("<answer>4</answer>", "4"),
        ("<answer>4</ans", None),
        ('{"answer": 4}', "4"),
        ('{"answer": 4', None),
        ("25", None),
        ("The result is 42.", None),
        ("Therefore, x = 42. Now", None),
        ("Final Answer: 1", None),
    ],
)
def test_a_cut_text_has_only_what_it_states_completely(text: str, answer: str | None) -> None:
    assert extract_answer(text, is_cut=True) == answer
    if "boxed" in text:
        assert extract_answer(f"<think>{text}") == answer


@pytest.mark.parametrize(
    ("text", "kind", "answer"),
    [
        ("Paris", "exact", "Paris"),
        ("Answer: J. K. Rowling", "exact", "J. K. Rowling"),
        ("The answer is the red one.", "exact", "the red one"),
        (r"\boxed{mJkLbn}", "exact", "mJkLbn"),
        ("<answer>a b</answer>", "exact", "a b"),
        ("The answer is 42.", "number", "42"),
        ("42", "number", "42"),
        ("The date is 05/10/2001.", "date", "05/10/2001"),
        ("The answer is May 10, 2001.", "date", "May 10, 2001"),
        ("05/10/2001", "date", "05/10/2001"),
        ("10 May 2001", "date", "10 May 2001"),
        ("I am not sure about the day", "date", None),
        ("[1, 2]", "python", "[1, 2]"),
        ("'a'", "python", "'a'"),
        ("The output is `[1, 2]`.", "python", "[1, 2]"),
        ("The output is [1, 2].", "python", "[1, 2]"),
        ("First `x` is `3`, so the output is `'ab'`, not `'ba'`.", "python", "'ab'"),
        ("```python\n{'a': 1}\n```", "python", "{'a': 1}"),
        ("```python\ndef f(): pass\n```\nSo the output is:\n```\n[3]\n```", "python", "[3]"),
        ("[ANSWER]'x'[/ANSWER]", "python", "'x'"),
        ("<answer>`(1, 2)`</answer>", "python", "(1, 2)"),
        (r"\boxed{'x'}", "python", "'x'"),
        ("It returns `True`", "python", "True"),
        ("I do not know.\n\nIt is hard.", "python", None),
    ],
)
def test_other_kinds(text: str, kind: Kind, answer: str | None) -> None:
    assert extract_answer(text, kind) == answer


def make_trajectory(text: str, answer: str | None = None, finish: Finish = "stop") -> Trajectory:
    return Trajectory("p#0", "p", 0, 0, Completion(text, finish=finish), answer)


def make_problem(kind: Kind = "math", rule: str = "default") -> Problem:
    return Problem("p", "", kind=kind, answer_rule=rule)


def test_code_has_no_answer() -> None:
    assert extract("return 3", "code") is None
    assert answer_of(make_trajectory("return 3", "3"), make_problem("code")) is None


def test_a_recorded_answer_goes_before_the_text_and_a_blank_one_is_none() -> None:
    problem = make_problem()
    assert read_trajectory(make_trajectory(r"\boxed{2}", "3"), problem) == Extraction("3", "recorded")
    assert read_trajectory(make_trajectory(r"\boxed{2}", " "), problem) == Extraction("2", "box")
    assert answer_of(make_trajectory("nothing", ""), problem) is None
    choice = make_problem("choice")
    assert answer_of(make_trajectory("", "(b) 12"), choice) == "B"
    assert answer_of(make_trajectory("", "C and A"), choice) == "A, C"
    assert answer_of(make_trajectory("", "Paris"), choice) == "Paris"


def test_the_rule_of_the_problem_or_pool_and_the_finish_count() -> None:
    text = "The answer is 4.\nRESULT 5"
    assert answer_of(make_trajectory(text), make_problem()) == "4"
    assert answer_of(make_trajectory(text), make_problem(rule=r"regex:RESULT (\d)")) == "5"
    assert answer_of(make_trajectory(text), Pool("p", "", (), answer_rule="last-number")) == "5"
    assert answer_of(make_trajectory("the answer is 4", finish="length"), make_problem()) is None
    assert answer_of(make_trajectory("the answer is 4", finish="unknown"), make_problem()) == "4"


PIECES = [
    "\\boxed{", "}", "{", "answer ", "Answer: ", "the answer is ", "$", "$$", "\\(", "\\[", "**", "`", "```\n", "\n",
    "\n\n", " ", "#### ", "A: ", "<think>", "</think>", "<answer>", "</answer>", "Therefore, ", "so ", "x = ", "1", ".",
    ", ", "{\"answer\": ", "\"", "\\", "(", ")", "[", "A", "The result is ", "'", "-", "final answer is ", "and ",
    "\\frac", "=", "if ", "word ", "<|im_end|>", "\u00bd", "\u0663", "\ud83d\ude00",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_read_in_linear_time(kind: Kind) -> None:
    for piece in [*PIECES, "\\boxed{1}", "\\boxed{1}, ", "answer is 1. ", "# ", "[ANSWER]", "-("]:
        text = piece * (200_000 // len(piece))
        extract(text, kind)
        extract(text, kind, is_cut=True)


def test_no_text_raises() -> None:
    rng = random.Random(11)
    for _ in range(1_500):
        text = "".join(rng.choices(PIECES, k=rng.randrange(1, 40)))
        for kind in KINDS:
            for is_cut in (False, True):
                extraction = extract(text, kind, is_cut)
                assert extraction is None or extraction.answer.strip()


def test_arrays_of_a_completion_do_not_matter() -> None:
    completion = Completion("The answer is 4.", tokens=np.arange(3, dtype=np.int32), finish="stop")
    assert answer_of(Trajectory("p#0", "p", 0, 0, completion), make_problem()) == "4"
