# pyright: standard
"""The ids that a folder of parts contains, kept current while other processes add parts.

This module does not know what is done with an id.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from nbest.storage.captures import StatesFolder
from nbest.storage.parquet import SUFFIX, read_ids
from nbest.storage.parts import list_parts, retry_listing
from nbest.storage.states import SUFFIX as STATES_SUFFIX
from nbest.storage.states import StatesPart
from nbest.storage.tables import Table

_SETTLED_NANOSECONDS = 1_000_000_000
"""A folder may change again within the resolution of its time of change; after this time it cannot."""


class Done(ABC):
    """`ids` are those of the parts in `folder` at the last `refresh`, which reads new parts only.

    Raises DamagedRunError.
    """

    def __init__(self, folder: Path, suffix: str):
        self.ids: set[str] = set()
        self._folder, self._suffix = folder, suffix
        self._read: set[Path] = set()
        self._changed_ns: int | None = None

    def refresh(self) -> None:
        """Read the parts that were added since the last call. Cheap if there are none."""
        try:
            changed_ns = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed_ns == self._changed_ns:
            return
        is_settled = time.time_ns() - changed_ns > _SETTLED_NANOSECONDS
        retry_listing(self._read_new)
        self._changed_ns = changed_ns if is_settled else None

    def _read_new(self) -> None:
        for path in list_parts(self._folder, self._suffix):
            if path not in self._read:
                self.ids.update(self._read_ids(path))
                self._read.add(path)

    @abstractmethod
    def _read_ids(self, path: Path) -> Iterable[str]:
        """Return the ids of a part."""


class DoneIds(Done):
    """The ids of a folder of tables."""

    def __init__(self, folder: Path, table: Table):
        super().__init__(folder, SUFFIX)
        self._table = table
        self.refresh()

    def _read_ids(self, path: Path) -> Iterable[str]:
        return read_ids(path, self._table).to_pylist()


class DoneStates(Done):
    """The ids of the trajectories that have states.

    Of the parts that are added later, only computed states are read, which belong to their trajectory whatever its
    tokens are.
    """

    def __init__(self, states: StatesFolder):
        super().__init__(states.path, STATES_SUFFIX)
        self._read = {part.path for part in states.parts()}
        self.ids = states.ids()

    def _read_ids(self, path: Path) -> Iterable[str]:
        return [key for key, entry in StatesPart(path).entries.items() if entry.tokens_checksum is None]
