"""Deal the candidates of a pool into windows: groups that a judge reads in one prompt, limited in size and in tokens.

Rules
    `deal` puts every candidate into exactly one window. Equal answers are spread over as many windows as possible, so
    that a window holds one candidate of each distinct answer where it can; window sizes differ by one at most, unless
    the token limit forces a larger difference. The order within a window is random, so a position says nothing about
    the candidate. A candidate has a window of its own where no other one fits beside it.

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

    `position` is the position in `pool.trajectories` of the first trajectory (by index) with this text, and `positions`
    holds the positions of all trajectories with it. `cluster` numbers its answer: equal answers share a number, and
    code, which has no answer, is numbered by its text. `tokens` is its length in a prompt, 0 if tokens are not counted.
    """

    position: int
    text: str
    cluster: int
    answer: str | None = None
    tokens: int = 0
    positions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """The limits of a window: at most `size` candidates, in a prompt of at most `budget_tokens` tokens (None: no
    limit).

    `count_tokens` counts the tokens of a text; None means that they are not counted. Raises ConfigError for a budget
    without `count_tokens`, and for a size below 2.
    """

    size: int = 8
    budget_tokens: int | None = None
    count_tokens: CountTokens | None = None

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ConfigError(f"window: a judge compares at least 2 candidates, got {self.size}")
        if self.budget_tokens is not None and self.count_tokens is None:
            raise ConfigError(
                "budget_tokens: the tokens of this model cannot be counted, because it has no tokenizer on this "
                "machine (an endpoint has none); leave the budget out, or name the model's tokenizer (tokenizer = "
                "bundled:NAME, a folder or a hub id)"
            )

    def count(self, text: str) -> int:
        """Return the tokens of a text; 0 if tokens are not counted."""
        return self.count_tokens(text) if self.count_tokens is not None else 0

    def room_tokens(self, bare_prompt: str) -> int | None:
        """Return the tokens that a prompt without candidates leaves of the budget; None without a budget."""
        return None if self.budget_tokens is None else self.budget_tokens - self.count(bare_prompt)


def deal(
    candidates: Sequence[Candidate], size: int, room_tokens: int | None, rng: random.Random
) -> list[list[Candidate]]:
    """Return windows of at most `size` candidates and `room_tokens` tokens in which every candidate occurs once.

    A candidate larger than `room_tokens` gets a window of its own: the caller excludes such candidates.
    """
    order = _shuffle_by_answer(candidates, rng)
    least_count = math.ceil(len(order) / size)
    if room_tokens is not None:
        # Two candidates of more than half the room never share a window: they are placed before the windows fill up.
        order.sort(key=lambda candidate: 2 * candidate.tokens <= room_tokens)
        least_count = max(
            least_count, math.ceil(sum(min(candidate.tokens, room_tokens) for candidate in order) / max(room_tokens, 1))
        )
    windows = [[candidate] for candidate in order]
    for count in range(least_count, len(order)):
        full_windows = _fill_windows(order, count, size, room_tokens)
        if full_windows is not None:
            windows = [window for window in full_windows if window]
            break
    for window in windows:
        rng.shuffle(window)
    return windows


def _fill_windows(
    order: Sequence[Candidate], count: int, size: int, room_tokens: int | None
) -> list[list[Candidate]] | None:
    """Put each candidate into one of `count` windows; return None if one does not fit into any.

    Among the windows with room, the candidate goes to the one where its answer is rarest, and in a tie to the one with
    the fewest candidates.
    """
    windows: list[list[Candidate]] = [[] for _ in range(count)]
    tokens = [0] * count
    for candidate in order:
        indices = [
            index
            for index, window in enumerate(windows)
            if not window
            or (len(window) < size and (room_tokens is None or tokens[index] + candidate.tokens <= room_tokens))
        ]
        if not indices:
            return None
        index = min(
            indices, key=lambda index: (_count_equal(windows[index], candidate.cluster), len(windows[index]), index)
        )
        windows[index].append(candidate)
        tokens[index] += candidate.tokens
    return windows


def _shuffle_by_answer(candidates: Sequence[Candidate], rng: random.Random) -> list[Candidate]:
    """Return the candidates in a random order in which equal answers stand together.

    The order of the answers is random, and so is the order of the candidates of each answer.
    """
    by_cluster: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        by_cluster.setdefault(candidate.cluster, []).append(candidate)
    clusters = list(by_cluster.values())
    rng.shuffle(clusters)
    for cluster in clusters:
        rng.shuffle(cluster)
    return [candidate for cluster in clusters for candidate in cluster]


def _count_equal(window: Sequence[Candidate], cluster: int) -> int:
    return sum(1 for candidate in window if candidate.cluster == cluster)
