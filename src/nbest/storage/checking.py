# pyright: standard
"""Verifies every file of a run, one after the other, and goes on after a fault.

Every byte is read. This module does not know which command repairs what.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from nbest.storage import manifest as manifests
from nbest.storage import origins
from nbest.storage.json_checksums import has_checksum
from nbest.storage.parquet import SUFFIX, has_checksums, read_ids, scan, verify_part
from nbest.storage.parts import is_temporary, list_parts
from nbest.storage.problem_parts import NAME as PROBLEMS_NAME
from nbest.storage.run import Run
from nbest.storage.states import SUFFIX as STATES_SUFFIX
from nbest.storage.states import StatesPart
from nbest.storage.tables import PROBLEMS, SCORES, SELECTIONS, SKIPS, TRAJECTORIES, VERDICTS, Table


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of a run. `stage` is what it holds: manifest, problems, trajectories, states, skips, verdicts, scores,
    selections or origin; `name` is that of the scorer or selector, "" for others."""

    path: Path
    stage: str
    name: str = ""
    table: Table | None = None


@dataclass(slots=True)
class RunIds:
    """The ids of the problems and trajectories in the files of a run."""

    problems: set[str] = field(default_factory=set[str])
    trajectories: set[str] = field(default_factory=set[str])


def list_files(folder: Path) -> list[RunFile]:
    """Return the files of the run in a folder: first the manifest, then the stages in their order."""
    run = Run(folder, {"identity": {}, "info": {}})
    files = [RunFile(folder / manifests.NAME, "manifest")]
    if (folder / PROBLEMS_NAME).exists():
        files.append(RunFile(folder / PROBLEMS_NAME, "problems", table=PROBLEMS))
    files += [RunFile(path, "problems", table=PROBLEMS) for path in list_parts(folder / "problems", SUFFIX)]
    files += [RunFile(path, "trajectories", table=TRAJECTORIES) for path in list_parts(folder / "trajectories", SUFFIX)]
    files += [RunFile(path, "states") for path in list_parts(folder / "states", STATES_SUFFIX)]
    if (folder / "verdicts" / origins.NAME).exists():
        files.append(RunFile(folder / "verdicts" / origins.NAME, "origin", "verdicts"))
    files += [RunFile(path, "skips", table=SKIPS) for path in list_parts(run.skips_folder, SUFFIX)]
    files += [RunFile(path, "verdicts", table=VERDICTS) for path in list_parts(folder / "verdicts", SUFFIX)]
    for stage, names, table in (("scores", run.scorers(), SCORES), ("selections", run.selectors(), SELECTIONS)):
        for name in names:
            if (folder / stage / name / origins.NAME).exists():
                files.append(RunFile(folder / stage / name / origins.NAME, "origin", f"{stage}/{name}"))
            files += [RunFile(path, stage, name, table) for path in list_parts(folder / stage / name, SUFFIX)]
    return files


def verify_file(file: RunFile) -> bool:
    """Read every byte of a file; return whether all of it has checksums. Raises DamagedRunError, DataError, ConfigError
    for a manifest that does not exist, StorageError, FileNotFoundError for a part that was replaced meanwhile."""
    if file.table is not None:
        verify_part(file.path, file.table)
        return has_checksums(file.path)
    if file.stage == "manifest":
        manifests.read_manifest(file.path)
        return has_checksum(file.path)
    if file.stage == "origin":
        origins.read_origin(file.path.parent)
        return has_checksum(file.path)
    part = StatesPart(file.path)
    for key in part.entries:
        part.read(key)
    return True


def add_ids(file: RunFile, ids: RunIds) -> Mapping[str, int]:
    """Add the ids of a sound file to `ids`; return how many of its rows belong to nothing in `ids`, by what is missing.

    Files must come in the order of `list_files`.
    """
    if file.stage == "problems":
        ids.problems.update(_read_keys(file))
    elif file.stage == "trajectories":
        ids.trajectories.update(_read_keys(file))
        problem_ids = {
            key for rows in scan(file.path, TRAJECTORIES, ["problem_id"]) for key in rows.column(0).to_pylist()
        }
        return {"problems": len(problem_ids - ids.problems)}
    elif file.stage == "selections":
        return {"problems": len(set(_read_keys(file)) - ids.problems)}
    elif file.stage in ("verdicts", "scores", "states", "skips"):
        return {"trajectories": len(set(_read_keys(file)) - ids.trajectories)}
    return {}


def list_temporaries(folder: Path) -> list[Path]:
    """Return the temporary files under a run: of processes that write now, or were killed."""
    return [path for path in sorted(folder.rglob(".*")) if is_temporary(path)]


def _read_keys(file: RunFile) -> Iterator[str]:
    if file.table is None:
        yield from StatesPart(file.path).entries
    else:
        yield from cast("list[Any]", read_ids(file.path, file.table).to_pylist())
