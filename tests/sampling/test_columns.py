"""The cache by hand: one layer, one head, one number per key."""

from collections.abc import Callable
from typing import Any

import torch

from nbest.sampling.columns import ColumnCache


def write(cache: ColumnCache, values: list[list[float]]) -> torch.Tensor:
    """Write numbers [rows tokens] as keys and values; return the keys [rows columns] that attention would read."""
    states = torch.tensor(values)[:, None, :, None]
    keys, negatives = cache.update(states, -states, 0)
    assert torch.equal(keys, -negatives)
    cache.advance(len(values[0]))
    return keys[:, 0, :, 0]


def create(rows: int, columns: int) -> ColumnCache:
    return ColumnCache(1, rows, columns, torch.device("cpu"))


def create_prefix() -> ColumnCache:
    """Prompts (1 2 3) and (. 5 6), the second left-padded."""
    prefix = create(2, 3)
    prefix.starts = torch.tensor([0, 1])
    write(prefix, [[1.0, 2.0, 3.0], [0.0, 5.0, 6.0]])
    return prefix


def test_rows_share_a_column_and_mask_those_to_the_left():
    cache = create(3, 8)
    cache.reserve(3, 1)
    cache.join(create_prefix(), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    assert cache.get_seq_length() == 3
    mask = cache.view_mask(3)
    assert mask is not None
    assert mask.tolist() == [[True] * 4, [False, True, True, True], [False, True, True, True]]
    assert write(cache, [[7.0], [8.0], [9.0]]).tolist() == [[1, 2, 3, 7], [0, 5, 6, 8], [0, 5, 6, 9]]
    assert cache.get_mask_sizes(1, 0) == (5, 0)


def test_no_mask_where_nothing_is_masked():
    cache = create(2, 8)
    cache.reserve(3, 1)
    cache.join(create_prefix(), torch.tensor([0, 0]), torch.tensor([0, 1]))
    assert cache.view_mask(2) is None


def test_a_later_row_replaces_a_finished_one():
    cache = create(2, 8)
    cache.reserve(3, 1)
    cache.join(create_prefix(), torch.tensor([0, 1]), torch.tensor([0, 1]))
    write(cache, [[7.0], [8.0]])
    cache.join(create_prefix(), torch.tensor([1]), torch.tensor([0]))
    keys = write(cache, [[4.0], [9.0]])
    mask = cache.mask[:2, cache.window[0] : cache.window[1]]
    assert [row[row_mask].tolist() for row, row_mask in zip(keys, mask, strict=True)] == [[5, 6, 4], [5, 6, 8, 9]]


def test_moving_a_row_and_trimming_unused_columns():
    cache = create(2, 8)
    cache.reserve(3, 1)
    cache.join(create_prefix(), torch.tensor([0, 1]), torch.tensor([0, 1]))
    cache.move_rows(torch.tensor([1]), torch.tensor([0]))
    cache.trim(torch.tensor([True]))
    assert cache.get_seq_length() == 2
    assert cache.view_mask(1) is None
    assert write(cache, [[9.0]]).tolist() == [[5, 6, 9]]


def test_columns_that_run_out_are_moved_and_grown():
    cache = create(1, 4)
    cache.reserve(3, 1)
    cache.join(create_prefix(), torch.tensor([1]), torch.tensor([0]))
    keys = torch.empty(0)
    for value in range(200):
        cache.reserve(0, 1)
        keys = write(cache, [[float(value)]])
    assert keys[0].tolist()[-202:] == [5, 6, *range(200)]
    assert cache.columns < 600


def test_a_long_prompt_joins_a_young_batch():
    cache = create(2, 16)
    cache.join(create(1, 0), torch.tensor([0]), torch.tensor([0]))
    write(cache, [[4.0]])
    cache.reserve(3, 1)
    cache.join(create_prefix(), torch.tensor([0]), torch.tensor([1]))
    keys = write(cache, [[5.0], [9.0]])
    mask = cache.mask[:2, cache.window[0] : cache.window[1]]
    assert [row[row_mask].tolist() for row, row_mask in zip(keys, mask, strict=True)] == [[4, 5], [1, 2, 3, 9]]


def test_a_batch_that_is_never_empty_does_not_grow(create_checkpoint: Callable[..., Any]):
    """Rows are replaced in place as they finish: the columns attended over stay those of the rows that still draw."""
    from nbest.records import SamplingParams
    from nbest.sampling.decoding import Batch
    from nbest.sampling.rows import Job
    from nbest.text.steps import BlankLineSplitter

    checkpoint = create_checkpoint()
    batch = Batch(checkpoint, BlankLineSplitter(checkpoint.pieces, checkpoint.end_tokens).rule, 4)
    job = Job([5, 6, 7], SamplingParams(temperature=1.0, max_tokens=10), 10)
    job.add_requests(range(200))
    widest = steps = 0
    while job.waiting or batch.table.alive.any():
        if job.waiting and batch.free_rows:
            batch.admit([job])
        if batch.has_slack:
            batch.compact()
        batch.step()
        low, column = batch.cache.window
        widest, steps = max(widest, column + 1 - low), steps + 1
    assert steps > 100
    # When rows join, the oldest live one holds at most 2 tokens of the prompt in the cache and 10 of its own; before
    # the next one can join, at most 10 more are drawn.
    assert widest <= 22
    assert batch.cache.columns <= 128
