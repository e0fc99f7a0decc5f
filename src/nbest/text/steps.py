"""Split completions into steps: the only definition of where a step ends.

A completion's *reasoning* is the text after `<think>` where the completion starts with it (white space before it is
allowed; some chat templates put it into the prompt, then reasoning begins at the start), up to `</think>`, or to the
end where that never comes; `<think>` stands for every tag of `nbest.answers.reasoning`. A step ends at the token that
completes a blank line ("\\n\\n", in one token or in two).
The last step ends at the token before `</think>`, or before the end token. A span of white space alone is no step.

One consequence holds for all of these: a step's final token is always followed by another token of the completion,
so a model that sampled the completion has computed the state of that token. Text behind the last boundary of a
completion that was cut (token limit, stop string) is therefore no step.

The rule is one small automaton: `_advance` is its whole definition, tabulated once over its 32 states and the classes
of the vocabulary's ids. `StepTracker` runs it over the rows of a batch while tokens are drawn, `BlankLineSplitter`
over a finished completion, `split_text` over plain text. No torch, no tokenizer: a vocabulary is the text of each id.
"""

import re
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from nbest.answers.reasoning import CLOSER, OPENER, TAG, TAG_STARTS
from nbest.records import Completion, Step

# What an id's text is, as bits of its class.
_LEADS, _TRAILS, _BLANK, _CONTENT, _BEFORE, _AFTER, _EMPTY = 1, 2, 4, 8, 16, 32, 64
_OPEN, _CLOSE = 128, 256
# What the automaton remembers: nothing but white space so far in the completion; the span has content; the text so
# far ends with a newline; the span has at least one token; reasoning is over.
_FRESH, _HAS_CONTENT, _NEWLINE, _BEGUN, _DONE = 1, 2, 4, 8, 16
_STATES = 32
# What a token does to the span it stands behind.
NOTHING, RESTARTS, ENDS_HERE, ENDED_BEFORE = 0, 1, 2, 3

_TEXT_PIECES = re.compile(rf"{TAG.pattern}|\n|[^\n{TAG_STARTS}]+|[{TAG_STARTS}]", re.IGNORECASE)


def _classify(piece: str) -> int:
    """Return the class of an id, computed from its text."""
    if CLOSER.search(piece):
        return _CLOSE
    if OPENER.fullmatch(piece.strip()):
        return _OPEN | _CONTENT
    before, blank, after = piece.rpartition("\n\n")
    bits = (_LEADS if piece.startswith("\n") else 0) | (_TRAILS if piece.endswith("\n") else 0)
    bits |= (_BLANK if blank else 0) | (_CONTENT if piece.strip() else 0) | (0 if piece else _EMPTY)
    return bits | (_BEFORE if blank and before.strip() else 0) | (_AFTER if blank and after.strip() else 0)


def _advance(state: int, kind: int) -> tuple[int, int]:
    """Apply the rule: return the next state and the effect on the span, for a state and the class of the next token."""
    if state & _DONE:
        return state, NOTHING
    has_step = bool(state & _HAS_CONTENT and state & _BEGUN)
    if kind & _CLOSE:
        return _DONE, ENDED_BEFORE if has_step else NOTHING
    if kind & _OPEN and state & _FRESH:
        return 0, RESTARTS
    if kind & _EMPTY:
        return state | _BEGUN, NOTHING
    fresh = state & _FRESH if not kind & _CONTENT else 0
    newline = _NEWLINE if kind & _TRAILS else 0
    if not (kind & _BLANK or (state & _NEWLINE and kind & _LEADS)):
        content = _HAS_CONTENT if state & _HAS_CONTENT or kind & _CONTENT else 0
        return fresh | newline | content | _BEGUN, NOTHING
    behind = kind & _AFTER if kind & _BLANK else kind & _CONTENT
    if not (state & _HAS_CONTENT or kind & _BEFORE):
        # Nothing but white space before the blank line: a token with content behind it opens the span.
        return fresh | newline | (_HAS_CONTENT | _BEGUN if behind else 0), NOTHING if behind else RESTARTS
    # Content behind the blank line in the same token counts for the next span, which so far has no token of its own.
    return fresh | newline | (_HAS_CONTENT if behind else 0), ENDS_HERE


class StepRule:
    """The table of the automaton for one vocabulary.

    `pieces` [V] is the text of each id (an id without text has ""); `end_tokens` are the ids that end a completion.
    Where a model writes its tags in several tokens, the vocabulary has no tag and every blank line is a boundary.
    """

    def __init__(self, pieces: Sequence[str], end_tokens: Collection[int] = ()):
        kinds = [_classify(piece) for piece in pieces]
        for token in end_tokens:
            kinds[token] = _CLOSE
        distinct = sorted(set(kinds))
        column = {kind: index for index, kind in enumerate(distinct)}
        cells = [[_advance(state, kind) for kind in distinct] for state in range(_STATES)]
        self.kinds: NDArray[np.int16] = np.array([column[kind] for kind in kinds], dtype=np.int16)
        # One cell packs the new state (low 5 bits) and the action (above).
        self.cells: NDArray[np.int16] = np.array(
            [[new | action << 5 for new, action in row] for row in cells], np.int16
        )


class StepTracker:
    """The state of a StepRule for the rows of a batch, which are fed one token per row and call.

    `starts` [rows] is the first token of the open span of each row. Rows are independent; `reset` starts new
    completions.
    """

    def __init__(self, rule: StepRule, rows: int):
        self.rule = rule
        self.states: NDArray[np.int16] = np.full(rows, _FRESH, dtype=np.int16)
        self.starts: NDArray[np.int32] = np.zeros(rows, dtype=np.int32)

    def reset(self, rows: NDArray[np.intp]) -> None:
        self.states[rows] = _FRESH
        self.starts[rows] = 0

    def move(self, sources: NDArray[np.intp], targets: NDArray[np.intp]) -> None:
        """Copy the state of rows `sources` to rows `targets`."""
        self.states[targets] = self.states[sources]
        self.starts[targets] = self.starts[sources]

    def feed(
        self, tokens: NDArray[np.integer], positions: NDArray[np.integer]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32]]:
        """Process token `tokens[r]`, at index `positions[r]` of its completion, for each of the first rows.

        Returns (rows whose step ended at the token before, rows whose step ends at this token, `starts` [rows] as
        they were before this token). For a step that ended at the token before, its state is the state of the token fed
        last, which the model has just computed. For a step that ends at this token, its state appears when this token
        is fed, if it ever is.
        """
        count = len(tokens)
        cells = self.rule.cells[self.states[:count], self.rule.kinds[tokens]]
        self.states[:count] = cells & 31
        actions = cells >> 5
        starts = self.starts[:count].copy()
        acted = np.flatnonzero(actions)
        if not len(acted):
            return acted, acted, starts
        what = actions[acted]
        opened = acted[what != ENDED_BEFORE]
        self.starts[opened] = positions[opened] + 1
        return acted[what == ENDED_BEFORE], acted[what == ENDS_HERE], starts


class BlankLineSplitter:
    """A StepSplitter that finds the steps of a completion in its tokens. A completion without tokens has no steps."""

    def __init__(self, pieces: Sequence[str], end_tokens: Collection[int] = ()):
        self.rule = StepRule(pieces, end_tokens)
        self._rows: list[list[int]] = self.rule.cells.tolist()

    def __call__(self, completion: Completion) -> list[Step]:
        kinds: list[int] = self.rule.kinds[completion.tokens].tolist()
        # A step whose boundary is the last token has no token after it, so its state was never computed.
        return [step for step in _run(self._rows, kinds) if step.end < len(kinds)]


def _run(cells: list[list[int]], kinds: Sequence[int]) -> list[Step]:
    state, start = _FRESH, 0
    steps: list[Step] = []
    for index, kind in enumerate(kinds):
        cell = cells[state][kind]
        state, action = cell & 31, cell >> 5
        if not action:
            continue
        if action == ENDED_BEFORE:
            steps.append(Step(start, index))
            continue
        if action == ENDS_HERE:
            steps.append(Step(start, index + 1))
        start = index + 1
    return steps


def split_text(text: str, is_finished: bool = True) -> list[tuple[int, int]]:
    """Return the steps of plain text by the same rule, as half-open spans of characters.

    `is_finished` means that the text was not cut, so that its end closes the last step.
    """
    matches = list(_TEXT_PIECES.finditer(text))
    pieces = [match.group() for match in matches]
    ends = [0, *(match.end() for match in matches)]
    rule = StepRule([*pieces, ""], (len(pieces),) if is_finished else ())
    steps = _run(rule.cells.tolist(), rule.kinds.tolist())
    return [(ends[step.start], ends[step.end]) for step in steps]
