# pyright: standard
"""A folder of verdicts beside those of a run: what an audit has graded."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from nbest.records import Verdict
from nbest.storage.parquet import SUFFIX, encode_chunks, read_records, write_tables
from nbest.storage.parts import list_parts, write_part
from nbest.storage.tables import VERDICTS


class VerdictFiles:
    """The verdicts in the parts of `folder`, which need not exist."""

    def __init__(self, folder: Path):
        self.folder = folder

    def append(self, verdicts: Sequence[Verdict]) -> None:
        """Write one part. Raises StorageError."""
        if verdicts:
            write_part(self.folder, SUFFIX, write_tables(VERDICTS, encode_chunks(VERDICTS, verdicts)))

    def read(self) -> Iterator[Verdict]:
        """Yield the verdicts, one per trajectory id. Raises DamagedRunError."""
        return read_records(lambda: list_parts(self.folder, SUFFIX), VERDICTS)
