"""The state of each row of a running batch, as arrays over rows. This module does not know models.

Shapes: R rows allocated, T tokens per row (grown as needed).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nbest.records import HiddenStates, SamplingParams, Step
from nbest.sampling.columns import ColumnCache
from nbest.sampling.drawing import mix_seeds

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One completion to draw: its seed, and its position among the completions of its job."""

    seed: int
    position: int
    job: "Job"


@dataclass(eq=False)
class Job:
    """Completions of one prompt.

    `waiting` holds the requests that have no row yet; `layers` holds the layers of `params.capture`, counted from 0.
    `limit_tokens` is the largest number of tokens of a completion; `note` is the note of a completion that reaches it.
    """

    prompt_tokens: list[int]
    params: SamplingParams
    limit_tokens: int
    layers: tuple[int, ...] = ()
    note: str = ""
    requests: tuple[Request, ...] = ()
    waiting: list[Request] = field(default_factory=list[Request])
    prefix: ColumnCache | None = None
    prefix_row: int = 0

    def add_requests(self, seeds: Sequence[int]) -> None:
        self.requests = tuple(Request(seed, position, self) for position, seed in enumerate(seeds))
        self.waiting = list(self.requests)


class RowTable:
    """A table of `rows` rows.

    A row is alive from `assign` to `release`. `numbers` gives every distinct combination of sampling settings a number,
    and `settings` [R] holds the number of each row's settings.
    """

    def __init__(self, rows: int):
        self.requests: list[Request | None] = [None] * rows
        # The steps of each row so far, and the states [L D] at their ends, of the layers of its job.
        self.steps: list[list[Step]] = [[] for _ in range(rows)]
        self.states: list[list[NDArray[np.float32]]] = [[] for _ in range(rows)]
        self.alive = np.zeros(rows, dtype=bool)
        self.inputs = np.zeros(rows, dtype=np.int64)
        self.positions = np.zeros(rows, dtype=np.int64)
        self.counts = np.zeros(rows, dtype=np.int64)
        self.limits = np.zeros(rows, dtype=np.int64)
        self.streams = np.zeros(rows, dtype=np.uint64)
        self.settings = np.zeros(rows, dtype=np.int64)
        self.captures = np.zeros(rows, dtype=bool)
        # Where the next input ends a step: the token of the completion at which the step began; else -1.
        self.ending = np.full(rows, -1, dtype=np.int64)
        self.tokens = np.zeros((rows, 256), dtype=np.int32)
        self.logprobs = np.zeros((rows, 256), dtype=np.float32)
        self.confidences = np.zeros((rows, 256), dtype=np.float32)
        self.certainties = np.zeros((rows, 256), dtype=np.float32)
        self.numbers: dict[SamplingParams, int] = {}

    def assign(self, requests: Sequence[Request], rows: Rows) -> None:
        """Give each request its row."""
        for request, row in zip(requests, rows.tolist(), strict=True):
            job = request.job
            self.requests[row], self.steps[row], self.states[row] = request, [], []
            self.inputs[row], self.positions[row] = job.prompt_tokens[-1], len(job.prompt_tokens) - 1
            self.limits[row], self.captures[row] = job.limit_tokens, bool(job.layers)
            self.streams[row] = request.seed & (2**64 - 1)
            self.settings[row] = self.numbers.setdefault(_select_drawing_settings(job.params), len(self.numbers))
        self.counts[rows], self.alive[rows], self.ending[rows] = 0, True, -1
        self.streams[rows] = mix_seeds(self.streams[rows])

    def append(
        self,
        tokens: NDArray[np.int64],
        logprobs: NDArray[np.float64],
        confidences: NDArray[np.float64],
        certainties: NDArray[np.float64],
    ) -> None:
        """Append one token and its numbers to each of the first rows; the token is also their next input."""
        count = len(tokens)
        columns = self.counts[:count]
        if int(columns.max()) >= self.tokens.shape[1]:
            for name in ("tokens", "logprobs", "confidences", "certainties"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros_like(array)], axis=1))
        rows = np.arange(count)
        self.tokens[rows, columns] = tokens
        self.logprobs[rows, columns] = logprobs
        self.confidences[rows, columns] = confidences
        self.certainties[rows, columns] = certainties
        self.inputs[:count] = tokens
        # Finished rows do not advance, so that their positions stay within the model's context.
        self.counts[:count] += self.alive[:count]
        self.positions[:count] += self.alive[:count]

    def release(self, row: int) -> None:
        self.requests[row], self.steps[row], self.states[row] = None, [], []
        self.alive[row], self.positions[row], self.counts[row] = False, 0, 0

    def move(self, sources: Rows, targets: Rows) -> None:
        """Move rows `sources` into rows `targets`, and release them."""
        for name in _ROW_ARRAYS:
            array = getattr(self, name)
            array[targets] = array[sources]
        width = int(self.counts[targets].max()) if len(targets) else 0
        for array in (self.tokens, self.logprobs, self.confidences, self.certainties):
            array[targets, :width] = array[sources, :width]
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            self.requests[target] = self.requests[source]
            self.steps[target], self.states[target] = self.steps[source], self.states[source]
            self.release(source)

    def collect_states(self, row: int, layers: tuple[int, ...], hidden_size: int) -> HiddenStates:
        """Return the states of a row at the ends of its steps: `values` [S L D]."""
        values = np.stack(self.states[row]) if self.states[row] else np.zeros((0, len(layers), hidden_size), np.float32)
        return HiddenStates(layers, tuple(self.steps[row]), values)

    def group_by_prefix(self, rows: Rows) -> list[tuple[ColumnCache, list[int], list[int]]]:
        """Return the prefixes of newly assigned rows as (prefix, rows of the prefix, rows of the batch)."""
        prefixes: dict[int, ColumnCache] = {}
        pairs: defaultdict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for row in rows.tolist():
            request = self.requests[row]
            assert request is not None
            assert request.job.prefix is not None
            key = id(request.job.prefix)
            prefixes[key] = request.job.prefix
            pairs[key][0].append(request.job.prefix_row)
            pairs[key][1].append(row)
        return [(prefixes[key], *pair) for key, pair in pairs.items()]


_ROW_ARRAYS = ("alive", "inputs", "positions", "counts", "limits", "streams", "settings", "captures", "ending")


def _select_drawing_settings(params: SamplingParams) -> SamplingParams:
    """Return the settings that drawing and stopping depend on: rows that share them are drawn together."""
    return SamplingParams(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        min_p=params.min_p,
        stop=params.stop,
        top_logprobs=params.top_logprobs,
        self_certainty=params.self_certainty,
        max_tokens=0,
    )
