"""Reads the rows of a dataset on the Hugging Face hub at a fixed commit.

The hub is asked once before a dataset is loaded from it; where it cannot be reached, only the local cache is read.
This module does not know what a row means. It imports the packages of the hub only when they are needed.
"""

import importlib
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from nbest.errors import ConfigError, EngineError, MissingExtraError
from nbest.hub import TIMEOUT_SECONDS, describe_error
from nbest.problems.benchmark_table import Benchmark, find_benchmark
from nbest.text.json_lines import Line, LineOrFault

_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve_revision(benchmark: Benchmark | str, revision: str | None = None) -> str:
    """Return the commit (40 hex digits) of the dataset of a benchmark at a revision.

    `revision` is a branch, a tag or a commit; None is the newest commit. A full commit is returned without using the
    network. Raises ConfigError if the benchmark has no hub id, MissingExtraError if the hub's package is not installed,
    EngineError if the hub cannot be reached.
    """
    entry = find_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
    if not entry.hub:
        raise ConfigError(f"{entry.name}: no hub id is known for this benchmark. Give a local copy with --file.")
    if revision and _COMMIT.fullmatch(revision):
        return revision
    try:
        return _ask(entry.hub, revision)
    except EngineError as error:
        raise EngineError(
            f"{entry.hub}: revision {revision or 'newest'} cannot be resolved: {error}. Without a network, give a full "
            "commit as problems.revision (its files must be in the cache), or a local copy with --file."
        ) from error


def read_hub(benchmark: Benchmark, commit: str, is_reached: bool = True) -> Iterator[LineOrFault]:
    """Yield the rows in order, numbered from 1.

    `is_reached` says that the hub has just answered. Otherwise it is asked first, and where it does not answer, only
    the cache is read. Raises MissingExtraError if `datasets` is not installed, EngineError if the dataset cannot be
    loaded.
    """
    datasets = _import("datasets")
    if is_reached:
        return _load(datasets, benchmark, commit)
    try:
        _ask(benchmark.hub, commit)
    except EngineError as error:
        with _cache_only(datasets):
            return _load(datasets, benchmark, commit, f"{error}, and the cache of this machine does not hold it")
    return _load(datasets, benchmark, commit)


def _ask(dataset: str, revision: str | None) -> str:
    """Return the commit of a revision after one request. Raises EngineError, whose message is one line."""
    hub = _import("huggingface_hub")
    try:
        info: Any = hub.HfApi().dataset_info(dataset, revision=revision, timeout=TIMEOUT_SECONDS)
    except Exception as error:
        # The hub client lets the exceptions of its HTTP library through; the message names them.
        raise EngineError(f"the hub does not answer ({describe_error(error)})") from error
    return str(info.sha)


@contextmanager
def _cache_only(datasets: Any) -> Generator[None]:
    """Keep `datasets` and the client of the hub from sending requests."""
    switches = [(datasets.config, "HF_HUB_OFFLINE"), (_import("huggingface_hub").constants, "HF_HUB_OFFLINE")]
    former = [getattr(module, name) for module, name in switches]
    for module, name in switches:
        setattr(module, name, True)
    try:
        yield
    finally:
        for (module, name), value in zip(switches, former, strict=True):
            setattr(module, name, value)


def _load(datasets: Any, benchmark: Benchmark, commit: str, cause: str = "") -> Iterator[LineOrFault]:
    """Return the rows of a dataset. `cause` says why it cannot be loaded, where that is known before."""
    try:
        if benchmark.files:
            files = [f"hf://datasets/{benchmark.hub}@{commit}/{file}" for file in benchmark.files]
            rows = datasets.load_dataset("json", data_files=files, split=benchmark.split)
        else:
            config = benchmark.config or None
            # A stream downloads only the bytes of the columns that are read.
            options: dict[str, Any] = (
                {"columns": list(benchmark.columns), "streaming": True} if benchmark.columns else {}
            )
            rows = datasets.load_dataset(benchmark.hub, config, split=benchmark.split, revision=commit, **options)
    except Exception as error:
        # As in _ask, exceptions of any library may come through.
        raise EngineError(
            f"{benchmark.hub}: cannot be loaded ({cause or describe_error(error)}). "
            "Without a network, give a local copy with --file."
        ) from error
    return (Line(benchmark.hub, number, dict(row)) for number, row in enumerate(rows, start=1))


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "train") from error
