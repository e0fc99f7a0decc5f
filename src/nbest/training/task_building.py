# pyright: standard
"""Build files of selection tasks from verified runs: read pools one at a time, render their tasks, write the files.

All tasks of a problem are in one split, by the same stable hash as in the training of scorers. This module does not
know how pools are joined, candidates chosen, prompts rendered or rows encoded; it calls the modules that do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbest.errors import UnavailableError
from nbest.judging.prompts import render_genselect
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
from nbest.training.source_pools import Source, read_source_pools
from nbest.training.step_batches import is_held_out
from nbest.training.task_files import SelectionTask, TaskFiles, TaskFormat, TaskRecord
from nbest.training.task_statistics import TaskStatistics
from nbest.verifying.equivalence import Equivalence
from nbest.version import VERSION

ALL, TRAIN, VALIDATION = "all", "train", "validation"

OnPool = Callable[[int], None]


@dataclass(frozen=True, slots=True, eq=False)
class _BuildContext:
    """The settings and services of a build, the same for all pools."""

    settings: TasksConfig
    lengths: PromptLengths
    clusterer: Clusterer
    statistics: TaskStatistics


def name_files(out: Path, validation_share: float | None) -> dict[str, Path]:
    """Return the file of each split: `out` itself, or `OUT.train.parquet` and `OUT.validation.parquet` beside it."""
    if validation_share is None:
        return {ALL: out}
    stem = out.name.removesuffix(".parquet")
    return {split: out.with_name(f"{stem}.{split}.parquet") for split in (TRAIN, VALIDATION)}


def build_tasks(
    sources: Sequence[Source],
    out: Path,
    settings: TasksConfig,
    format: TaskFormat,
    on_pool: OnPool = lambda pools: None,  # noqa: ARG005
) -> tuple[dict[str, Path], TaskStatistics]:
    """Write the task files; return them by split, and statistics of their tasks. `on_pool` gets the pools just
    finished.

    Raises ConfigError if the tokenizer cannot be loaded, UnavailableError if there is no task or none in one split,
    DataError or DamagedRunError if the runs do not fit together or are damaged, StorageError if a file cannot be
    written. After an error no file is written or replaced.
    """
    statistics = TaskStatistics()
    files = name_files(out, settings.validation_share)
    lengths = PromptLengths(settings.tokenizer)
    with closing(Equivalence()) as equivalence:
        context = _BuildContext(settings, lengths, equivalence, statistics)
        with TaskFiles(files, format, _describe(sources, settings, lengths)) as writer:
            for pool in read_source_pools(sources):
                for record in _build_pool(pool, context):
                    writer.write(record)
                on_pool(1)
            _require_tasks(statistics, files, settings)
    return files, statistics


def _build_pool(pool: SourcePool, context: _BuildContext) -> Iterator[TaskRecord]:
    settings, statistics = context.settings, context.statistics
    statistics.seen += 1
    candidates, exclusions = gather_candidates(pool, settings)
    limit = settings.max_candidate_tokens or (CODE_CANDIDATE_TOKENS if pool.kind == "code" else None)
    if limit is not None:
        short = [candidate for candidate in candidates if context.lengths.is_text_within(candidate.text, limit)]
        exclusions["over the candidate token limit"] += len(candidates) - len(short)
        candidates = short
    statistics.exclusions.update(+exclusions)
    fault = find_fault(measure_pass_rate(pool), candidates, settings)
    if fault:
        statistics.unused[fault] += 1
        return
    count = 0
    for record in _render_tasks(pool, candidates, context):
        count += 1
        yield record
    statistics.used += bool(count)
    if not count:
        statistics.unused["all tasks dropped"] += 1


def _render_tasks(
    pool: SourcePool, candidates: Sequence[TaskCandidate], context: _BuildContext
) -> Iterator[TaskRecord]:
    settings, statistics = context.settings, context.statistics
    split = _find_split(pool.problem_id, settings.validation_share)
    # Programs have no answers that could be equal.
    clusters = None if pool.kind == "code" else context.clusterer.cluster([c.answer for c in candidates])
    count = 0
    for choice in choose_tasks(pool.problem_id, candidates, settings):
        count += 1
        members = [candidates[index] for index in choice.indices]
        prompt = render_genselect(pool.prompt, [c.text for c in members], pool.kind, settings.style)
        tokens = context.lengths.count_prompt(prompt)
        if tokens > settings.max_prompt_tokens:
            statistics.dropped["over the prompt token limit"] += 1
            continue
        correct = tuple(c.is_correct for c in members)
        answers = None if clusters is None else [clusters[index] for index in choice.indices]
        statistics.add_task(split, correct, tokens, answers)
        name = f"{pool.problem_id}/task-{choice.number}"
        task = SelectionTask(name, pool.problem_id, prompt, tuple(c.id for c in members), correct, tokens)
        yield TaskRecord(task, pool.kind, split)
    statistics.dropped["same candidates as another task"] += settings.per_problem - count


def _find_split(problem_id: str, share: float | None) -> str:
    if share is None:
        return ALL
    return VALIDATION if is_held_out(problem_id, share) else TRAIN


def _describe(sources: Sequence[Source], settings: TasksConfig, lengths: PromptLengths) -> dict[str, Any]:
    return {
        "nbest": VERSION,
        "style": settings.style,
        "thinking": settings.thinking,
        "tokenizer": settings.tokenizer,
        **lengths.hashes,
        "sources": [
            {"name": source.name, "run": str(source.run.path), "identity": source.run.manifest["identity"]}
            for source in sources
        ],
        "settings": settings.model_dump(mode="json"),
    }


def _require_tasks(statistics: TaskStatistics, files: Mapping[str, Path], settings: TasksConfig) -> None:
    if not statistics.tasks:
        reasons = {**statistics.unused, **+statistics.dropped}
        summary = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        raise UnavailableError(
            f"no tasks: none of {statistics.seen:,} problems gave a task ({summary or 'the runs hold no problems'}). A "
            "problem needs right and wrong candidates and a pass rate below --max-pass-rate, and prompts must have at "
            "most --max-prompt-tokens. Nothing was written."
        )
    empty = [split for split in files if not statistics.tasks[split]]
    if empty:
        raise UnavailableError(
            f"no tasks for {', '.join(empty)}: {statistics.used:,} problems gave tasks, but with --validation-share "
            f"{settings.validation_share} none of them is in this split. Use another share or more problems. Nothing "
            "was written."
        )
