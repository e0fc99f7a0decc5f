"""The running batch: rows join, draw one token per step, and leave. Every call blocks.

A row is one completion in progress. Rows of one job share the prefill of their prompt: keys and values of all its
tokens but the last are computed once and copied into every row, and the last token is each row's first input. Finished
rows stay until a sixteenth of the batch is finished; then new completions, or rows from the end, take their positions.
This module does not know event loops and files.

Shapes: B rows in use, P tokens of a prompt, V vocabulary, D hidden size.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nbest.records import Completion, Finish, Step
from nbest.sampling.checkpoint import Checkpoint
from nbest.sampling.columns import ColumnCache
from nbest.sampling.drawing import draw_tokens, draw_uniforms
from nbest.sampling.rows import Job, Request, Rows, RowTable
from nbest.text.steps import StepRule, StepTracker

PREFILL_TOKENS = 16_384
"""The largest number of prompt tokens computed in one forward pass; a longer prompt is computed alone."""


class Batch:
    """Up to `rows` completions in one running batch; `length` of the rows are in use, finished ones included."""

    def __init__(self, checkpoint: Checkpoint, rule: StepRule, rows: int):
        self.checkpoint, self.rows, self.length = checkpoint, rows, 0
        self.table = RowTable(rows)
        self.tracker = StepTracker(rule, rows)
        self.cache = ColumnCache(checkpoint.layer_count, rows, 128, checkpoint.device)
        self._ends = np.zeros(len(checkpoint.pieces), dtype=bool)
        self._ends[list(checkpoint.end_tokens)] = True
        self._stop_marks: dict[tuple[str, ...], NDArray[np.bool_]] = {}
        # A model without position ids (ALiBi) reads positions from the mask.
        self._argument_names = frozenset(inspect.signature(checkpoint.model.forward).parameters)

    @property
    def free_rows(self) -> int:
        return self.rows - int(self.table.alive[: self.length].sum())

    @property
    def has_slack(self) -> bool:
        """Whether so many rows are finished that closing the gaps is cheaper than carrying them."""
        finished = self.length - int(self.table.alive[: self.length].sum())
        return finished > 0 and finished * 16 >= self.length

    def drop(self, jobs: set[Job]) -> None:
        """Take the rows of these jobs out of the batch."""
        for row in np.flatnonzero(self.table.alive[: self.length]).tolist():
            request = self.table.requests[row]
            if request is not None and request.job in jobs:
                self.table.release(row)

    def admit(self, jobs: Sequence[Job]) -> None:
        """Give free rows to the waiting completions of these jobs, in order."""
        free = self.free_rows
        requests: list[Request] = []
        for job in jobs:
            room = free - len(requests)
            requests += job.waiting[:room]
            job.waiting = job.waiting[room:]
        if not requests:
            return
        self._prefill([job for job in dict.fromkeys(request.job for request in requests) if job.prefix is None])
        finished = np.flatnonzero(~self.table.alive[: self.length])[: len(requests)]
        fresh = np.arange(self.length, self.length + len(requests) - len(finished))
        rows = np.concatenate([finished, fresh])
        self.length += len(fresh)
        self.table.assign(requests, rows)
        self.tracker.reset(rows)
        groups = self.table.group_by_prefix(rows)
        self.cache.reserve(max(prefix.columns for prefix, _, _ in groups), 1)
        for prefix, sources, targets in groups:
            self.cache.join(prefix, torch.tensor(sources), torch.tensor(targets))
        # Without this, a batch that is never empty would attend over the columns of all its earlier rows.
        self._trim()
        for request in requests:
            if not request.job.waiting:
                request.job.prefix = None

    def _trim(self) -> None:
        self.cache.trim(torch.from_numpy(self.table.alive[: self.length]))

    def _prefill(self, jobs: list[Job]) -> None:
        """Compute keys and values of the prompts without their last token, in batches of similar length."""
        jobs = sorted(jobs, key=lambda job: len(job.prompt_tokens))
        while jobs:
            shortest = len(jobs[0].prompt_tokens)
            longest = max(shortest + 8, shortest * 5 // 4)
            count = max(1, PREFILL_TOKENS // longest)
            part = [job for job in jobs[:count] if len(job.prompt_tokens) <= longest]
            jobs = jobs[len(part) :]
            prefix = self._compute_prefix([job.prompt_tokens[:-1] for job in part])
            for row, job in enumerate(part):
                job.prefix, job.prefix_row = prefix, row

    def _compute_prefix(self, prompts: list[list[int]]) -> ColumnCache:
        """Return the cache of prompts [B P], left-padded to the longest."""
        width = max(map(len, prompts))
        prefix = ColumnCache(self.checkpoint.layer_count, len(prompts), width, self.checkpoint.device)
        if not width:
            return prefix
        ids = torch.zeros((len(prompts), width), dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.int64)
        prefix.starts = torch.tensor([width - len(prompt) for prompt in prompts])
        columns = torch.arange(width)
        mask = (columns >= prefix.starts[:, None]).to(self.checkpoint.device) if prefix.starts.any() else None
        self._forward(ids, (columns - prefix.starts[:, None]).clamp_(min=0), mask, prefix, False)
        prefix.advance(width)
        return prefix

    def _forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor | None, cache: ColumnCache, has_states: bool
    ) -> Any:
        device = self.checkpoint.device
        optional: dict[str, Any] = {"position_ids": positions.to(device), "logits_to_keep": 1}
        return self.checkpoint.model(
            input_ids=ids.to(device),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=has_states,
            **{name: value for name, value in optional.items() if name in self._argument_names},
        )

    def step(self) -> list[tuple[Request, Completion]]:
        """Draw one token per row, and return the completions that are finished now."""
        count, table = self.length, self.table
        self.cache.reserve(0, 1)
        has_states = bool((table.captures[:count] & table.alive[:count]).any())
        ids, positions = torch.from_numpy(table.inputs[:count, None]), torch.from_numpy(table.positions[:count, None])
        output = self._forward(ids, positions, self.cache.view_mask(count), self.cache, has_states)
        self.cache.advance()
        tokens, *numbers = self._draw(output.logits[:, -1].float())
        rows_before, rows_at, starts = self.tracker.feed(tokens, table.counts[:count])
        if has_states:
            self._capture(output.hidden_states, rows_before, starts)
        table.ending[:count] = -1
        table.ending[rows_at] = starts[rows_at]
        table.append(tokens, *numbers)
        return self._finish(tokens)

    def _draw(
        self, logits: Tensor
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return tokens, log-probabilities, confidences and certainties, all [B]; 0 if a row needs none."""
        count, device, table = self.length, self.checkpoint.device, self.table
        uniforms = torch.from_numpy(draw_uniforms(table.streams[:count], table.counts[:count])).to(device)
        settings, params = table.settings[:count], list(table.numbers)
        setting_numbers = np.unique(settings).tolist()
        packed = torch.zeros((4, count), dtype=torch.float64, device=device)
        for number in setting_numbers:
            rows = (
                slice(None)
                if len(setting_numbers) == 1
                else torch.from_numpy(np.flatnonzero(settings == number)).to(device)
            )
            for index, values in enumerate(draw_tokens(logits[rows], uniforms[rows], params[number])):
                if values is not None:
                    packed[index, rows] = values.double()
        # One transfer per step, because each one waits for the accelerator.
        arrays = packed.cpu().numpy()
        return arrays[0].astype(np.int64), arrays[1], arrays[2], arrays[3]

    def _capture(self, states: tuple[Tensor, ...], rows_before: Rows, starts: NDArray[np.int32]) -> None:
        """Keep the states of the tokens that were just read, for the rows in which they end a step."""
        count, table = self.length, self.table
        begins = table.ending[:count].copy()
        begins[rows_before] = starts[rows_before]
        rows = np.flatnonzero((begins >= 0) & table.captures[:count] & table.alive[:count])
        if not len(rows):
            return
        layers_of = {row: request.job.layers for row in rows.tolist() if (request := table.requests[row]) is not None}
        distinct = set(layers_of.values())
        layers = next(iter(distinct)) if len(distinct) == 1 else tuple(sorted(set().union(*distinct)))
        indices = torch.from_numpy(rows).to(self.checkpoint.device)
        columns = [states[layer][:, -1].index_select(0, indices) for layer in layers]
        block = columns[0][:, None] if len(columns) == 1 else torch.stack(columns, dim=1)
        values: NDArray[np.float32] = block.float().cpu().numpy()
        spans = zip(rows.tolist(), begins[rows].tolist(), table.counts[rows].tolist(), values, strict=True)
        for row, start, end, value in spans:
            row_layers = layers_of[row]
            table.steps[row].append(Step(start, end))
            table.states[row].append(
                value if row_layers == layers else value[[layers.index(layer) for layer in row_layers]]
            )

    def _finish(self, tokens: NDArray[np.int64]) -> list[tuple[Request, Completion]]:
        count, table = self.length, self.table
        is_over = self._ends[tokens] | (table.counts[:count] >= table.limits[:count]) | self._find_stops(tokens)
        rows = np.flatnonzero(is_over & table.alive[:count]).tolist()
        finished = [self._complete(row) for row in rows]
        for row in rows:
            table.release(row)
        return finished

    def _find_stops(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows [B] have a stop string in their text."""
        table = self.table
        has_stop = np.zeros(self.length, dtype=bool)
        for params, number in table.numbers.items():
            stop = params.stop
            if not stop:
                continue
            if stop not in self._stop_marks:
                # Only a token with the last character of a stop string can complete it.
                last = {string[-1] for string in stop}
                self._stop_marks[stop] = np.array([not last.isdisjoint(piece) for piece in self.checkpoint.pieces])
            is_marked = self._stop_marks[stop][tokens] & (table.settings[: self.length] == number)
            # A character is at most four tokens (the bytes of one code point).
            reach = 4 * max(map(len, stop)) + 8
            for row in np.flatnonzero(is_marked & table.alive[: self.length]).tolist():
                text = self.checkpoint.decode(
                    table.tokens[row, max(0, table.counts[row] - reach) : table.counts[row]].tolist()
                )
                has_stop[row] = any(string in text for string in stop)
        return has_stop

    def _complete(self, row: int) -> tuple[Request, Completion]:
        table, request = self.table, self.table.requests[row]
        assert request is not None
        job, count = request.job, int(table.counts[row])
        tokens = table.tokens[row, :count].copy()
        is_ended = bool(self._ends[tokens[-1]])
        text = self.checkpoint.decode(tokens[:-1].tolist() if is_ended else tokens.tolist())
        cut = min((position for string in job.params.stop if (position := text.find(string)) >= 0), default=len(text))
        finish: Finish = "stop" if is_ended or cut < len(text) or count < job.limit_tokens else "length"
        completion = Completion(
            text=text[:cut],
            prompt_tokens=np.array(job.prompt_tokens, dtype=np.int32),
            tokens=tokens,
            logprobs=table.logprobs[row, :count].copy(),
            confidences=table.confidences[row, :count].copy() if job.params.top_logprobs else None,
            finish=finish,
            states=table.collect_states(row, job.layers, self.checkpoint.hidden_size) if job.layers else None,
            note=job.note if finish == "length" else "",
            certainties=table.certainties[row, :count].copy() if job.params.self_certainty else None,
        )
        return request, completion

    def compact(self) -> None:
        """Move rows from the end to the positions of finished ones, so that the batch consists of live rows."""
        alive = self.table.alive[: self.length]
        count = int(alive.sum())
        targets = np.flatnonzero(~alive[:count])
        sources = count + np.flatnonzero(alive[count:])
        if len(targets):
            self.table.move(sources, targets)
            self.tracker.move(sources, targets)
            self.cache.move_rows(torch.from_numpy(sources), torch.from_numpy(targets))
        self.length = count
        self._trim()
