# pyright: standard
"""Reads the rows of a table file as `Line`s: JSON lines (also with gzip), CSV with a header, or Parquet.

Parquet is recognised by its content, CSV by the ending (.csv, .csv.gz); every other file is read as JSON lines. This
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
from nbest.plurals import show_count
from nbest.text.json_lines import GZIP_MAGIC, Fault, Line, LineOrFault, describe, read_lines

PARQUET_MAGIC = b"PAR1"
BATCH_ROWS = 1_000


def read_rows(file: Path) -> Iterator[LineOrFault]:
    """Yield the rows in order; `Line.number` is the line of a text file or the row of a Parquet file, counted from 1.

    Raises DataError if the file cannot be opened or is not in the format that its content or ending announces.
    """
    try:
        with file.open("rb") as stream:
            magic = stream.read(4)
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
        raise DataError(f"{file}: damaged Parquet file ({error}). Give an intact copy.") from error


def _read_csv(file: Path, is_gzip: bool) -> Iterator[LineOrFault]:
    with gzip.open(file, "rb") if is_gzip else file.open("rb") as stream:
        text = io.TextIOWrapper(cast(BinaryIO, stream), encoding="utf-8-sig", newline="")
        reader = csv.DictReader(text, strict=True)
        try:
            for values in reader:
                extra, missing = values.get(None), [name for name, value in values.items() if value is None]
                if extra is not None or missing:
                    actual = (
                        f"no cell for {missing}" if extra is None else f"more cells than columns: {describe(extra)}"
                    )
                    allowed = f"{show_count(len(reader.fieldnames or ()), 'cell')} per row"
                    yield Fault(str(file), reader.line_num, "row", actual, allowed)
                else:
                    yield Line(str(file), reader.line_num, values)
        except (csv.Error, UnicodeDecodeError, EOFError) as error:
            raise DataError(
                f"{file}:{reader.line_num + 1}: not CSV in UTF-8 ({error}). Give an intact copy."
            ) from error
