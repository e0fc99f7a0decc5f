"""The states folder of a run: which stored states belong to which trajectory.

States captured while sampling carry the checksum of the tokens they belong to. A process killed between its states and
its trajectories leaves states of tokens that nobody has; these are never taken for those of another attempt. States
computed afterwards (by an Encoder) belong to the trajectory as the run holds it and carry no such checksum.

This module does not know how states are laid out in a file, nor how trajectories are stored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from nbest.errors import UnavailableError
from nbest.records import HiddenStates
from nbest.storage.parts import list_parts, retry_listing, write_part
from nbest.storage.states import SUFFIX, StatesPart, make_block, write_states

_NO_TOKENS: Mapping[str, int] = {}


class StatesFolder:
    """`tokens_of` gives the checksum of the tokens of every trajectory of the run; it is called only where states
    were captured."""

    def __init__(self, path: Path, tokens_of: Callable[[], Mapping[str, int]]):
        self.path = path
        self._tokens_of = tokens_of
        self._parts: dict[Path, StatesPart] = {}
        self._indexed: tuple[list[StatesPart], Mapping[str, int], dict[str, StatesPart]] = ([], _NO_TOKENS, {})

    def parts(self) -> list[StatesPart]:
        """By name. Headers are parsed once, since a part never changes. Raises DamagedRunError."""
        paths = list_parts(self.path, SUFFIX)
        known = self._parts
        self._parts = {path: known[path] if path in known else StatesPart(path) for path in paths}
        return list(self._parts.values())

    def append(self, states: Sequence[HiddenStates], about: Mapping[str, str], checksums: Mapping[str, int]) -> None:
        """Writes a part for each set of layers. `checksums` holds those of the tokens, for captured states."""
        groups: dict[tuple[int, ...], list[HiddenStates]] = {}
        for one in states:
            groups.setdefault(tuple(one.layers), []).append(one)
        for layers, members in groups.items():
            blocks = [make_block(one, checksums.get(one.trajectory_id)) for one in members]
            write_part(self.path, SUFFIX, write_states(blocks, layers, about))

    def ids(self) -> set[str]:
        return set(retry_listing(self.index))

    def index(self) -> Mapping[str, StatesPart]:
        """The part that counts for each id: the first by part name whose tokens are those of the trajectory."""
        parts = self.parts()
        tokens_of = self._tokens_of() if any(part.is_captured for part in parts) else _NO_TOKENS
        if self._indexed[0] != parts or self._indexed[1] is not tokens_of:
            index: dict[str, StatesPart] = {}
            for part in parts:
                for key, entry in part.entries.items():
                    if entry.tokens_checksum in (None, tokens_of.get(key)):
                        index.setdefault(key, part)
            self._indexed = (parts, tokens_of, index)
        return self._indexed[2]

    def read(self, trajectory_ids: Iterable[str]) -> Iterator[HiddenStates]:
        """In this order, each read when it is asked for. Raises UnavailableError, DamagedRunError."""
        index = retry_listing(self.index)
        for key in trajectory_ids:
            if key not in index:
                raise UnavailableError(
                    f"{self.path}: no hidden states of {key!r}. Fill them in: nbest encode {self.path.parent}"
                )
            try:
                states = index[key].read(key)
            except FileNotFoundError:
                states = retry_listing(lambda key=key: self.index()[key].read(key))
                index = retry_listing(self.index)
            yield states
