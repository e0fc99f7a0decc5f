"""Rows of a dataset on the Hugging Face hub, at a commit that is known.

This module does not know what a row means. It imports the hub's packages only when it is asked for something.
"""

import importlib
import re
from collections.abc import Iterator
from typing import Any

from nbest.errors import ConfigError, EngineError, MissingExtraError
from nbest.problems.benchmark_table import Benchmark, find_benchmark
from nbest.text.json_lines import Line, LineOrFault

_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve_revision(benchmark: Benchmark | str, revision: str | None = None) -> str:
    """The commit (40 hex digits) of a benchmark's dataset at `revision`: a branch, a tag, a commit, None = the newest.

    A whole commit is returned as it is, with no network. Raises ConfigError where no hub id is known,
    MissingExtraError, EngineError where the hub cannot be asked.
    """
    entry = find_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
    if not entry.hub:
        raise ConfigError(f"{entry.name}: no hub id is known. Give a local copy with --file.")
    if revision and _COMMIT.fullmatch(revision):
        return revision
    hub = _import("huggingface_hub")
    try:
        found: Any = hub.HfApi().dataset_info(entry.hub, revision=revision)
    except Exception as error:
        # The hub client raises whatever its HTTP library does; the message names it.
        raise EngineError(
            f"{entry.hub}: revision {revision or 'newest'} cannot be resolved ({type(error).__name__}: {error}). "
            "Without a network give a whole commit as problems.revision (its files must be in the cache), or a local "
            "copy with --file."
        ) from error
    return str(found.sha)


def read_hub(benchmark: Benchmark, commit: str) -> Iterator[LineOrFault]:
    """The rows in order, numbered from 1. Raises MissingExtraError (no `datasets`), EngineError."""
    datasets = _import("datasets")
    try:
        if benchmark.files:
            files = [f"hf://datasets/{benchmark.hub}@{commit}/{file}" for file in benchmark.files]
            rows = datasets.load_dataset("json", data_files=files, split=benchmark.split)
        else:
            config = benchmark.config or None
            # Only some columns of a large set: a stream asks for their bytes alone.
            wanted: dict[str, Any] = (
                {"columns": list(benchmark.columns), "streaming": True} if benchmark.columns else {}
            )
            rows = datasets.load_dataset(benchmark.hub, config, split=benchmark.split, revision=commit, **wanted)
    except Exception as error:
        # As above: whatever the client's libraries raise.
        raise EngineError(
            f"{benchmark.hub}: cannot be loaded ({type(error).__name__}: {error}). Without a network give a local copy "
            "with --file."
        ) from error
    return (Line(benchmark.hub, number, dict(row)) for number, row in enumerate(rows, start=1))


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "train") from error
