"""The part that every import shares: write the entries of input files into a run, and report what was added.

A format module yields entries (a problem with its samples), faults and notes. This module reads that stream twice: the
first pass collects the problems (without their texts) and writes `problems.parquet` once; the second appends
trajectories, verdicts and scores in parts of bounded size. Entries that the run already holds are skipped by id, so an
import that was killed is finished by running the same command again. This module does not know any format.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from nbest.answers.counting import AnswerCounts
from nbest.answers.rules import parse_rule
from nbest.errors import ConfigError, UnavailableError
from nbest.plurals import show_count
from nbest.records import KINDS, Kind, Problem, Score, Selection, Trajectory, Verdict
from nbest.specs import did_you_mean
from nbest.storage.run import Run
from nbest.text.json_lines import Fault, describe

PART_TRAJECTORIES = 2_000
PART_CHARACTERS = 64_000_000
REPORTED_FAULTS = 1_000
IMPORTED = "imported"
"""The note of a verdict that comes from an imported file."""

UNKNOWN_SEED = -1
"""`Trajectory.seed` if the source did not record one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of an input file: a trajectory with the verdict and the scores that the file gives it.

    `verdict` is None if the file has none. If `has_verdict_answer` is False, the verdict's answer is filled in from the
    trajectory when it is stored.
    """

    trajectory: Trajectory
    verdict: Verdict | None = None
    scores: Mapping[str, Score] = field(default_factory=dict[str, Score])
    has_verdict_answer: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A problem with its samples, and their file and line.

    `end_bytes` is how far all input files have been read. `selections` are by selector.
    """

    file: str
    line: int
    problem: Problem
    samples: tuple[Sample, ...]
    end_bytes: int = 0
    selections: Mapping[str, Selection] = field(default_factory=dict[str, Selection])


@dataclass(frozen=True, slots=True)
class Note:
    """A message for the user that is not a fault, such as how many lines a documented rule skipped."""

    text: str


Item: TypeAlias = Entry | Fault | Note
Reader: TypeAlias = Callable[[], Iterator[Item]]
"""Starts reading the files from their beginning; called once per pass."""


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """The progress of an import. Bytes count the files as stored on disk, summed over both passes.

    `trajectories` of `total_trajectories` were added or found to be there; the total is known after the first pass.
    """

    stage: Literal["problems", "trajectories"]
    done_bytes: int
    total_bytes: int
    problems: int
    trajectories: int
    total_trajectories: int | None = None


OnProgress: TypeAlias = Callable[[ImportProgress], None]


@dataclass(slots=True)
class ImportReport:
    """The result of an import.

    `problems`, `trajectories`, `verdicts`, `scores` and `selections` count what this call added, `present` the valid
    trajectories that the run held before. `entries` counts the problems of the files that were accepted, new or not.
    `answers` counts how the answers of both were read. `faults` holds the first 1,000 faults; `fault_count` counts all
    of them.
    """

    problems: int = 0
    trajectories: int = 0
    verdicts: int = 0
    scores: int = 0
    selections: int = 0
    present: int = 0
    entries: int = 0
    answers: AnswerCounts = field(default_factory=AnswerCounts)
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list[Fault])
    notes: list[str] = field(default_factory=list[str])

    @property
    def is_clean(self) -> bool:
        return self.fault_count == 0

    def add_fault(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < REPORTED_FAULTS:
            self.faults.append(fault)


def check_kind(kind: str | None) -> Kind | None:
    """Return `kind` if it is a known kind or None. Raises ConfigError otherwise."""
    if kind is None:
        return None
    for allowed in KINDS:
        if kind == allowed:
            return allowed
    raise ConfigError(f"kind: got {describe(kind)}; allowed: {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")


def check_answer_rule(rule: str | None) -> str | None:
    """Return `rule` if it is a rule of `nbest.answers.rules` or None. Raises ConfigError or UnavailableError."""
    return None if rule is None else parse_rule(rule).text


def size_bytes(files: list[Path]) -> int:
    """Return the total size of the files on disk. Files that do not exist count as 0."""
    return sum(file.stat().st_size for file in files if file.is_file())


def import_entries(
    run: Run,
    read: Reader,
    total_bytes: int,
    on_progress: OnProgress | None = None,
    answer_rule: str | None = None,
) -> ImportReport:
    """Write the entries that `read` yields into the run, and report what was added.

    `answer_rule` replaces the rules of the problems; None leaves them.

    A problem id that occurs twice, or that the run holds with other content, is a fault of the later line. So is a
    trajectory whose text differs from the text that the run holds under the same id. The problems of a run are written
    once: if the run already holds problems, a new one is a fault, and all files must be imported by one call.
    """
    intake = _Intake(run, total_bytes, on_progress)
    intake.collect_problems(_set_answer_rule(read(), answer_rule))
    intake.append_samples(_set_answer_rule(read(), answer_rule))
    return intake.report


def _set_answer_rule(items: Iterator[Item], rule: str | None) -> Iterator[Item]:
    for item in items:
        if rule is not None and isinstance(item, Entry):
            item = replace(item, problem=replace(item.problem, answer_rule=rule))
        yield item


class _Intake:
    def __init__(self, run: Run, total_bytes: int, on_progress: OnProgress | None):
        self.run = run
        self.total_bytes = total_bytes
        self.on_progress = on_progress
        self.report = ImportReport()
        self.origins: dict[str, tuple[str, int]] = {}
        self.done_scores: dict[str, set[str]] = {}
        self.done_selections: dict[str, set[str]] = {}
        self.progress_trajectories = 0
        self.total_trajectories = 0

    def collect_problems(self, items: Iterator[Item]) -> None:
        fingerprints = _read_fingerprints(self.run)
        new_problems: list[Problem] = []
        for item in items:
            if isinstance(item, Fault):
                self.report.add_fault(item)
            elif isinstance(item, Note):
                self.report.notes.append(item.text)
            else:
                fault = self._find_problem_fault(item, fingerprints) or self._find_name_fault(item)
                if fault is not None:
                    self.report.add_fault(fault)
                    continue
                self.origins[item.problem.id] = (item.file, item.line)
                self.report.entries += 1
                self.total_trajectories += len(item.samples)
                if item.problem.id not in fingerprints:
                    new_problems.append(item.problem)
                self._report_progress("problems", item.end_bytes)
        if new_problems:
            self.run.write_problems(new_problems)
            self.report.problems = len(new_problems)

    def _find_problem_fault(self, entry: Entry, fingerprints: Mapping[str, str]) -> Fault | None:
        problem = entry.problem
        if problem.id in self.origins:
            file, line = self.origins[problem.id]
            actual = f"{problem.id!r}, which {file}:{line} already defines"
            return Fault(entry.file, entry.line, "problem_id", actual, "each id once")
        if not fingerprints:
            return None
        if problem.id not in fingerprints:
            actual = f"{problem.id!r}, which is not among the {show_count(len(fingerprints), 'problem')} of this run"
            allowed = "the problems of the run, which are written once: import all files together, or use another RUN"
            return Fault(entry.file, entry.line, "problem_id", actual, allowed)
        if fingerprints[problem.id] != _fingerprint(problem):
            fields = "a question, target, kind, tests, answer rule or meta"
            actual = f"{problem.id!r} with {fields} that differ from those in the run"
            return Fault(entry.file, entry.line, "problem_id", actual, "the same problem, or another RUN")
        return None

    def _find_name_fault(self, entry: Entry) -> Fault | None:
        """Return a fault if a score or selection has no valid name; also load the ids that each name has already."""
        for sample in entry.samples:
            for name in sample.scores:
                if name in self.done_scores:
                    continue
                try:
                    self.done_scores[name] = self.run.done_scores(name)
                except ConfigError as error:
                    return Fault(entry.file, entry.line, "scores", describe(name), f"the name of a scorer: {error}")
        for name in entry.selections.keys() - self.done_selections.keys():
            try:
                self.done_selections[name] = self.run.done_selections(name)
            except ConfigError as error:
                return Fault(entry.file, entry.line, "selections", describe(name), f"the name of a selector: {error}")
        return None

    def append_samples(self, items: Iterator[Item]) -> None:
        self._report_progress("trajectories", self.total_bytes)
        batch = _Batch(self.run, self.report, self.done_scores, self.done_selections)
        for item in items:
            # Skip lines that the first pass rejected: the report already has their faults.
            if not isinstance(item, Entry) or self.origins.get(item.problem.id) != (item.file, item.line):
                continue
            for sample in item.samples:
                fault = batch.add(sample, item)
                if fault is not None:
                    self.report.add_fault(fault)
            batch.add_selections(item)
            self.progress_trajectories += len(item.samples)
            self._report_progress("trajectories", self.total_bytes + item.end_bytes)
        batch.flush()

    def _report_progress(self, stage: Literal["problems", "trajectories"], done_bytes: int) -> None:
        if self.on_progress is not None:
            progress = ImportProgress(
                stage,
                done_bytes,
                2 * self.total_bytes,
                len(self.origins),
                self.progress_trajectories,
                self.total_trajectories if stage == "trajectories" else None,
            )
            self.on_progress(progress)


class _Batch:
    """Records that the run lacks, appended in parts.

    An import may be killed anywhere: each flush writes trajectories, then verdicts, scores and selections, and each of
    them is checked by id, so that the next import adds the rest.
    """

    def __init__(
        self,
        run: Run,
        report: ImportReport,
        done_scores: Mapping[str, set[str]],
        done_selections: Mapping[str, set[str]],
    ):
        self.run = run
        self.report = report
        self.text_hashes = read_text_hashes(run)
        self.done_verdicts = run.done_verdicts()
        self.done_scores = done_scores
        self.done_selections = done_selections
        self._clear()

    def _clear(self) -> None:
        self.trajectories: list[Trajectory] = []
        self.verdicts: list[Verdict] = []
        self.scores: dict[str, list[Score]] = {}
        self.selections: dict[str, list[Selection]] = {}
        self.characters = 0
        self.sample_count = 0

    def add(self, sample: Sample, entry: Entry) -> Fault | None:
        trajectory = sample.trajectory
        text = trajectory.completion.text
        stored_hash = self.text_hashes.get(trajectory.id)
        if stored_hash is not None and stored_hash != hash_text(text):
            actual = f"a text of {trajectory.id!r} that differs from the one in the run"
            return Fault(entry.file, entry.line, "text", actual, "the same text, or another RUN")
        if stored_hash is None:
            self.trajectories.append(trajectory)
            self.characters += len(text)
        else:
            self.report.present += 1
        extraction = self.report.answers.add(trajectory, entry.problem)
        if sample.verdict is not None and trajectory.id not in self.done_verdicts:
            verdict = sample.verdict
            if not sample.has_verdict_answer:
                verdict = replace(verdict, answer=None if extraction is None else extraction.answer)
            self.verdicts.append(verdict)
        for name, score in sample.scores.items():
            if trajectory.id not in self.done_scores[name]:
                self.scores.setdefault(name, []).append(score)
        self.sample_count += 1
        if self.sample_count >= PART_TRAJECTORIES or self.characters >= PART_CHARACTERS:
            self.flush()
        return None

    def add_selections(self, entry: Entry) -> None:
        for name, selection in entry.selections.items():
            if selection.problem_id not in self.done_selections[name]:
                self.selections.setdefault(name, []).append(selection)

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
        for name, selections in self.selections.items():
            self.run.append_selections(name, selections)
            self.report.selections += len(selections)
        self._clear()


def hash_text(text: str) -> int:
    """Return the first 8 bytes of the MD5 of a text in UTF-8 as a number. Not safe against deliberate collisions."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "big")


def read_text_hashes(run: Run) -> dict[str, int]:
    """Return the text hash of each trajectory of the run, by id; about 150 bytes of memory per trajectory."""
    if not run.done_trajectories():
        return {}
    with run.connect(large=("text",)) as connection:
        rows = connection.execute("SELECT id, substr(md5(text), 1, 16) FROM trajectories").fetchall()
    return {str(id): int(digest, 16) for id, digest in rows}


def _read_fingerprints(run: Run) -> dict[str, str]:
    """Return the fingerprint of each problem of the run, by id; empty if none were written yet."""
    try:
        return {problem.id: _fingerprint(problem) for problem in run.problems()}
    except UnavailableError:
        return {}


def _fingerprint(problem: Problem) -> str:
    fields = [problem.prompt, problem.target, problem.kind, problem.answer_rule]
    content = [*fields, list(problem.tests), dict(problem.meta)]
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
