"""The letters of multiple-choice answers, by phrasing. None: the text states none."""

import pytest

from nbest.answers.choices import read_letters
from nbest.answers.extraction import extract

PHRASINGS = [
    # A letter after a word that announces it.
    ("The answer is C.", "C"),
    ("The answer is (B).", "B"),
    ("The correct answer is option D.", "D"),
    ("Answer: A", "A"),
    ("ANSWER: b", "B"),
    ("answer: (c)", "C"),
    ("Answer - D", "D"),
    ("Answer = C", "C"),
    ("Answer is: E", "E"),
    ("Final answer: C", "C"),
    ("The final answer is B because the sum is 12.", "B"),
    ("The best answer would be C.", "C"),
    ("The answer should be (D), since x > 2.", "D"),
    ("The answer to this question is B.", "B"),
    ("The answer choice is A.", "A"),
    ("The correct option is A", "A"),
    ("The correct choice is therefore (E).", "E"),
    ("So the most likely answer is B.", "B"),
    ("The right answer here is C, not B.", "C"),
    ("Correct answer:\n\nD", "D"),
    ("## Answer\n\nC", "C"),
    ("**Final Answer**\n\nB", "B"),
    ("Ans: C", "C"),
    ("the answer is j.", "J"),
    ("The answer is I.", "I"),
    ("Answer: I", "I"),
    # Markdown and latex.
    ("**Answer: D**", "D"),
    ("**Answer:** D", "D"),
    ("Answer: **D**", "D"),
    ("Answer: `C`", "C"),
    ("The answer is **(A)**.", "A"),
    ("The answer is $\\boxed{C}$.", "C"),
    ("so \\boxed{C}", "C"),
    ("so \\boxed{\\text{(c)}}", "C"),
    ("\\boxed{\\textbf{(C)}~12}", "C"),
    ("$\\boxed{\\textbf{(C) }12}$", "C"),
    ("The answer is $\\mathrm{(C)}$.", "C"),
    ("\\boxed{\\mathrm{(E)}\\ 5}", "E"),
    ("The answer is \\(\\textbf{B}\\).", "B"),
    ("Answer: [C]", "C"),
    ("[C]", "C"),
    ("Answer: {D}", "D"),
    ('The answer is "B".', "B"),
    ("Answer: 'A'", "A"),
    ("### Final answer: **(B) 12**", "B"),
    ("Answer: __C__", "C"),
    # The letter with the words of its option.
    ("The answer is (B) 12 apples.", "B"),
    ("Answer: C. Paris", "C"),
    ("Answer: D) 42", "D"),
    ("The answer is A: the mitochondria.", "A"),
    ("C. 12 apples", "C"),
    ("(C) 12 apples", "C"),
    ("D) Paris\n\nParis is the capital of France.", "D"),
    ("B", "B"),
    ("b)", "B"),
    ("working\n\nB.", "B"),
    ("We compute 3 + 4 = 7.\n\n(D)", "D"),
    ("Option C", "C"),
    # Without the word "answer".
    ("Option B is correct.", "B"),
    ("(D) is the correct answer.", "D"),
    ("Therefore, D is the right choice.", "D"),
    ("Only C is correct.", "C"),
    ("I would choose option A.", "A"),
    ("I'd go with C.", "C"),
    ("So we select (B).", "B"),
    ("Therefore, the option is (A).", "A"),
    ("Hence, it must be D.", "D"),
    ("Thus, (C).", "C"),
    ("This gives 12, which corresponds to option C.", "C"),
    ("That is choice (E).", "E"),
    ("I think it's **C**.", "C"),
    ("A, B and D are wrong, so C.", "C"),
    # Several letters.
    ("ANSWER: A, B and C", "A, B, C"),
    ("The answers are C and A.", "A, C"),
    ("The correct options are (B) and (D).", "B, D"),
    ("Answer: A,C", "A, C"),
    ("Answer: ACD", "A, C, D"),
    ("\\boxed{A, C}", "A, C"),
    ("\\boxed{A} and \\boxed{C}", "A, C"),
    ("\\boxed{BD}", "B, D"),
    ("Both A and C are correct.", "A, C"),
    ("Answer: B & D", "B, D"),
    ("Answer: A/C", "A, C"),
    # Later mentions of other options, negations, corrections.
    ("The answer is D.\n\nOption A is wrong.", "D"),
    ("The answer is D. A is too small, B is too large, and C is odd.", "D"),
    ("Answer: B\n\nExplanation: A is the capital of Spain, while C is a river.", "B"),
    ("The answer is B (not A).", "B"),
    ("The answer is not A but C.", "C"),
    ("The answer is not B. The answer is C.", "C"),
    ("The answer is C. The answer is not B.", "C"),
    ("At first sight the answer is A. Wait, actually the answer is B.", "B"),
    ("If the answer is A, then x = 2, which fails. The answer is B.", "B"),
    ("The answer is B. If the answer is A, then x would be even.", "B"),
    ("I would not choose A. I would choose B.", "B"),
    ("The answer is A. No, wait, it's C.", "C"),
    ("\\boxed{A}. Option B is not correct.", "A"),
    ("<think>The answer is A.</think>The answer is B.", "B"),
    ("<Thinking>\\boxed{A}</Thinking>\nAnswer: C", "C"),
    ("<answer>D</answer>", "D"),
    ("<answer>(d) 12</answer> because A is wrong", "D"),
    ('{"answer": "C"}', "C"),
    ('```json\n{"reasoning": "A is wrong", "answer": "B"}\n```', "B"),
    # None is stated.
    ("ANSWER: I don't know", None),
    ("Answer: I cannot decide between them.", None),
    ("The answer is a bit surprising.", None),
    ("Answer: A careful look shows nothing.", None),
    ("I think all of them", None),
    ("The answer is not B.", None),
    ("The answer isn't B.", None),
    ("Option A is wrong.", None),
    ("The answer is A or B.", None),
    ("The answer is either (A) or (C).", None),
    ("Answer: none of the above", None),
    ("Answer: unknown", None),
    ("The answer is Carla.", None),
    ("The answer is 12.", None),
    ("\\boxed{12}", None),
    ("A train leaves the station at noon.", None),
    ("I am not sure.", None),
    ("The answer is A. ANSWER: I don't know", None),
    ("<think> the answer is B", None),
    ("Option B is not correct.", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "letters"), PHRASINGS)
def test_phrasings(text: str, letters: str | None) -> None:
    extraction = extract(text, "choice")
    assert (extraction.answer if extraction else None) == letters


def test_the_table_has_every_phrasing_once() -> None:
    assert len({text for text, _ in PHRASINGS}) == len(PHRASINGS) >= 110


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        ("C", "C"),
        ("(c)", "C"),
        ("C. 12 apples", "C"),
        (r"\text{(C)}", "C"),
        ("$C$", "C"),
        ("**(C)**", "C"),
        ("`C`", "C"),
        ("[c]", "C"),
        ("c)", "C"),
        ("Option C", "C"),
        ("choice (C): 12", "C"),
        (r"\textbf{(C)}~12", "C"),
        ("C - Paris", "C"),
        ("A, B, and D", "ABD"),
        ("D and A", "AD"),
        ("(A) and (C)", "AC"),
        (r"\{A, C\}", "AC"),
        ("ACD", "ACD"),
        ("A; C", "AC"),
        ("12", ""),
        ("Carla", ""),
        ("A cat", ""),
        ("I don't know", ""),
        ("A or B", ""),
        ("none", ""),
        ("DNA", ""),
        ("not B", ""),
        ("", ""),
    ],
)
def test_letters_of_an_answer(answer: str, letters: str) -> None:
    assert read_letters(answer) == tuple(letters)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("The final answer is B.\n\nTo check, we", "B"),
        ("so \\boxed{C} and then", "C"),
        ("<answer>A</answer> beca", "A"),
        ("The answer is C", None),
        ("The answer is C. But wait", None),
        ("Answer: A", None),
        ("(D)", None),
        ("Option B is correct. Let me check aga", None),
    ],
)
def test_a_cut_text_has_only_complete_statements(text: str, letters: str | None) -> None:
    extraction = extract(text, "choice", is_cut=True)
    assert (extraction.answer if extraction else None) == letters


def test_long_texts_are_read_quickly() -> None:
    pieces = ["Answer: ", "A, ", "(", "option A is ", "answer is not A ", "\\text{", "A\n", "so ", "A and "]
    for piece in pieces:
        extract(piece * (1_000_000 // len(piece)), "choice")
