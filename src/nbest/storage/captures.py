"""The states folder of a run: finds the stored states of each trajectory.

States captured while sampling carry the checksum of the tokens they belong to. A process that is killed after it wrote
its states and before its trajectories leaves states that belong to no stored tokens; they are never read as those of
another trajectory. States computed afterwards (by an Encoder) belong to the trajectory that the run holds and carry no
such checksum.

This module does not know how states are laid out in a file, nor how trajectories are stored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from nbest.errors import UnavailableError
from nbest.records import HiddenStates, StatesEntry
from nbest.storage.parts import list_parts, retry_listing, write_part
from nbest.storage.states import SUFFIX, StatesPart, write_states

_NO_TOKENS: Mapping[str, int] = {}


class StatesFolder:
    """The states of a run: its parts, as one `StateSource`.

    `token_checksums` returns the checksum of the tokens of every trajectory of the run; it is called only where states
    were captured. The folder is listed at the first call that needs it, and again after `append` and `refresh`.
    """

    def __init__(self, path: Path, token_checksums: Callable[[], Mapping[str, int]]):
        self.path = path
        self._read_token_checksums = token_checksums
        self._parts: dict[Path, StatesPart] = {}
        self._listing: Mapping[str, StatesPart] | None = None
        self._index: tuple[list[StatesPart], Mapping[str, int], dict[str, StatesPart]] = ([], _NO_TOKENS, {})

    def parts(self) -> list[StatesPart]:
        """Return the parts by name. A header is parsed once, since a part never changes. Raises DamagedRunError."""
        previous = self._parts
        paths = list_parts(self.path, SUFFIX)
        self._parts = {path: previous[path] if path in previous else StatesPart(path) for path in paths}
        return list(self._parts.values())

    def append(
        self,
        states: Mapping[str, HiddenStates],
        origin: Mapping[str, str],
        token_checksums: Mapping[str, int] = _NO_TOKENS,
    ) -> None:
        """Write one part per list of layers. `states` are by trajectory id, `origin` goes into the header.

        `token_checksums` holds, for captured states, the checksums of the tokens they belong to. Raises DataError,
        ConfigError, StorageError.
        """
        groups: dict[tuple[int, ...], dict[str, HiddenStates]] = {}
        for key, value in states.items():
            groups.setdefault(tuple(value.layers), {})[key] = value
        for group in groups.values():
            write_part(self.path, SUFFIX, write_states(group, origin, token_checksums))
        self._listing = None

    @property
    def is_empty(self) -> bool:
        """Whether the run holds no states at all."""
        return not self._list()

    def find(self, trajectory_id: str) -> StatesEntry | None:
        """Return what the header says of a trajectory's states; None if there are none."""
        part = self._list().get(trajectory_id)
        if part is None:
            return None
        return StatesEntry(part.entries[trajectory_id].shape[0], part.layers, part.origin, str(part.path))

    def refresh(self) -> None:
        """List the folder again, with the parts that were written since."""
        self._listing = retry_listing(self.index)

    def ids(self) -> set[str]:
        """Return the ids of the trajectories that have states now."""
        return set(retry_listing(self.index))

    def index(self) -> Mapping[str, StatesPart]:
        """Return the part of each id: the first by name whose states belong to the tokens of the trajectory."""
        parts = self.parts()
        checksums = self._read_token_checksums() if any(part.is_captured for part in parts) else _NO_TOKENS
        if self._index[0] != parts or self._index[1] is not checksums:
            index: dict[str, StatesPart] = {}
            for part in parts:
                for key, entry in part.entries.items():
                    if entry.tokens_checksum in (None, checksums.get(key)):
                        index.setdefault(key, part)
            self._index = (parts, checksums, index)
        return self._index[2]

    def read(self, trajectory_ids: Iterable[str]) -> Iterator[HiddenStates]:
        """Yield the states of these trajectories, in this order, each read when it is asked for.

        Raises UnavailableError naming a trajectory that has none, DamagedRunError.
        """
        index = retry_listing(self.index)
        for key in trajectory_ids:
            if key not in index:
                raise UnavailableError(
                    f"{self.path}: no hidden states of {key!r}. Fill them in: nbest encode {self.path.parent}"
                )
            try:
                states = index[key].read(key)
            except FileNotFoundError:
                # A compaction replaced this part.
                states = retry_listing(lambda key=key: self.index()[key].read(key))
                index = retry_listing(self.index)
            yield states

    def _list(self) -> Mapping[str, StatesPart]:
        if self._listing is None:
            self.refresh()
        return self._listing or {}
