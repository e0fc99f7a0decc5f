"""What every import shares: entries read from somebody's files go into a run, and a report says what happened.

A format module yields entries (a problem with its attempts), faults and notes; this one reads that stream twice. The
first pass collects the problems (without their texts) and writes `problems.parquet` once; the second appends
trajectories, verdicts and scores in parts of bounded size. What the run already holds is skipped by id, so a killed
import is finished by running the same command again. This module knows no format.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from nbest.errors import ConfigError, UnavailableError
from nbest.records import KINDS, Kind, Problem, Score, Trajectory, Verdict
from nbest.storage.run import Run
from nbest.text.answers import answer_of
from nbest.text.json_lines import Fault, describe

PART_TRAJECTORIES = 2_000
PART_CHARACTERS = 64_000_000
KEPT_FAULTS = 1_000
IMPORTED = "imported"
"""The note of a verdict that an imported file stated."""

UNKNOWN_SEED = -1
"""`Trajectory.seed` where the source did not record one."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A trajectory with what its source stated about it; `verdict` None = it stated nothing.

    `is_answer_stated` False = the verdict's answer is filled in from the trajectory when it is stored.
    """

    trajectory: Trajectory
    verdict: Verdict | None = None
    scores: Mapping[str, Score] = field(default_factory=dict[str, Score])
    is_answer_stated: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A problem with its attempts, and where they stand. `end_bytes`: how much of all the files was read so far."""

    file: str
    line: int
    problem: Problem
    attempts: tuple[Attempt, ...]
    end_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """Something the user should know that is no fault, such as lines that were left out by a stated rule."""

    text: str


Item: TypeAlias = Entry | Fault | Note
Reader: TypeAlias = Callable[[], Iterator[Item]]
"""Starts reading the files from their beginning; called once a pass."""


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Where an import stands. Bytes count the files as they lie on disk, over both passes."""

    stage: Literal["problems", "trajectories"]
    done_bytes: int
    total_bytes: int
    problems: int
    trajectories: int


OnProgress: TypeAlias = Callable[[ImportProgress], None]


@dataclass(slots=True)
class ImportReport:
    """What an import did. `problems`, `trajectories`, `verdicts` and `scores` count what this call added; `present`
    counts good trajectories that the run held before. `faults` holds the first 1,000, `fault_count` counts all."""

    problems: int = 0
    trajectories: int = 0
    verdicts: int = 0
    scores: int = 0
    present: int = 0
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list[Fault])
    notes: list[str] = field(default_factory=list[str])

    @property
    def is_clean(self) -> bool:
        return self.fault_count == 0

    def add_fault(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(fault)


def check_kind(kind: str | None) -> Kind | None:
    """The kind as given, or None. Raises ConfigError on any other word."""
    if kind is None:
        return None
    for allowed in KINDS:
        if kind == allowed:
            return allowed
    raise ConfigError(f"kind: {describe(kind)} came; allowed: {', '.join(KINDS)}")


def size_bytes(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())


def import_entries(run: Run, read: Reader, total_bytes: int, on_progress: OnProgress | None = None) -> ImportReport:
    """Writes what `read` yields into the run and reports.

    A problem id that occurs twice, or that the run holds with other content, is a fault of the later line; so is a
    trajectory whose text differs from the one the run holds under its id. The problems of a run are written once:
    where the run holds problems already, a new one is a fault, and the way out is one import of all files.
    """
    intake = _Intake(run, total_bytes, on_progress)
    intake.collect_problems(read())
    intake.append_attempts(read())
    return intake.report


class _Intake:
    def __init__(self, run: Run, total_bytes: int, on_progress: OnProgress | None):
        self.run = run
        self.total_bytes = total_bytes
        self.on_progress = on_progress
        self.report = ImportReport()
        self.places: dict[str, tuple[str, int]] = {}
        self.done_scores: dict[str, set[str]] = {}
        self.progress_trajectories = 0

    def collect_problems(self, items: Iterator[Item]) -> None:
        held = _held_problems(self.run)
        fresh: list[Problem] = []
        for item in items:
            if isinstance(item, Fault):
                self.report.add_fault(item)
            elif isinstance(item, Note):
                self.report.notes.append(item.text)
            else:
                fault = self._problem_fault(item, held) or self._score_fault(item)
                if fault is not None:
                    self.report.add_fault(fault)
                    continue
                self.places[item.problem.id] = (item.file, item.line)
                if item.problem.id not in held:
                    fresh.append(item.problem)
                self._tell("problems", item.end_bytes)
        if fresh:
            self.run.write_problems(fresh)
            self.report.problems = len(fresh)

    def _problem_fault(self, entry: Entry, held: Mapping[str, str]) -> Fault | None:
        problem = entry.problem
        if problem.id in self.places:
            file, line = self.places[problem.id]
            came = f"{problem.id!r}, which stands in {file}:{line} already"
            return Fault(entry.file, entry.line, "problem_id", came, "each id once")
        if not held:
            return None
        if problem.id not in held:
            came = f"{problem.id!r}, which is not among the {len(held)} problems of this run"
            allowed = "problems are written once: give all files to one import, or another --run"
            return Fault(entry.file, entry.line, "problem_id", came, allowed)
        if held[problem.id] != _fingerprint(problem):
            came = f"{problem.id!r} with another question, target, kind, tests or meta than the run holds"
            return Fault(entry.file, entry.line, "problem_id", came, "the same problem, or another --run")
        return None

    def _score_fault(self, entry: Entry) -> Fault | None:
        """A score whose name cannot be that of a scorer in a run; also loads which scores are done."""
        for attempt in entry.attempts:
            for name in attempt.scores:
                if name in self.done_scores:
                    continue
                try:
                    self.done_scores[name] = self.run.done_scores(name)
                except ConfigError as error:
                    return Fault(entry.file, entry.line, "scores", describe(name), f"the name of a scorer: {error}")
        return None

    def append_attempts(self, items: Iterator[Item]) -> None:
        batch = _Batch(self.run, self.report, self.done_scores)
        for item in items:
            # A line that the first pass refused is passed over here: its fault is in the report already.
            if not isinstance(item, Entry) or self.places.get(item.problem.id) != (item.file, item.line):
                continue
            for attempt in item.attempts:
                fault = batch.add(attempt, item)
                if fault is not None:
                    self.report.add_fault(fault)
            self.progress_trajectories += len(item.attempts)
            self._tell("trajectories", self.total_bytes + item.end_bytes)
        batch.flush()

    def _tell(self, stage: Literal["problems", "trajectories"], done_bytes: int) -> None:
        if self.on_progress is not None:
            progress = ImportProgress(
                stage, done_bytes, 2 * self.total_bytes, len(self.places), self.progress_trajectories
            )
            self.on_progress(progress)


class _Batch:
    """Collects what the run lacks and appends it in parts. The order of a flush (trajectories, verdicts, scores) and
    a done set for each make it safe to be killed anywhere: the next import adds the rest."""

    def __init__(self, run: Run, report: ImportReport, done_scores: Mapping[str, set[str]]):
        self.run = run
        self.report = report
        self.texts = stored_texts(run)
        self.done_verdicts = run.done_verdicts()
        self.done_scores = done_scores
        self._clear()

    def _clear(self) -> None:
        self.trajectories: list[Trajectory] = []
        self.verdicts: list[Verdict] = []
        self.scores: dict[str, list[Score]] = {}
        self.characters = 0
        self.waiting = 0

    def add(self, attempt: Attempt, entry: Entry) -> Fault | None:
        trajectory = attempt.trajectory
        text = trajectory.completion.text
        held = self.texts.get(trajectory.id)
        if held is not None and held != text_hash(text):
            came = f"{trajectory.id!r} with another text than the run holds"
            return Fault(entry.file, entry.line, "text", came, "the same text, or another --run")
        if held is None:
            self.trajectories.append(trajectory)
            self.characters += len(text)
        else:
            self.report.present += 1
        if attempt.verdict is not None and trajectory.id not in self.done_verdicts:
            verdict = attempt.verdict
            if not attempt.is_answer_stated:
                verdict = replace(verdict, answer=answer_of(trajectory, entry.problem.kind))
            self.verdicts.append(verdict)
        for name, score in attempt.scores.items():
            if trajectory.id not in self.done_scores[name]:
                self.scores.setdefault(name, []).append(score)
        self.waiting += 1
        if self.waiting >= PART_TRAJECTORIES or self.characters >= PART_CHARACTERS:
            self.flush()
        return None

    def flush(self) -> None:
        if self.trajectories:
            self.run.append_trajectories(self.trajectories)
            self.report.trajectories += len(self.trajectories)
        if self.verdicts:
            self.run.append_verdicts(self.verdicts)
            self.report.verdicts += len(self.verdicts)
        for name, scores in self.scores.items():
            self.run.append_scores(name, scores)
            self.report.scores += len(scores)
        self._clear()


def text_hash(text: str) -> int:
    """The first 8 bytes of MD5 over UTF-8 as a number: tells texts apart, is no safeguard against forgery."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "big")


def stored_texts(run: Run) -> dict[str, int]:
    """The hash of the text of each trajectory the run holds, by id: about 150 bytes a trajectory, no texts."""
    if not run.done_trajectories():
        return {}
    with run.connect() as connection:
        rows = connection.execute("SELECT id, substr(md5(text), 1, 16) FROM trajectories").fetchall()
    return {str(id): int(digest, 16) for id, digest in rows}


def _held_problems(run: Run) -> dict[str, str]:
    """The fingerprint of each problem the run holds, by id; empty where none were written yet."""
    try:
        return {problem.id: _fingerprint(problem) for problem in run.problems()}
    except UnavailableError:
        return {}


def _fingerprint(problem: Problem) -> str:
    content = [problem.prompt, problem.target, problem.kind, list(problem.tests), dict(problem.meta)]
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
