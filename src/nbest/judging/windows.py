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
    """One distinct text of a pool. `place` is the position in `pool.trajectories` of the first attempt (by index) that
    has it, `places` those of all; `cluster` numbers its answer (equal ones share it; code, that has none, its text);
    `tokens` is what it takes in a prompt, 0 where nobody counts."""

    place: int
    text: str
    cluster: int
    answer: str | None = None
    tokens: int = 0
    places: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """How much a judge reads at once: at most `size` candidates, and prompts of at most `budget_tokens` tokens (None =
    no limit) as `count_tokens` counts them. A budget without a counter is a ConfigError: it could not be kept."""

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
        return self.count_tokens(text) if self.count_tokens is not None else 0

    def room_tokens(self, bare_prompt: str) -> int | None:
        """What is left of the budget for candidates beside a prompt without any; None without a budget."""
        return None if self.budget_tokens is None else self.budget_tokens - self.count(bare_prompt)


def deal(
    candidates: Sequence[Candidate], size: int, room_tokens: int | None, draw: random.Random
) -> list[list[Candidate]]:
    """Windows of at most `size` candidates and `room_tokens` tokens that hold every candidate once.

    A candidate larger than `room_tokens` gets a window of its own: sort such ones out before.
    """
    ordered = _by_answer(candidates, draw)
    least = math.ceil(len(ordered) / size)
    if room_tokens is not None:
        # Two that take more than half of the room never share a window: each is placed before the windows fill up.
        ordered.sort(key=lambda each: 2 * each.tokens <= room_tokens)
        least = max(least, math.ceil(sum(min(each.tokens, room_tokens) for each in ordered) / max(room_tokens, 1)))
    placed = (_place(ordered, count, size, room_tokens) for count in range(least, len(ordered)))
    held = next((windows for windows in placed if windows is not None), [[each] for each in ordered])
    windows = [window for window in held if window]
    for window in windows:
        draw.shuffle(window)
    return windows


def _place(
    ordered: Sequence[Candidate], count: int, size: int, room_tokens: int | None
) -> list[list[Candidate]] | None:
    """Each candidate into that of `count` windows with room where its answer is rarest, of equal ones the emptiest;
    None where one finds no room."""
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
        at = min(able, key=lambda at: (_count_equal(windows[at], candidate), len(windows[at]), at))
        windows[at].append(candidate)
        used[at] += candidate.tokens
    return windows


def _by_answer(candidates: Sequence[Candidate], draw: random.Random) -> list[Candidate]:
    """All candidates, those of one answer behind one another; answers and candidates of an answer in random order."""
    groups: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.cluster, []).append(candidate)
    ordered = list(groups.values())
    draw.shuffle(ordered)
    for group in ordered:
        draw.shuffle(group)
    return [candidate for group in ordered for candidate in group]


def _count_equal(window: Sequence[Candidate], candidate: Candidate) -> int:
    return sum(1 for each in window if each.cluster == candidate.cluster)
