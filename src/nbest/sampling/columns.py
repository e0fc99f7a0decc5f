"""A cache of keys and values for rows that join and leave. This module does not know tokens and sampling.

All rows write their next token into the same column, so one slice copy per layer serves the whole batch. A row that
joins later begins in a later column, and the columns to the left of its first one are masked. This is left padding,
which every transformers model supports: a mask [rows columns], and the true positions beside it. Buffers are allocated
ahead and moved only when columns run out; a new row takes over the buffer of a finished one.

Shapes: R rows allocated, C columns allocated, H heads, D head size; buffers [R H C D].
"""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class ColumnLayer(CacheLayerMixin):
    """The keys and values of one layer, written at the column of the cache that owns it."""

    is_sliding = False

    def __init__(self, owner: "ColumnCache"):
        super().__init__()
        self.owner = owner

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys, self.values = self.owner.allocate(key_states), self.owner.allocate(value_states)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = self.buffers
        rows, (low, column) = len(key_states), self.owner.window
        end = column + key_states.shape[2]
        keys[:rows, :, column:end] = key_states
        values[:rows, :, column:end] = value_states
        return keys[:rows, :, low:end], values[:rows, :, low:end]

    @property
    def buffers(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        low, column = self.owner.window
        return column - low

    def get_max_length(self) -> int:
        return -1


class ColumnCache(Cache):
    """`rows` x `columns` of keys and values for every attention layer, and the mask that belongs to them.

    `window` = (lowest column in use, column written next). `mask` [R C] is True from each row's first column on,
    including columns that are not written yet.
    """

    def __init__(self, layer_count: int, rows: int, columns: int, device: torch.device):
        self.rows, self.columns, self.device = rows, columns, device
        self.window = (0, 0)
        self.starts = torch.zeros(rows, dtype=torch.int64)
        self.mask = torch.ones((rows, columns), dtype=torch.bool, device=device)
        self.column_layers = [ColumnLayer(self) for _ in range(layer_count)]
        super().__init__(layers=[*self.column_layers])

    def allocate(self, example: Tensor) -> Tensor:
        """Return a buffer [R H C D] with the heads, head size, type and device of `example`."""
        # Zeros, not empty memory: a masked value is multiplied by 0, and 0 times a stray NaN is NaN.
        shape = (self.rows, example.shape[1], self.columns, example.shape[3])
        return torch.zeros(shape, dtype=example.dtype, device=example.device)

    def advance(self, tokens: int = 1) -> None:
        low, column = self.window
        self.window = (low, column + tokens)

    def view_mask(self, rows: int) -> Tensor | None:
        """Return the mask [rows columns] of the next token, or None if no column of the window is masked."""
        low, column = self.window
        if not rows or int(self.starts[:rows].max()) <= low:
            return None
        return self.mask[:rows, low : column + 1]

    def trim(self, live: Tensor) -> None:
        """Drop the columns to the left of all live rows; `live` [rows] is True for rows that are not finished."""
        column = self.window[1]
        starts = self.starts[: len(live)][live]
        self.window = (int(starts.min()) if len(starts) else column, column)

    def reserve(self, behind: int, ahead: int) -> None:
        """Make room for a row of `behind` columns that joins now, and for `ahead` more columns."""
        low, column = self.window
        if column >= behind and column + ahead <= self.columns:
            return
        target = max(column - low, behind)
        columns = self.columns
        # A quarter stays free after a move; otherwise a nearly full buffer would be moved again for each column.
        while columns < target + max(ahead, columns // 4):
            columns += max(columns // 2, 64)
        self._move(target - column, columns)

    def _move(self, shift: int, columns: int) -> None:
        (low, column), previous = self.window, self.columns
        self.columns = columns
        for layer in self.column_layers:
            if not layer.is_initialized:
                continue
            for name, buffer in zip(("keys", "values"), layer.buffers, strict=True):
                window = buffer[:, :, low:column]
                target = self.allocate(buffer) if columns != previous else buffer
                target[:, :, low + shift : column + shift] = window if target is not buffer else window.clone()
                setattr(layer, name, target)
        self.starts += shift
        self.window = (low + shift, column + shift)
        self.mask = torch.arange(columns, device=self.device) >= self.starts.to(self.device)[:, None]

    def join(self, prefix: "ColumnCache", sources: Tensor, targets: Tensor) -> None:
        """Copy rows `sources` of a prefix, right-aligned at the next column, into rows `targets`."""
        low, column = self.window
        width = prefix.window[1]
        starts = prefix.starts[sources] + (column - width)
        self.starts[targets] = starts
        self.window = (min(low, int(starts.min())), column)
        target_rows, source_rows = targets.to(self.device), sources.to(self.device)
        self.mask[target_rows] = torch.arange(self.columns, device=self.device) >= starts.to(self.device)[:, None]
        if not width:
            return
        for layer, source_layer in zip(self.column_layers, prefix.column_layers, strict=True):
            if not source_layer.is_initialized:
                continue
            if not layer.is_initialized:
                layer.lazy_initialization(*source_layer.buffers)
            for buffer, source in zip(layer.buffers, source_layer.buffers, strict=True):
                buffer[target_rows, :, column - width : column] = source[source_rows, :, :width]

    def move_rows(self, sources: Tensor, targets: Tensor) -> None:
        """Copy rows `sources` into rows `targets`."""
        low, column = self.window
        self.starts[targets] = self.starts[sources]
        target_rows, source_rows = targets.to(self.device), sources.to(self.device)
        self.mask[target_rows] = self.mask[source_rows]
        for layer in self.column_layers:
            if layer.is_initialized:
                for buffer in layer.buffers:
                    buffer[target_rows, :, low:column] = buffer[source_rows, :, low:column]
