# pyright: standard
"""From verified runs to files of selection tasks: pools are read one at a time, each gives its tasks, files stream.

A problem is wholly in one split, by the stable hash that the training of scorers uses too. This module does not know
how pools are joined, candidates chosen, prompts worded or rows encoded: it calls those who do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbest import __version__
from nbest.errors import UnavailableError
from nbest.judging.prompts import render_genselect
from nbest.training.prompt_lengths import PromptLengths
from nbest.training.selection_tasks import (
    CODE_CANDIDATE_TOKENS,
    Candidate,
    SourcePool,
    choose_tasks,
    find_fault,
    gather_candidates,
    measure_pass_rate,
)
from nbest.training.settings import TasksConfig
from nbest.training.source_pools import Source, read_source_pools
from nbest.training.step_batches import is_held_out
from nbest.training.task_files import BuiltTask, SelectionTask, TaskFiles, TaskFormat
from nbest.training.task_statistics import TaskStatistics
from nbest.verifying.equivalence import Clusterer, Equivalence

ALL, TRAIN, VALIDATION = "all", "train", "validation"

OnPool = Callable[[int], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Workshop:
    """What stays the same from pool to pool."""

    settings: TasksConfig
    lengths: PromptLengths
    clusterer: Clusterer
    statistics: TaskStatistics


def name_files(out: Path, validation_share: float | None) -> dict[str, Path]:
    """The file of each split: `out` itself, or `FILE.train.parquet` and `FILE.validation.parquet` beside it."""
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
    """Writes the task files and returns them by split, with what is in them.

    Raises ConfigError (tokenizer), UnavailableError where no task came out, or none in one split; then no file is
    written and none is replaced. DataError, StorageError, DamagedRunError.
    """
    statistics = TaskStatistics()
    files = name_files(out, settings.validation_share)
    lengths = PromptLengths(settings.tokenizer)
    with closing(Equivalence()) as equivalence:
        workshop = _Workshop(settings, lengths, equivalence, statistics)
        with TaskFiles(files, format, _describe(sources, settings, lengths)) as writer:
            for pool in read_source_pools(sources):
                for built in _build_pool(pool, workshop):
                    writer.write(built)
                on_pool(1)
            _require_tasks(statistics, files, settings)
    return files, statistics


def _build_pool(pool: SourcePool, workshop: _Workshop) -> Iterator[BuiltTask]:
    settings, statistics = workshop.settings, workshop.statistics
    statistics.seen += 1
    candidates, left_out = gather_candidates(pool, settings)
    limit = settings.max_candidate_tokens or (CODE_CANDIDATE_TOKENS if pool.kind == "code" else None)
    if limit is not None:
        short = [candidate for candidate in candidates if workshop.lengths.is_text_within(candidate.text, limit)]
        left_out["over the candidate token limit"] += len(candidates) - len(short)
        candidates = short
    statistics.left_out.update(+left_out)
    fault = find_fault(measure_pass_rate(pool), candidates, settings)
    if fault:
        statistics.unused[fault] += 1
        return
    made = 0
    for built in _render_tasks(pool, candidates, workshop):
        made += 1
        yield built
    statistics.used += bool(made)
    if not made:
        statistics.unused["all tasks dropped"] += 1


def _render_tasks(pool: SourcePool, candidates: Sequence[Candidate], workshop: _Workshop) -> Iterator[BuiltTask]:
    settings, statistics = workshop.settings, workshop.statistics
    split = _find_split(pool.problem_id, settings.validation_share)
    # A program is no answer that others could agree with.
    clusters = None if pool.kind == "code" else workshop.clusterer.cluster([c.answer for c in candidates])
    asked = 0
    for choice in choose_tasks(pool.problem_id, candidates, settings):
        asked += 1
        shown = [candidates[place] for place in choice.places]
        prompt = render_genselect(pool.prompt, [c.text for c in shown], pool.kind, settings.style)
        tokens = workshop.lengths.count_prompt(prompt)
        if tokens > settings.max_prompt_tokens:
            statistics.dropped["over the prompt token limit"] += 1
            continue
        correct = tuple(c.is_correct for c in shown)
        answers = None if clusters is None else [clusters[place] for place in choice.places]
        statistics.add_task(split, correct, tokens, answers)
        name = f"{pool.problem_id}/task-{choice.number}"
        task = SelectionTask(name, pool.problem_id, prompt, tuple(c.id for c in shown), correct, tokens)
        yield BuiltTask(task, pool.kind, split)
    statistics.dropped["same candidates as another task"] += settings.per_problem - asked


def _find_split(problem_id: str, share: float | None) -> str:
    if share is None:
        return ALL
    return VALIDATION if is_held_out(problem_id, share) else TRAIN


def _describe(sources: Sequence[Source], settings: TasksConfig, lengths: PromptLengths) -> dict[str, Any]:
    return {
        "nbest": __version__,
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
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        raise UnavailableError(
            f"no tasks: of {statistics.seen:,} problems none gave one ({told or 'the runs hold no problems'}). A "
            "problem needs right and wrong candidates and a pass rate below --max-pass-rate; prompts must fit into "
            "--max-prompt-tokens. Nothing was written."
        )
    empty = [split for split in files if not statistics.tasks[split]]
    if empty:
        raise UnavailableError(
            f"no tasks for {', '.join(empty)}: {statistics.used:,} problems gave tasks, and with --validation-share "
            f"{settings.validation_share} none of them falls there. Take another share or more problems. Nothing was "
            "written."
        )
