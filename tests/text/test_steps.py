"""Where a step ends: by hand, against a reading of the rule with str.split, and while drawing against afterwards."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbest.answers.reasoning import REASONING_TAGS, ReasoningTags
from nbest.records import Completion, Step
from nbest.text.steps import BlankLineSplitter, StepRule, StepTracker, split_text

PIECES = [
    "<think>",
    "</think>",
    "<eos>",
    "a",
    " ",
    "\n",
    "\n\n",
    ".\n\n",
    "\n\n\n",
    "b\n",
    "\nc",
    "",
    "\n\nd",
    "e\n\nf\n\n",
]
IDS = {piece: index for index, piece in enumerate(PIECES)}
END = IDS["<eos>"]
# With these pieces nothing ever follows a blank line in one token, so token and character boundaries agree.
SIMPLE = [index for index in range(12) if PIECES[index] not in ("<eos>", "\nc")]


def split(*pieces: str) -> list[tuple[int, int]]:
    tokens = np.array([IDS[piece] for piece in pieces], dtype=np.int32)
    steps = BlankLineSplitter(PIECES, (END,))(Completion(text="".join(pieces), tokens=tokens))
    return [(step.start, step.end) for step in steps]


def test_steps_end_at_blank_lines_and_before_the_close_tag():
    # 0 <think> | 1 \n 2 a 3 .\n\n | 4 a 5 a 6 \n\n | 7 a | 8 </think> 9 \n\n 10 a 11 \n\n 12 <eos>
    pieces = ["<think>", "\n", "a", ".\n\n", "a", "a", "\n\n", "a", "</think>", "\n\n", "a", "\n\n", "<eos>"]
    assert split(*pieces) == [(1, 4), (4, 7), (7, 8)]


@pytest.mark.parametrize(
    ("pieces", "steps"),
    [
        (["a", "\n", "\n", "a", "<eos>"], [(0, 3), (3, 4)]),  # a blank line of two tokens
        (["b\n", "\n", "a", "<eos>"], [(0, 2), (2, 3)]),  # the first newline inside a merged token
        (["b\n", "\nc", "<eos>"], [(0, 2)]),  # c has no token of its own before the end
        (["b\n", "\nc", "a", "<eos>"], [(0, 2), (2, 3)]),
        (["a", "\n\n\n", "a", "<eos>"], [(0, 2), (2, 3)]),
        (["a", "\n\n", "\n", "\n\n", "a", "<eos>"], [(0, 2), (4, 5)]),  # white space alone is no step
        (["a", "\n", "", "\n", "a", "</think>"], [(0, 4), (4, 5)]),  # an id without text changes nothing
        (["e\n\nf\n\n", "a", "<eos>"], [(0, 1), (1, 2)]),  # two blank lines in a token are one boundary
        (["\n", "<think>", "a", "</think>"], [(2, 3)]),
        (["a", "<think>", "a", "</think>"], [(0, 3)]),  # a tag in the middle opens nothing
        (["\n\nd", "<eos>"], [(0, 1)]),
        (["a", "\n\n", "</think>"], [(0, 2)]),
        (["<think>", "</think>", "a", "\n\n", "a"], []),
        (["\n\n", " ", "</think>"], []),
        ([], []),
    ],
)
def test_hand_worked_cases(pieces: list[str], steps: list[tuple[int, int]]):
    assert split(*pieces) == steps


def test_a_cut_completion_keeps_only_finished_steps():
    assert split("a", "\n\n", "a", "a") == [(0, 2)]


def test_a_boundary_at_the_last_token_was_never_fed():
    assert split("a", "\n\n", "a", "\n\n") == [(0, 2)]


def test_completion_without_tokens_has_no_steps():
    assert BlankLineSplitter(PIECES)(Completion(text="a\n\nb")) == []


def test_plain_text():
    text = "<think>\none\n\ntwo\n\n\n</think>\n\nThe answer\n\nis 3"
    assert [text[start:end] for start, end in split_text(text)] == ["\none\n\n", "two\n\n"]
    assert split_text("one\n\ntwo") == [(0, 5), (5, 8)]
    assert split_text("one\n\ntwo", is_finished=False) == [(0, 5)]
    assert split_text("") == []


def read_by_split(text: str) -> list[str]:
    """The rule once more, with str.split: no spans, no tokens."""
    opened = re.match(r"\s*<think>", text)
    reasoning = (text[opened.end() :] if opened else text).split("</think>")[0]
    return [part.strip() for part in reasoning.split("\n\n") if part.strip()]


@given(st.lists(st.sampled_from(SIMPLE), max_size=30))
def test_text_and_tokens_agree_with_a_plain_reading(ids: list[int]):
    pieces = [PIECES[token] for token in ids]
    text = "".join(pieces)
    spans = split(*pieces, "<eos>")
    assert ["".join(pieces[start:end]).strip() for start, end in spans] == read_by_split(text)
    assert [text[start:end].strip() for start, end in split_text(text)] == read_by_split(text)


def track(rows: list[list[int]]) -> list[list[Step]]:
    """Steps as a sampler sees them: a step counts once its final token has been fed."""
    tracker = StepTracker(StepRule(PIECES, (END,)), len(rows))
    found: list[list[Step]] = [[] for _ in rows]
    ending: dict[int, Step] = {}
    for position in range(max(map(len, rows), default=0)):
        tokens = np.array([row[position] if position < len(row) else 0 for row in rows], dtype=np.int64)
        before, here, starts = tracker.feed(tokens, np.full(len(rows), position))
        alive = {index for index, row in enumerate(rows) if position < len(row)}
        for index, step in ending.items():
            if index in alive:
                found[index].append(step)
        for index in alive & set(before.tolist()):
            found[index].append(Step(int(starts[index]), position))
        ending = {index: Step(int(starts[index]), position + 1) for index in here.tolist()}
    return found


@given(st.lists(st.lists(st.integers(0, len(PIECES) - 1), max_size=25), max_size=5))
def test_while_drawing_equals_afterwards(rows: list[list[int]]):
    splitter = BlankLineSplitter(PIECES, (END,))
    expected = [splitter(Completion(text="", tokens=np.array(row, dtype=np.int32))) for row in rows]
    assert track(rows) == expected


@given(st.lists(st.integers(0, len(PIECES) - 1), max_size=40))
def test_steps_are_ordered_apart_and_followed_by_a_token(ids: list[int]):
    steps = split(*(PIECES[token] for token in ids))
    edges = [edge for span in steps for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= start < end < len(ids) for start, end in steps)


def test_reset_and_move_of_rows():
    tracker = StepTracker(StepRule(PIECES, (END,)), 3)
    tracker.feed(np.array([IDS["a"], IDS["</think>"], IDS["b\n"]]), np.zeros(3, dtype=np.int64))
    tracker.move(np.array([2]), np.array([0]))
    tracker.reset(np.array([1]))
    _, here, starts = tracker.feed(np.array([IDS["\n"], IDS[".\n\n"]]), np.array([1, 0]))
    # Row 0 has the newline of row 2 behind it; row 1 is new, and "." is its content.
    assert here.tolist() == [0, 1]
    assert starts.tolist() == [0, 0]


@pytest.mark.parametrize("tags", REASONING_TAGS)
def test_every_reasoning_tag_bounds_the_steps_in_any_case(tags: ReasoningTags) -> None:
    for change in (str, str.upper):
        opener, closer = change(tags.opener), change(tags.closer)
        text = f"{opener}\na [x] < y\n\nb{closer}\n\nc\n\nd"
        assert [text[start:end] for start, end in split_text(text)] == ["\na [x] < y\n\n", "b"]
        splitter = BlankLineSplitter([opener, "a", "\n\n", closer, ""], (4,))
        completion = Completion(text, tokens=np.array([0, 1, 2, 1, 3, 1, 2, 1, 4], dtype=np.int32))
        assert [(step.start, step.end) for step in splitter(completion)] == [(1, 3), (3, 4)]
