"""The running batch: rows join, draw one token a step each, and leave. Blocking; knows no event loop and no files.

A row is one attempt. Rows of one job share the prefill of their prompt: keys and values of all its tokens but the
last are computed once and copied into every row, and the last token is each row's first input. Finished rows stay
until a sixteenth of the batch is finished, then new attempts take their places, or the rows from the end do.

Shapes: R rows allocated, B rows in use, V vocabulary, D hidden size.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bestofn.records import CapturedStates, Completion, Finish, SamplingParams, Step
from bestofn.samplers.checkpoint import Checkpoint
from bestofn.samplers.columns import ColumnCache
from bestofn.samplers.drawing import draw_tokens, draw_uniforms, mix_seeds
from bestofn.text.steps import StepRule, StepTracker

PREFILL_TOKENS = 16_384
"""Most prompt tokens computed in one forward pass (a longer prompt goes alone)."""


class Attempt(NamedTuple):
    """One completion to draw: its seed, and where its caller keeps it."""

    seed: int
    index: int
    job: "Job"


@dataclass(eq=False)
class Job:
    """Attempts at one prompt. `waiting` are those without a row yet; `layers` is `params.capture` counted from 0."""

    prompt_tokens: list[int]
    params: SamplingParams
    limit_tokens: int
    layers: tuple[int, ...] = ()
    note: str = ""
    attempts: tuple[Attempt, ...] = ()
    waiting: list[Attempt] = field(default_factory=list[Attempt])
    prefix: ColumnCache | None = None
    prefix_row: int = 0


class Captured(NamedTuple):
    step: Step
    layers: tuple[int, ...]
    values: np.ndarray


class Batch:
    """Up to `rows` attempts in one running batch. `length` rows are in use, `alive` ones are unfinished."""

    def __init__(self, checkpoint: Checkpoint, rule: StepRule, rows: int):
        self.checkpoint, self.rows, self.length = checkpoint, rows, 0
        self.cache = ColumnCache(checkpoint.layer_count, rows, 128, checkpoint.device)
        self.tracker = StepTracker(rule, rows)
        self.attempts: list[Attempt | None] = [None] * rows
        self.captured: list[list[Captured]] = [[] for _ in range(rows)]
        self.alive = np.zeros(rows, dtype=bool)
        self.inputs = np.zeros(rows, dtype=np.int64)
        self.positions = np.zeros(rows, dtype=np.int64)
        self.counts = np.zeros(rows, dtype=np.int64)
        self.limits = np.zeros(rows, dtype=np.int64)
        self.streams = np.zeros(rows, dtype=np.uint64)
        self.captures = np.zeros(rows, dtype=bool)
        self.pending = np.zeros(rows, dtype=bool)
        self.pending_starts = np.zeros(rows, dtype=np.int32)
        self.settings = np.zeros(rows, dtype=np.int64)
        self.tokens = np.zeros((rows, 256), dtype=np.int32)
        self.logprobs = np.zeros((rows, 256), dtype=np.float32)
        self.confidences = np.zeros((rows, 256), dtype=np.float32)
        self._known: dict[SamplingParams, int] = {}
        self._ends = np.zeros(len(checkpoint.pieces), dtype=bool)
        self._ends[list(checkpoint.end_tokens)] = True
        # A model without position ids (ALiBi) reads positions from the mask.
        self._accepted = frozenset(inspect.signature(checkpoint.model.forward).parameters)
        self._stop_marks: dict[tuple[str, ...], np.ndarray] = {}

    @property
    def free_rows(self) -> int:
        return self.rows - int(self.alive[: self.length].sum())

    @property
    def has_slack(self) -> bool:
        """Whether so many rows are finished that closing the gaps is cheaper than carrying them."""
        dead = self.length - int(self.alive[: self.length].sum())
        return dead > 0 and dead * 16 >= self.length

    def drop(self, jobs: set[Job]) -> None:
        """Forget the attempts of these jobs."""
        for row in np.flatnonzero(self.alive[: self.length]):
            attempt = self.attempts[row]
            if attempt is not None and attempt.job in jobs:
                self._release(int(row))

    def admit(self, jobs: Sequence[Job]) -> None:
        """Give rows to waiting attempts of these jobs, in order, while there are any."""
        free = self.free_rows
        chosen: list[Attempt] = []
        for job in jobs:
            taken, job.waiting = job.waiting[: free - len(chosen)], job.waiting[free - len(chosen) :]
            chosen += taken
        self._prefill([job for job in dict.fromkeys(attempt.job for attempt in chosen) if job.prefix is None])
        dead = np.flatnonzero(~self.alive[: self.length])[: len(chosen)]
        fresh = np.arange(self.length, self.length + len(chosen) - len(dead))
        rows = np.concatenate([dead, fresh])
        self.length += len(fresh)
        self._seat(chosen, rows)

    def _prefill(self, jobs: list[Job]) -> None:
        """Keys and values of the prompts without their last token, in batches of similar length, left-padded."""
        jobs = sorted(jobs, key=lambda job: len(job.prompt_tokens))
        while jobs:
            width = len(jobs[0].prompt_tokens)
            longest = max(width + 8, width * 5 // 4)
            most = max(1, PREFILL_TOKENS // longest)
            part = [job for job in jobs[:most] if len(job.prompt_tokens) <= longest]
            jobs = jobs[len(part) :]
            prefix = self._compute_prefix([job.prompt_tokens[:-1] for job in part])
            for row, job in enumerate(part):
                job.prefix, job.prefix_row = prefix, row

    def _compute_prefix(self, prompts: list[list[int]]) -> ColumnCache:
        device, width = self.checkpoint.device, max(map(len, prompts))
        prefix = ColumnCache(self.checkpoint.layer_count, len(prompts), width, device)
        if not width:
            return prefix
        ids = torch.zeros((len(prompts), width), dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.int64)
        prefix.starts = torch.tensor([width - len(prompt) for prompt in prompts])
        positions = (torch.arange(width) - prefix.starts[:, None]).clamp_(min=0)
        mask = (torch.arange(width) >= prefix.starts[:, None]).to(device) if int(prefix.starts.max()) else None
        self._forward(ids, positions, mask, prefix, False)
        prefix.advance(width)
        return prefix

    def _forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor | None, cache: ColumnCache, has_states: bool
    ) -> Any:
        device = self.checkpoint.device
        named: dict[str, Any] = {"position_ids": positions.to(device), "logits_to_keep": 1}
        return self.checkpoint.model(
            input_ids=ids.to(device),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=has_states,
            **{name: value for name, value in named.items() if name in self._accepted},
        )

    def _seat(self, attempts: list[Attempt], rows: np.ndarray) -> None:
        prefixes: dict[int, tuple[ColumnCache, list[int], list[int]]] = {}
        for attempt, row in zip(attempts, rows.tolist(), strict=True):
            job = attempt.job
            assert job.prefix is not None
            prefixes.setdefault(id(job.prefix), (job.prefix, [], []))[1].append(job.prefix_row)
            prefixes[id(job.prefix)][2].append(row)
            self.attempts[row], self.captured[row] = attempt, []
            self.inputs[row], self.positions[row] = job.prompt_tokens[-1], len(job.prompt_tokens) - 1
            self.limits[row], self.captures[row] = job.limit_tokens, bool(job.layers)
            self.streams[row] = attempt.seed & (2**64 - 1)
            self.settings[row] = self._known.setdefault(_drawing_part(job.params), len(self._known))
        self.counts[rows], self.alive[rows], self.pending[rows] = 0, True, False
        self.streams[rows] = mix_seeds(self.streams[rows])
        self.tracker.reset(rows)
        self.cache.reserve(max((prefix.columns for prefix, _, _ in prefixes.values()), default=0), 1)
        for prefix, sources, targets in prefixes.values():
            self.cache.join(prefix, torch.tensor(sources), torch.tensor(targets))
        for attempt in attempts:
            if not attempt.job.waiting:
                attempt.job.prefix = None

    def step(self) -> list[tuple[Attempt, Completion]]:
        """Draw one token a row; the completions that this finished."""
        count = self.length
        self.cache.reserve(0, 1)
        has_states = bool((self.captures[:count] & self.alive[:count]).any())
        output = self._forward(
            torch.from_numpy(self.inputs[:count, None]),
            torch.from_numpy(self.positions[:count, None]),
            self.cache.view_mask(count),
            self.cache,
            has_states,
        )
        self.cache.advance()
        tokens, logprobs, confidences = self._draw(output.logits[:, -1].float())
        counts = self.counts[:count]
        before, here, starts = self.tracker.feed(tokens, counts)
        if has_states:
            self._capture(output.hidden_states, before, starts)
        self.pending[:count] = False
        self.pending[here], self.pending_starts[here] = True, starts[here]
        self._record(tokens, logprobs, confidences)
        return self._finish(tokens)

    def _draw(self, logits: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count, device = self.length, self.checkpoint.device
        uniforms = torch.from_numpy(draw_uniforms(self.streams[:count], self.counts[:count])).to(device)
        params = list(self._known)
        used = np.unique(self.settings[:count]).tolist()
        packed = torch.zeros((3, count), dtype=torch.float64, device=device)
        for number in used:
            rows = slice(None) if len(used) == 1 else torch.from_numpy(self.settings[:count] == number).to(device)
            tokens, logprobs, confidences = draw_tokens(logits[rows], uniforms[rows], params[number])
            packed[0, rows], packed[1, rows] = tokens.double(), logprobs.double()
            if confidences is not None:
                packed[2, rows] = confidences.double()
        # One transfer a step: on an accelerator each one waits for the device.
        host = packed.cpu().numpy()
        return host[0].astype(np.int64), host[1], host[2]

    def _capture(self, states: tuple[Tensor, ...], before: np.ndarray, starts: np.ndarray) -> None:
        """Keep the states of the tokens just fed, for the rows whose step they end."""
        count = self.length
        opened = starts.copy()
        ends = self.pending[:count].copy()
        opened[ends] = self.pending_starts[:count][ends]
        ends[before] = True
        rows = np.flatnonzero(ends & self.captures[:count] & self.alive[:count])
        if not len(rows):
            return
        attempts = [self.attempts[row] for row in rows]
        layers = tuple(sorted({layer for attempt in attempts if attempt for layer in attempt.job.layers}))
        where = torch.from_numpy(rows).to(self.checkpoint.device)
        kept = torch.stack([states[layer][:, -1].index_select(0, where) for layer in layers], dim=1)
        values = kept.float().cpu().numpy()
        for place, row in enumerate(rows.tolist()):
            step = Step(int(opened[row]), int(self.counts[row]))
            self.captured[row].append(Captured(step, layers, values[place]))

    def _record(self, tokens: np.ndarray, logprobs: np.ndarray, confidences: np.ndarray) -> None:
        count = self.length
        rows, places = np.arange(count), self.counts[:count]
        if int(places.max()) >= self.tokens.shape[1]:
            for name in ("tokens", "logprobs", "confidences"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)], axis=1))
        self.tokens[rows, places] = tokens
        self.logprobs[rows, places] = logprobs
        self.confidences[rows, places] = confidences
        alive = self.alive[:count]
        self.inputs[:count] = tokens
        # Finished rows still in the batch stay at one place, inside every model's context.
        self.counts[:count] += alive
        self.positions[:count] += alive

    def _finish(self, tokens: np.ndarray) -> list[tuple[Attempt, Completion]]:
        count = self.length
        ended = self._ends[tokens]
        over = ended | (self.counts[:count] >= self.limits[:count]) | self._find_stops(tokens)
        rows = np.flatnonzero(over & self.alive[:count]).tolist()
        finished = [self._complete(row, bool(ended[row])) for row in rows]
        for row in rows:
            self._release(row)
        return finished

    def _find_stops(self, tokens: np.ndarray) -> np.ndarray:
        """Rows whose text now holds one of their stop strings."""
        found = np.zeros(self.length, dtype=bool)
        stops = {params.stop for params in self._known if params.stop}
        if not stops:
            return found
        params = list(self._known)
        for stop in stops:
            # Only a token with the last character of a stop string can complete it.
            if stop not in self._stop_marks:
                last = {string[-1] for string in stop}
                self._stop_marks[stop] = np.array([not last.isdisjoint(piece) for piece in self.checkpoint.pieces])
            for row in np.flatnonzero(self._stop_marks[stop][tokens] & self.alive[: self.length]).tolist():
                if params[self.settings[row]].stop == stop:
                    reach = 4 * max(map(len, stop)) + 8
                    tail = self.tokens[row, max(0, self.counts[row] - reach) : self.counts[row]]
                    text = self.checkpoint.decode(tail.tolist())
                    found[row] = any(string in text for string in stop)
        return found

    def _complete(self, row: int, ended: bool) -> tuple[Attempt, Completion]:
        attempt = self.attempts[row]
        assert attempt is not None
        job, count = attempt.job, int(self.counts[row])
        tokens = self.tokens[row, :count].copy()
        text = self.checkpoint.decode(tokens[:-1].tolist() if ended else tokens.tolist())
        cut = min((place for string in job.params.stop if (place := text.find(string)) >= 0), default=-1)
        finish: Finish = "stop" if ended or cut >= 0 or count < job.limit_tokens else "length"
        completion = Completion(
            text=text if cut < 0 else text[:cut],
            prompt_tokens=np.array(job.prompt_tokens, dtype=np.int32),
            tokens=tokens,
            logprobs=self.logprobs[row, :count].copy(),
            confidences=self.confidences[row, :count].copy() if job.params.top_logprobs else None,
            finish=finish,
            states=self._collect(row, job.layers) if job.layers else None,
            note=job.note if finish == "length" else "",
        )
        return attempt, completion

    def _collect(self, row: int, layers: tuple[int, ...]) -> CapturedStates:
        captured = self.captured[row]
        values = np.zeros((len(captured), len(layers), self.checkpoint.hidden_size), dtype=np.float32)
        for place, one in enumerate(captured):
            values[place] = one.values[[one.layers.index(layer) for layer in layers]]
        return CapturedStates(layers, tuple(one.step for one in captured), values)

    def _release(self, row: int) -> None:
        self.attempts[row], self.captured[row] = None, []
        self.alive[row], self.positions[row], self.counts[row] = False, 0, 0

    def compact(self) -> None:
        """Rows from the end take the places of finished ones, and the batch becomes as short as its live rows."""
        alive = self.alive[: self.length]
        count = int(alive.sum())
        targets = np.flatnonzero(~alive[:count])
        sources = count + np.flatnonzero(alive[count:])
        if len(targets):
            for name in _ROW_ARRAYS:
                array = getattr(self, name)
                array[targets] = array[sources]
            for target, source in zip(targets.tolist(), sources.tolist(), strict=True):
                self.attempts[target], self.captured[target] = self.attempts[source], self.captured[source]
            self.tracker.move(sources, targets)
            self.cache.move_rows(torch.from_numpy(sources), torch.from_numpy(targets))
        for row in range(count, self.length):
            self._release(row)
        self.length = count
        self.cache.trim(count)


_ROW_ARRAYS = [
    "alive",
    "inputs",
    "positions",
    "counts",
    "limits",
    "streams",
    "captures",
    "pending",
    "pending_starts",
    "settings",
    "tokens",
    "logprobs",
    "confidences",
]


def _drawing_part(params: SamplingParams) -> SamplingParams:
    """The settings that a draw and a stop depend on: rows that share them are drawn together."""
    return SamplingParams(
        params.temperature, params.top_p, params.top_k, params.min_p, 0, params.stop, None, params.top_logprobs
    )
