# pyright: standard
"""Rows of somebody's table file, as `Line`s: JSON lines (gzip too), CSV with a header, or Parquet.

The format is known by content (Parquet) or by the ending (.csv, .csv.gz); everything else is read as JSON lines. This
module does not know which columns a table has.
"""

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from nbest.errors import DataError
from nbest.text.json_lines import GZIP_MAGIC, Fault, Line, LineOrFault, describe, read_lines

PARQUET_MAGIC = b"PAR1"
BATCH_ROWS = 1_000


def read_rows(file: Path) -> Iterator[LineOrFault]:
    """The rows in order; `Line.number` is the line of a text file, the 1-based row of a Parquet file.

    Raises DataError where the file cannot be opened or is not what its content or ending says.
    """
    try:
        with file.open("rb") as opened:
            magic = opened.read(4)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}). Give a JSONL, CSV or Parquet file.") from error
    if magic == PARQUET_MAGIC:
        return _read_parquet(file)
    if file.name.lower().removesuffix(".gz").endswith(".csv"):
        return _read_csv(file, magic[:2] == GZIP_MAGIC)
    return read_lines(file)


def _read_parquet(file: Path) -> Iterator[LineOrFault]:
    number = 0
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield Line(str(file), number, values)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a whole Parquet file ({error}). Give a sound copy.") from error


def _read_csv(file: Path, is_gzip: bool) -> Iterator[LineOrFault]:
    with gzip.open(file, "rb") if is_gzip else file.open("rb") as opened:
        text = io.TextIOWrapper(cast(BinaryIO, opened), encoding="utf-8-sig", newline="")
        reader = csv.DictReader(text, strict=True)
        try:
            for values in reader:
                extra, short = values.get(None), [name for name, value in values.items() if value is None]
                if extra is not None or short:
                    came = (
                        f"more cells than columns: {describe(extra)}" if extra is not None else f"no cell for {short}"
                    )
                    yield Fault(str(file), reader.line_num, "row", came, f"{len(reader.fieldnames or ())} cells a row")
                else:
                    yield Line(str(file), reader.line_num, values)
        except (csv.Error, UnicodeDecodeError, EOFError) as error:
            raise DataError(f"{file}:{reader.line_num + 1}: not CSV in UTF-8 ({error}). Give a sound copy.") from error
