"""Which candidates of a pool a judge reads side by side: windows limited in number and in tokens, dealt by a seed.

Rules
    `deal` puts every candidate into exactly one window. Equal answers are spread over as many windows as possible, so
    that a window holds one of each distinct answer where it can; window sizes differ by one at most, unless tokens say
    otherwise. Who comes first in a window is drawn at random: a position says nothing of the candidate.
    A candidate stands in a window of its own where no other one fits beside it.

This module does not know models, prompts, pools or targets.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nbest.errors import ConfigError

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One distinct text of a pool.

    `position` is that of the first trajectory (by index) with this text in `pool.trajectories`, `positions` those of
    all. `cluster` numbers its answer: equal answers share a number, and code, which has no answer, is numbered by its
    text. `tokens` is its length in a prompt, 0 where tokens are not counted.
    """

    position: int
    text: str
    cluster: int
    answer: str | None = None
    tokens: int = 0
    positions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """How much a judge reads at once: at most `size` candidates, in a prompt of at most `budget_tokens` tokens.

    None is no limit. `count_tokens` counts the tokens; a budget without it is a ConfigError.
    """

    size: int = 8
    budget_tokens: int | None = None
    count_tokens: CountTokens | None = None

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ConfigError(f"window: a judge compares at least 2 candidates, got {self.size}")
        if self.budget_tokens is not None and self.count_tokens is None:
            raise ConfigError(
                "budget_tokens: nobody counts the tokens of this selector (an endpoint, say); leave it out, or name "
                "the model's tokenizer (tokenizer = bundled:NAME, a folder or a hub id)"
            )

    def count(self, text: str) -> int:
        """Return the tokens of a text; 0 where tokens are not counted."""
        return self.count_tokens(text) if self.count_tokens is not None else 0

    def room_tokens(self, bare_prompt: str) -> int | None:
        """Return the tokens that a prompt without candidates leaves of the budget; None without a budget."""
        return None if self.budget_tokens is None else self.budget_tokens - self.count(bare_prompt)


def deal(
    candidates: Sequence[Candidate], size: int, room_tokens: int | None, draw: random.Random
) -> list[list[Candidate]]:
    """Return windows of at most `size` candidates and `room_tokens` tokens in which every candidate occurs once.

    A candidate larger than `room_tokens` gets a window of its own: leave such candidates out beforehand.
    """
    ordered = _by_answer(candidates, draw)
    least = math.ceil(len(ordered) / size)
    if room_tokens is not None:
        # Two candidates of more than half the room never share a window: they are placed before the windows fill up.
        ordered.sort(key=lambda candidate: 2 * candidate.tokens <= room_tokens)
        least = max(
            least, math.ceil(sum(min(candidate.tokens, room_tokens) for candidate in ordered) / max(room_tokens, 1))
        )
    dealt = [[candidate] for candidate in ordered]
    for count in range(least, len(ordered)):
        windows = _fill_windows(ordered, count, size, room_tokens)
        if windows is not None:
            dealt = [window for window in windows if window]
            break
    for window in dealt:
        draw.shuffle(window)
    return dealt


def _fill_windows(
    ordered: Sequence[Candidate], count: int, size: int, room_tokens: int | None
) -> list[list[Candidate]] | None:
    """Put each candidate into one of `count` windows; return None where one does not fit into any.

    Of the windows with room it goes to the one where its answer is rarest, of equal ones to the emptiest.
    """
    windows: list[list[Candidate]] = [[] for _ in range(count)]
    used = [0] * count
    for candidate in ordered:
        able = [
            at
            for at, window in enumerate(windows)
            if not window
            or (len(window) < size and (room_tokens is None or used[at] + candidate.tokens <= room_tokens))
        ]
        if not able:
            return None
        at = min(able, key=lambda at: (_count_equal(windows[at], candidate.cluster), len(windows[at]), at))
        windows[at].append(candidate)
        used[at] += candidate.tokens
    return windows


def _by_answer(candidates: Sequence[Candidate], draw: random.Random) -> list[Candidate]:
    """Return all candidates grouped by answer; the answers, and the candidates of each answer, in random order."""
    groups: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.cluster, []).append(candidate)
    ordered = list(groups.values())
    draw.shuffle(ordered)
    for group in ordered:
        draw.shuffle(group)
    return [candidate for group in ordered for candidate in group]


def _count_equal(window: Sequence[Candidate], cluster: int) -> int:
    return sum(1 for candidate in window if candidate.cluster == cluster)
