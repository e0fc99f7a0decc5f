# pyright: standard
"""`nbest tasks build`: from verified runs to files of selection tasks.

`build_task_files` opens the runs, reads their pools one at a time, renders the tasks, writes the files and what belongs
beside them, and returns a report.

All tasks of a problem are in one split, by the same stable hash as in the training of scorers. This module does not
know how pools are joined, candidates chosen, prompts rendered or rows encoded; it calls the modules that do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbest.errors import ConfigError, UnavailableError
from nbest.judging.prompts import render_genselect
from nbest.plurals import show_count
from nbest.protocols import Clusterer
from nbest.training.prompt_lengths import PromptLengths
from nbest.training.selection_tasks import (
    CODE_CANDIDATE_TOKENS,
    SourcePool,
    TaskCandidate,
    choose_tasks,
    find_fault,
    gather_candidates,
    measure_pass_rate,
)
from nbest.training.settings import TasksConfig
from nbest.training.source_pools import Source, count_pools, open_sources, read_source_pools
from nbest.training.step_batches import is_held_out
from nbest.training.task_files import SelectionTask, TaskFiles, TaskFormat, TaskRecord
from nbest.training.task_formats import load_format
from nbest.training.task_statistics import TaskStatistics
from nbest.verifying.equivalence import Equivalence
from nbest.version import VERSION

ALL, TRAIN, VALIDATION = "all", "train", "validation"

OnPool = Callable[[int], None]
"""Called with the number of pools that were finished since the last call."""


OnStart = Callable[[int], None]
"""Called with the number of pools that there are, before the first one is read."""


def ignore_pools(pools: int) -> None:
    """Do nothing; the default if no progress is wanted."""
    del pools


@dataclass(frozen=True, slots=True)
class TaskReport:
    """The files that a build wrote, by split or purpose ("reward" for verl), and statistics of their tasks."""

    files: Mapping[str, Path]
    statistics: TaskStatistics

    def to_json(self) -> dict[str, Any]:
        return {"files": {name: str(path) for name, path in self.files.items()}, **self.statistics.describe()}


@dataclass(frozen=True, slots=True, eq=False)
class _BuildContext:
    """The settings and services of a build, the same for all pools."""

    settings: TasksConfig
    lengths: PromptLengths | None
    clusterer: Clusterer
    statistics: TaskStatistics


def name_files(out: Path, validation_share: float | None) -> dict[str, Path]:
    """Return the file of each split: `out` itself, or `OUT.train.parquet` and `OUT.validation.parquet` beside it."""
    if validation_share is None:
        return {ALL: out}
    stem = out.name.removesuffix(".parquet")
    return {split: out.with_name(f"{stem}.{split}.parquet") for split in (TRAIN, VALIDATION)}


def build_task_files(
    runs: Sequence[str],
    out: Path,
    settings: TasksConfig,
    format: str = "nbest",
    on_pool: OnPool = ignore_pools,
    on_start: OnStart = ignore_pools,
) -> TaskReport:
    """Build the task files of verified runs, each given as `FOLDER` or `NAME=FOLDER`, in the format of this name.

    Raises ConfigError for an unknown format, a name of a file that does not end in .parquet, and as `open_sources`;
    otherwise as `build_tasks`.
    """
    task_format = load_format(format)
    if out.suffix != ".parquet":
        raise ConfigError(f"out: got {str(out)!r}; allowed: a name that ends in .parquet")
    sources = open_sources(runs)
    on_start(count_pools(sources))
    files, statistics = build_tasks(sources, out, settings, task_format, on_pool)
    return TaskReport(files | task_format.write_companions(out.parent), statistics)


def build_tasks(
    sources: Sequence[Source],
    out: Path,
    settings: TasksConfig,
    format: TaskFormat,
    on_pool: OnPool = ignore_pools,
) -> tuple[dict[str, Path], TaskStatistics]:
    """Write the task files; return them by split, and statistics of their tasks.

    Raises ConfigError if the tokenizer cannot be loaded, UnavailableError if there is no task or none in one split,
    DataError or DamagedRunError if the runs do not fit together or are damaged, StorageError if a file cannot be
    written. After an error no file is written or replaced.
    """
    statistics = TaskStatistics()
    files = name_files(out, settings.validation_share)
    lengths = None if settings.tokenizer is None else PromptLengths(settings.tokenizer)
    with closing(Equivalence()) as equivalence:
        context = _BuildContext(settings, lengths, equivalence, statistics)
        with TaskFiles(files, format, _make_build_info(sources, settings, lengths)) as writer:
            for pool in read_source_pools(sources):
                for record in _build_pool(pool, context):
                    writer.write(record)
                on_pool(1)
            _require_tasks(statistics, files, settings)
    return files, statistics


def _build_pool(pool: SourcePool, context: _BuildContext) -> Iterator[TaskRecord]:
    settings, statistics, lengths = context.settings, context.statistics, context.lengths
    statistics.problems += 1
    candidates, exclusions = gather_candidates(pool, settings)
    limit = settings.max_candidate_tokens or (CODE_CANDIDATE_TOKENS if pool.kind == "code" else None)
    if lengths is not None and limit is not None:
        short = [candidate for candidate in candidates if lengths.is_text_within(candidate.text, limit)]
        exclusions["over the candidate token limit"] += len(candidates) - len(short)
        candidates = short
    statistics.exclusions.update(+exclusions)
    fault = find_fault(measure_pass_rate(pool), candidates, settings)
    if fault:
        statistics.unused_problems[fault] += 1
        return
    count = 0
    for record in _render_tasks(pool, candidates, context):
        count += 1
        yield record
    statistics.used_problems += bool(count)
    if not count:
        statistics.unused_problems["all tasks dropped"] += 1


def _render_tasks(
    pool: SourcePool, candidates: Sequence[TaskCandidate], context: _BuildContext
) -> Iterator[TaskRecord]:
    settings, statistics = context.settings, context.statistics
    split = _find_split(pool.problem_id, settings.validation_share)
    # Programs have no answers that could be equal.
    clusters = None if pool.kind == "code" else context.clusterer.cluster([c.answer for c in candidates], pool.kind)
    count = 0
    for choice in choose_tasks(pool.problem_id, candidates, settings):
        count += 1
        members = [candidates[index] for index in choice.indices]
        prompt = render_genselect(pool.prompt, [c.text for c in members], pool.kind, settings.style)
        tokens = None if context.lengths is None else context.lengths.count_prompt(prompt)
        limit = settings.prompt_limit_tokens
        if tokens is not None and limit is not None and tokens > limit:
            statistics.dropped_tasks["over the prompt token limit"] += 1
            continue
        correct = tuple(c.is_correct for c in members)
        answers = None if clusters is None else [clusters[index] for index in choice.indices]
        statistics.add_task(split, correct, tokens, answers)
        name = f"{pool.problem_id}/task-{choice.number}"
        task = SelectionTask(name, pool.problem_id, prompt, tuple(c.id for c in members), correct, tokens)
        yield TaskRecord(task, pool.kind, split)
    statistics.dropped_tasks["same candidates as another task"] += settings.per_problem - count


def _find_split(problem_id: str, share: float | None) -> str:
    if share is None:
        return ALL
    return VALIDATION if is_held_out(problem_id, share) else TRAIN


def _make_build_info(sources: Sequence[Source], settings: TasksConfig, lengths: PromptLengths | None) -> dict[str, Any]:
    return {
        "nbest": VERSION,
        "style": settings.style,
        "thinking": settings.thinking,
        "tokenizer": settings.tokenizer,
        **({} if lengths is None else lengths.hashes),
        "sources": [
            {"name": source.name, "run": str(source.run.path), "identity": source.run.manifest["identity"]}
            for source in sources
        ],
        "settings": settings.model_dump(mode="json") | {"max_prompt_tokens": settings.prompt_limit_tokens},
    }


def _require_tasks(statistics: TaskStatistics, files: Mapping[str, Path], settings: TasksConfig) -> None:
    if not statistics.tasks:
        reasons = {**statistics.unused_problems, **+statistics.dropped_tasks}
        summary = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        raise UnavailableError(
            f"no tasks: none of {show_count(statistics.problems, 'problem')} gave a task "
            f"({summary or 'the runs hold no problems'}). A problem needs right and wrong candidates and a pass rate "
            "below --max-pass-rate, and prompts must have at most --max-prompt-tokens. Nothing was written."
        )
    empty = [split for split in files if not statistics.tasks[split]]
    if empty:
        raise UnavailableError(
            f"no tasks for {', '.join(empty)}: {show_count(statistics.used_problems, 'problem')} gave tasks, but with "
            f"--validation-share {settings.validation_share} none of them is in this split. Use another share or more "
            "problems. Nothing was written."
        )
