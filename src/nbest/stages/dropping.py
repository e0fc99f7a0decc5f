"""Drop results of a run by name: the verdicts, or the scores or selections under one name.

Each of them is removed as a whole: a command that is killed has removed it or not. The trajectories stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nbest.errors import ConfigError, DamagedRunError, StorageError
from nbest.specs import did_you_mean
from nbest.stages.flow import path_of
from nbest.storage import manifest as manifests
from nbest.storage.claims import Claims
from nbest.storage.origins import Origin, read_origin
from nbest.storage.parquet import SUFFIX
from nbest.storage.parts import list_parts
from nbest.storage.removal import remove_folder, remove_leftovers
from nbest.storage.run import Run

VERDICTS = "verdicts"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was removed.

    `rows` is None if a damaged part did not say how many there were. `origin` names the method that they were from, ""
    if it was not recorded. `dependents` names the selections, still stored, that were made from these scores.
    """

    name: str
    rows: int | None
    size_bytes: int
    origin: str
    dependents: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": self.rows,
            "bytes": self.size_bytes,
            "origin": self.origin or None,
            "dependents": list(self.dependents),
        }


def drop(run: Run | str | Path, names: Sequence[str]) -> list[Dropped]:
    """Remove results from a run. `names` are `scores/NAME`, `selections/NAME` and `verdicts`.

    Raises ConfigError, before anything is removed, for a name that the run does not have; StorageError if another
    process is writing under it. Damaged parts are removed as well.
    """
    path = path_of(run)
    # Not `Run.open`, which refuses a run with a damaged part.
    opened = run if isinstance(run, Run) else Run(path.absolute(), manifests.read_manifest(path / manifests.NAME))
    targets = list(dict.fromkeys(names))
    known = _list_names(opened)
    listed = f"it has {', '.join(known)}" if known else "it has no verdicts, scores or selections"
    faults = [f"{path}: nothing is stored as {name!r}; {listed}." for name in targets if name not in known]
    hints = [did_you_mean(name, known) for name in targets if name not in known]
    if faults:
        raise ConfigError([fault + hint for fault, hint in zip(faults, hints, strict=True)])
    return [_drop(opened, name) for name in targets]


def _list_names(run: Run) -> list[str]:
    verdicts = [VERDICTS] if list_parts(run.path / VERDICTS, SUFFIX) else []
    scores = [f"scores/{name}" for name in run.scorers()]
    return [*verdicts, *scores, *(f"selections/{name}" for name in run.selectors())]


def _drop(run: Run, name: str) -> Dropped:
    folder = run.path / name
    with Claims(run.path) as claims:
        if not claims.take(name):
            raise StorageError(
                f"{run.path}: another process is writing {name}. Nothing was removed: wait until it is done, or stop "
                "it, and run this command again."
            )
        rows = _count_rows(run, name)
        size_bytes = sum(path.stat().st_size for path in list_parts(folder, SUFFIX))
        origin = _read_origin(folder)
        remove_leftovers(folder.parent)
        remove_folder(folder)
    summary = "" if origin is None else origin.summary
    return Dropped(name, rows, size_bytes, summary, _find_dependents(run, name))


def _count_rows(run: Run, name: str) -> int | None:
    stage, _, label = name.partition("/")
    try:
        if stage == VERDICTS:
            return len(run.done_verdicts())
        return len(run.done_scores(label) if stage == "scores" else run.done_selections(label))
    except DamagedRunError:
        return None


def _read_origin(folder: Path) -> Origin | None:
    """Return the origin of what is stored in a folder; None if it was not recorded or is damaged."""
    try:
        return read_origin(folder)
    except DamagedRunError:
        return None


def _find_dependents(run: Run, name: str) -> tuple[str, ...]:
    """Return the selections that were made from scores of this name, as far as their origins say so."""
    stage, _, scorer = name.partition("/")
    if stage != "scores":
        return ()
    dependents: list[str] = []
    for selector in run.selectors():
        origin = _read_origin(run.results_folder("selections", selector))
        scores = {} if origin is None else cast("dict[str, Any]", origin.identity.get("scores", {}))
        if scorer in scores:
            dependents.append(f"selections/{selector}")
    return tuple(dependents)
