"""Compare our verdicts with labels that somebody else published, and sort the differences by cause.

Labels are the imported verdicts of a run, or the `correct` of pool files that hold the same trajectories. Our verdicts
are those of `nbest verify`. Where the run has none of its own, they are made here and remembered in the run's hidden
folder `.audit`: the verdicts of the run stay as they are, and a command that was killed goes on. A trajectory on which
both differ is graded a second time: a verdict that changes is a cause of its own.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from shlex import quote
from typing import Any

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.formats.intake import IMPORTED, Entry
from nbest.formats.pools import read_pools
from nbest.plugins import list_plugins
from nbest.protocols import Verifier
from nbest.records import Kind, Pool, Problem, Trajectory, Verdict
from nbest.stages.code_verdicts import read_code_verdicts
from nbest.stages.flow import (
    OnProgress,
    count_progress,
    ignore_progress,
    open_run,
    path_of,
    report_activity,
    report_wait,
    require_trajectories,
    run_to_end,
)
from nbest.stages.sandboxes import SandboxSettings
from nbest.stages.sharing import SharedWork, share_work
from nbest.storage.done import DoneIds
from nbest.storage.run import Run
from nbest.storage.tables import VERDICTS
from nbest.storage.verdict_files import VerdictFiles
from nbest.text.json_lines import Fault
from nbest.verifying.causes import UNSTABLE, find_cause
from nbest.verifying.code.settings import CodeSettings
from nbest.verifying.code.verifier import CodeVerifier
from nbest.verifying.dispatch import KindVerifier
from nbest.verifying.remembering import describe_rules

FOLDER = ".audit"
_PACKAGE = Path(__file__).parents[1]
_CODE_MODULES = ("programs/*.py", "sandbox/*.py", "verifying/code/*")
"""What the verdict on a program depends on, beside the answers' rules and the settings."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A trajectory that we grade otherwise than its label; `verdict` None = we could not grade it."""

    trajectory_id: str
    label: bool
    verdict: bool | None
    cause: str
    answer: str | None = None
    target: str | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    `labelled` of `trajectories` have a label, `agreed` of those have the same verdict. `differences` are sorted by
    cause, the most frequent first, then by trajectory.
    """

    run: Path
    trajectories: int
    labelled: int
    agreed: int
    differences: tuple[Difference, ...] = ()

    @property
    def causes(self) -> Mapping[str, int]:
        """The number of differences of each cause, the largest first."""
        return dict(Counter(difference.cause for difference in self.differences).most_common())

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "trajectories": self.trajectories,
            "labelled": self.labelled,
            "agreed": self.agreed,
            "causes": dict(self.causes),
            "differences": [difference.to_json() for difference in self.differences],
        }


def audit(
    run: Run | str | Path,
    labels: Sequence[Path] = (),
    *,
    sandbox: SandboxSettings | None = None,
    code: CodeSettings | None = None,
    on_progress: OnProgress = ignore_progress,
) -> AuditReport:
    """Compare our verdicts on a run with published labels.

    `labels` are pool files whose samples have `correct`; without any the imported verdicts of the run are the labels.
    `sandbox` and `code` say how programs are run, as in `nbest.stages.verify`; without `code`, they are run as those of
    the run's own verdicts were. Raises UnavailableError if there is no label, DataError for a file with faults,
    ConfigError for a mode other than that of the run's own verdicts.
    """
    return run_to_end(_audit(open_run(run), path_of(run), labels, sandbox or SandboxSettings(), code, on_progress))


async def _audit(
    run: Run,
    path: Path,
    files: Sequence[Path],
    sandbox: SandboxSettings,
    code: CodeSettings | None,
    on_progress: OnProgress,
) -> AuditReport:
    report_activity("read the run", on_progress)
    total = require_trajectories(run)
    labels = await asyncio.to_thread(_read_labels, run, path, files)
    own = {verdict.trajectory_id: verdict for verdict in run.verdicts() if not verdict.note.startswith(IMPORTED)}
    missing = labels.keys() - own.keys()
    problems = {problem.id: problem for problem in run.problems()}
    code = _choose_settings(run, code) if own else code
    grader = CodeVerifier(sandbox.open, code)
    verifiers: dict[Kind, Verifier] = {} if "code" in list_plugins("verifier") else {"code": grader}
    async with grader, KindVerifier(verifiers=verifiers) as verifier:
        if missing:
            own |= await _grade(run, verifier, problems, missing, _hash_rules(grader.settings), on_progress)
        differing = {id: label for id, label in labels.items() if id in own and own[id].correct is not label}
        differences = await _find_differences(run, verifier, problems, differing, own, on_progress)
    counts = Counter(difference.cause for difference in differences)
    differences.sort(key=lambda difference: (-counts[difference.cause], difference.cause))
    labelled = sum(1 for id in labels if id in own)
    return AuditReport(path, total, labelled, labelled - len(differences), tuple(differences))


def _choose_settings(run: Run, code: CodeSettings | None) -> CodeSettings | None:
    """Return the settings of the run's own verdicts, where they are recorded and no others are requested.

    Raises ConfigError for another mode.
    """
    stored = read_code_verdicts(run)
    if stored is None:
        return code
    mode = stored.get("mode")
    if code is None:
        known = {field.name for field in fields(CodeSettings)}
        limits = {name: value for name, value in (stored.get("limits") or {}).items() if name in known}
        return CodeSettings(**{"mode": mode, **limits})
    if code.mode != mode:
        raise ConfigError(
            f"{run.path}: its own verdicts on code are of mode {mode!r}, and are not compared in mode {code.mode!r}. "
            f"To grade in that mode, remove them first: nbest drop {quote(str(run.path))} verdicts"
        )
    return code


def _read_labels(run: Run, path: Path, files: Sequence[Path]) -> dict[str, bool]:
    """Return the labels by trajectory id. Raises DataError with all faults of the files, UnavailableError for none."""
    labels: dict[str, bool] = {}
    if not files:
        for verdict in run.verdicts():
            if verdict.note.startswith(IMPORTED) and verdict.correct is not None:
                labels[verdict.trajectory_id] = verdict.correct
        if not labels:
            raise UnavailableError(
                f"{path}: it has no imported verdicts, so there is nothing to compare with. Name pool files whose "
                "samples have `correct` with --labels"
            )
        return labels
    faults: list[str] = []
    for item in read_pools(list(files)):
        if isinstance(item, Fault):
            faults.append(str(item))
        elif isinstance(item, Entry):
            for sample in item.samples:
                if sample.verdict is not None and sample.verdict.correct is not None:
                    labels[sample.trajectory.id] = sample.verdict.correct
    if faults:
        raise DataError("\n".join(faults[:20]))
    known = run.done_trajectories()
    labels = {id: label for id, label in labels.items() if id in known}
    if not labels:
        listed = ", ".join(map(str, files))
        raise UnavailableError(
            f"{path}: no trajectory of it has a label in {listed}. A label belongs to the trajectory with the same "
            "problem_id and position"
        )
    return labels


async def _grade(
    run: Run,
    verifier: Verifier,
    problems: Mapping[str, Problem],
    ids: Collection[str],
    rules: str,
    on_progress: OnProgress,
) -> dict[str, Verdict]:
    """Grade trajectories, except those that an earlier audit with the same `rules` has graded; return all of them.

    What could not be graded is not remembered: the next audit tries again.
    """
    files = VerdictFiles(run.path / FOLDER / rules)
    done = DoneIds(files.folder, VERDICTS)
    done.refresh()
    on_done = count_progress("grade", len(set(ids) - done.ids), on_progress)

    def read(problem_ids: Collection[str] | None) -> Iterator[tuple[str, Pool]]:
        for pool in run.pools(problem_ids, tokens=False):
            yield pool.problem_id, pool

    def plan(pool: Pool, done_ids: Collection[str]) -> tuple[Problem, list[Trajectory]] | None:
        trajectories = [each for each in pool.trajectories if each.id in ids and each.id not in done_ids]
        return (problems[pool.problem_id], trajectories) if trajectories else None

    async def grade(item: tuple[Problem, list[Trajectory]]) -> AsyncGenerator[list[Verdict], None]:
        yield await verifier.verify(*item)

    ungraded: dict[str, Verdict] = {}

    async def write(verdicts: list[Verdict]) -> None:
        ungraded.update({verdict.trajectory_id: verdict for verdict in verdicts if verdict.correct is None})
        await asyncio.to_thread(files.append, [verdict for verdict in verdicts if verdict.correct is not None])
        on_done(len(verdicts), 0)

    work = SharedWork(run.path, f"audit/{rules}", done, read, plan, grade, write)
    await share_work(work, on_wait=report_wait("grade", on_progress))
    return ungraded | {verdict.trajectory_id: verdict for verdict in files.read() if verdict.trajectory_id in ids}


def _hash_rules(code: CodeSettings) -> str:
    """Return a text that changes whenever verdicts may."""
    plugin = list_plugins("verifier").get("code")
    version = plugin and [plugin.value, plugin.dist and plugin.dist.version]
    values = [describe_rules(), code.to_json(), version]
    digest = hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16)
    for pattern in _CODE_MODULES:
        for path in sorted(_PACKAGE.glob(pattern)):
            if path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()


async def _find_differences(
    run: Run,
    verifier: Verifier,
    problems: Mapping[str, Problem],
    labels: Mapping[str, bool],
    verdicts: Mapping[str, Verdict],
    on_progress: OnProgress,
) -> list[Difference]:
    """Return the differences of trajectories whose verdict is not their label, each graded a second time."""
    on_done = count_progress("grade the differences again", len(labels), on_progress)
    differences: list[Difference] = []
    for pool in run.pools(tokens=False) if labels else ():
        trajectories = [trajectory for trajectory in pool.trajectories if trajectory.id in labels]
        if not trajectories:
            continue
        problem = problems[pool.problem_id]
        for again in await verifier.verify(problem, trajectories):
            label, verdict = labels[again.trajectory_id], verdicts[again.trajectory_id]
            cause = find_cause(problem, label, verdict)
            if cause is not None:
                cause = cause if again.correct == verdict.correct else UNSTABLE
                details = (verdict.answer, problem.target, verdict.note)
                differences.append(Difference(again.trajectory_id, label, verdict.correct, cause, *details))
        on_done(len(trajectories), 0)
    return differences
