import pytest

from nbest.records import Completion, Trajectory
from nbest.text.answers import answer_of, extract_answer, read_letter


def make_trajectory(text: str, answer: str | None = None) -> Trajectory:
    return Trajectory("p#0", "p", 0, 0, Completion(text), answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7}.", "7"),
        (r"first \boxed{3}. No: \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{840}.\n\n**Final Answer**\n\boxed{840}", "840"),
        (r"\boxed{840} \boxed{840}", "840"),
        (r"roots \boxed{1} and \boxed{-2}.", "1, -2"),
        (r"\(\boxed{1}\), \(\boxed{2}\) or \(\boxed{3}\)", "1, 2, 3"),
        ("\\boxed{1}\n\nHmm, \\boxed{2}", "2"),
        (r"\boxed{1} no no no no no \boxed{2}", "2"),
        (r"\boxed{\boxed{5}}", r"\boxed{5}"),
        (r"set \boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{4} and then \boxed{5", "4"),
        (r"<think> \boxed{1} </think> it is \boxed{2}", "2"),
        (r"<think> \boxed{1} </think> the answer is 3.", "3"),
        (r"<think> \boxed{1} and then", "1"),
        (r"interest is \boxed{255} so. Final Answer: The final answer is $10,455$. I hope it is correct.", "$10,455$"),
    ],
)
def test_boxes(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 * 4 = 12\nA: 26", "26"),
        ("3 * 4 = 12\n#### 1,200", "1,200"),
        ("We add. The answer is 42.", "42"),
        ("Final Answer: **73**", "73"),
        ("**Final Answer**\n\n73", "73"),
        ("**Answer:** 73", "73"),
        ("Answer \\[ 9 \\]", "\\[ 9 \\]"),
        ("The final answer is $\\frac{3}{4}$. I hope it is correct.", "$\\frac{3}{4}$"),
        ("Answer: Evelyn", "Evelyn"),
        ("The answer is 3.5", "3.5"),
        ("If so the answer is 5. But the answer is 6.", "6"),
        ("25", "25"),
    ],
)
def test_fallbacks_in_order(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Adding 3 and 4 gives 7, and then we multiply by",
        "so 6 * 7 = <<6*7=42>>42",
        "<think> if the answer is 5, then 7",
        "the answer is not obvious, so let us look at the next case first",
        r"\boxed{}",
        "Answer:",
    ],
)
def test_a_text_that_states_nothing_has_no_answer(text: str) -> None:
    assert extract_answer(text) is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (r"so \boxed{C}", "C"),
        (r"so \boxed{\text{(c)}}", "C"),
        ("The answer is (B).", "B"),
        ("Answer: **D**", "D"),
        ("working\n\nB.", "B"),
        ("The correct option is A", "A"),
        ("I think all of them", None),
        (r"\boxed{12}", None),
        ("<think> the answer is B", None),
    ],
)
def test_choice(text: str, letter: str | None) -> None:
    assert extract_answer(text, "choice") == letter


def test_letters() -> None:
    assert [read_letter(text) for text in ["C", "(c)", "C. 12 apples", r"\text{(C)}", "$C$", "12", "Carla"]] == [
        *["C"] * 5,
        None,
        None,
    ]


def test_code_has_no_answer() -> None:
    assert extract_answer("return 3", "code") is None
    assert answer_of(make_trajectory("return 3", "3"), "code") is None


def test_a_stated_answer_goes_before_the_text_and_a_blank_one_is_none() -> None:
    assert answer_of(make_trajectory(r"\boxed{2}", "3")) == "3"
    assert answer_of(make_trajectory(r"\boxed{2}", " ")) == "2"
    assert answer_of(make_trajectory("nothing", "")) is None
    assert answer_of(make_trajectory("", "(b) 12"), "choice") == "B"


def test_long_texts_are_read_quickly() -> None:
    for text in ["\\boxed{" * 20_000, "answer " * 20_000, "$" * 20_000, "Answer: $" * 5_000, "<think>" * 20_000]:
        extract_answer(text)
