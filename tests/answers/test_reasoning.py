import pytest

from nbest.answers.extraction import extract_answer
from nbest.answers.reasoning import (
    REASONING_TAGS,
    final_part,
    remove_reasoning,
    remove_tags,
    split_reasoning,
)

PAIRS = [(tags.opener, tags.closer) for tags in REASONING_TAGS]


@pytest.mark.parametrize(("opener", "closer"), PAIRS)
def test_every_tag_of_the_table_in_any_case(opener: str, closer: str) -> None:
    for change in (str, str.upper, str.lower, str.title):
        start, end = change(opener), change(closer)
        assert final_part(f"{start}a{end}b") == ("b", False)
        assert final_part(f"a{end}b") == ("b", False)  # the template opened the tag in the prompt
        assert final_part(f"{start}a") == (f"{start}a", True)
        assert final_part(f"{start}a{end}\n") == (f"{start}a", True)
        assert remove_tags(f"{start}a{end}b") == "ab"
        assert extract_answer(f"{start}\\boxed{{1}}{end}The answer is 2") == "2"


@pytest.mark.parametrize(
    ("text", "part", "is_cut_off"),
    [
        ("plain", "plain", False),
        ("", "", False),
        ("<think>a</think>b", "b", False),
        ("<think>a<think>b</think>c", "c", False),
        ("<think>a<think>b</think>c</think>d", "d", False),
        ("<think>a</think></think>b", "b", False),
        ("<think>a</thinking>b", "b", False),
        ("<think>a</think>b<think>c</think>d", "d", False),
        ("<think>a</think> <think>b", " <think>b", True),
        ("<think>a</think>", "<think>a", True),
        ("a < b and [x] and <b>", "a < b and [x] and <b>", False),
    ],
)
def test_the_part_after_the_reasoning(text: str, part: str, is_cut_off: bool) -> None:
    assert final_part(text) == (part, is_cut_off)
    assert remove_reasoning(text) == ("" if is_cut_off else part.strip())


def test_a_text_is_split_at_its_last_closer() -> None:
    assert split_reasoning("a</think>b</THINK>c") == ("a</think>b", "</THINK>", "c")
    assert split_reasoning("abc") == ("", "", "abc")


def test_long_texts_are_split_quickly() -> None:
    for piece in ("<think>", "</think>", "<", "[", "</think", "word "):
        text = piece * (1_000_000 // len(piece))
        final_part(text)
        remove_tags(text)
