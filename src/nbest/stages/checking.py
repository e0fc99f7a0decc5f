"""Verify every file of a run, and say for each fault what to do.

A damaged part is moved out of the run, and the stage that wrote it does again what is then missing. This module
changes nothing in the run.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Any, cast

from nbest.errors import ConfigError, DamagedRunError, DataError, NbestError
from nbest.plurals import show_part
from nbest.stages.flow import OnProgress, count_progress, ignore_progress
from nbest.storage import manifest as manifests
from nbest.storage.checking import RunFile, RunIds, add_ids, list_files, list_temporaries, verify_file
from nbest.storage.newer import describe_newer_run
from nbest.storage.parquet import read_records
from nbest.storage.tables import SKIPS

_NOTHING: Mapping[str, Any] = {}
_KINDS = {name: name for name in ("verdicts", "scores", "selections", "skips")} | {"states": "hidden states"}


@dataclass(frozen=True, slots=True)
class RunFault:
    """A file that cannot be used. `fault` says why, `advice` what to do, and `commands` are the lines to type."""

    path: Path
    stage: str
    fault: str
    advice: str
    commands: tuple[str, ...] = ()
    is_damage: bool = True

    def describe(self) -> str:
        """Return the fault, the advice and the commands as lines of text."""
        lines = [f"  {self.advice}"] if self.advice else []
        return "\n".join([f"{self.path}: {self.fault}", *lines, *(f"    {line}" for line in self.commands)])

    def to_json(self) -> dict[str, Any]:
        texts = {"path": str(self.path), "stage": self.stage, "fault": self.fault, "advice": self.advice}
        return texts | {"commands": list(self.commands)}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of `check`. `files` and `size_bytes` count what was read; `notes` are about what is not a fault."""

    run: Path
    files: int
    size_bytes: int
    faults: tuple[RunFault, ...]
    notes: tuple[str, ...]

    def raise_faults(self) -> None:
        """Raise DamagedRunError with all faults, or DataError if none is damage but a newer version wrote the files."""
        if self.faults:
            count = len(self.faults)
            head = f"{self.run}: {show_part(count, self.files, 'file')} cannot be used. Nothing was changed."
            lines = "\n".join([head, *(fault.describe() for fault in self.faults)])
            raise DamagedRunError(lines) if any(fault.is_damage for fault in self.faults) else DataError(lines)

    def to_json(self) -> dict[str, Any]:
        sizes = {"run": str(self.run), "files": self.files, "bytes": self.size_bytes}
        return sizes | {"faults": [fault.to_json() for fault in self.faults], "notes": list(self.notes)}


def check(run: str | Path, *, on_progress: OnProgress = ignore_progress) -> CheckReport:
    """Read every byte of every file of a run, and verify all checksums and that the rows belong together.

    Raises ConfigError if the folder holds no run.
    """
    path = Path(run)
    files, faults = list_files(path), list[RunFault]()
    if len(files) == 1 and not files[0].path.exists():
        manifests.read_manifest(files[0].path)
    manifest = _read_manifest(path)
    on_done = count_progress("check", len(files), on_progress)
    sound, without_checksums, size_bytes = list[RunFile](), 0, 0
    for file in files:
        try:
            size_bytes += file.path.stat().st_size
            without_checksums += not verify_file(file)
            sound.append(file)
        except FileNotFoundError:
            # A compaction, or a command that drops results, removed this part meanwhile.
            pass
        except NbestError as error:
            faults.append(_make_fault(path, manifest, file, error))
        on_done(1, 0)
    missing = _count_missing(sound, {fault.stage for fault in faults})
    faults += [
        _make_fault(path, manifest, file, DamagedRunError(_FOREIGN.format(count=counts["problems"])))
        for file, counts in missing
        if file.stage == "trajectories"
    ]
    notes = [*_describe_skips(sound), *_describe_orphans(missing), *_describe_state(path, manifest, without_checksums)]
    return CheckReport(path, len(files), size_bytes, tuple(faults), tuple(notes))


_FOREIGN = "it holds trajectories of {count:,} problems that are not among those of this run"


def _read_manifest(path: Path) -> Mapping[str, Any]:
    """Return the manifest; one without content if it cannot be read."""
    try:
        return manifests.read_manifest(path / manifests.NAME)
    except (ConfigError, DataError):
        return {"identity": {}, "info": {}}


def _count_missing(files: Sequence[RunFile], faulty_stages: set[str]) -> list[tuple[RunFile, Mapping[str, int]]]:
    """Return the files with rows that belong to nothing in the run, with their number by what is missing.

    What is missing is unknown where a file that may hold it is damaged.
    """
    ids, missing = RunIds(), list[tuple[RunFile, Mapping[str, int]]]()
    for file in files:
        counts = {name: count for name, count in add_ids(file, ids).items() if count and name not in faulty_stages}
        if counts:
            missing.append((file, counts))
    return missing


def _describe_orphans(missing: Sequence[tuple[RunFile, Mapping[str, int]]]) -> list[str]:
    counts: Counter[tuple[str, str]] = Counter()
    for file, by_name in missing:
        if file.stage in _KINDS:
            kind = f"{_KINDS[file.stage]} {file.name}".strip()
            counts.update({(kind, name): count for name, count in by_name.items()})
    return [
        f"{kind}: rows about {name} that the run does not hold: {count:,}. No figure rests on them"
        for (kind, name), count in counts.items()
    ]


def _describe_skips(files: Sequence[RunFile]) -> list[str]:
    counts: Counter[str] = Counter()
    for file in files:
        if file.stage == "skips":
            counts.update(skip.reason for skip in read_records(lambda path=file.path: [path], SKIPS))
    if not counts:
        return []
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
    return [f"hidden states: could not be computed of {reasons}. `nbest encode RUN --redo failed` tries these again"]


def _describe_state(path: Path, manifest: Mapping[str, Any], without_checksums: int) -> list[str]:
    notes: list[str] = []
    if newer := describe_newer_run(manifest):
        notes.append(f"{newer}; what it added is not verified")
    if without_checksums:
        notes.append(
            f"files of an earlier version, without checksums of all of their bytes: {without_checksums:,}. Those that "
            "they have were verified"
        )
    if temporaries := len(list_temporaries(path)):
        notes.append(
            f"temporary files of commands that run now or were killed: {temporaries:,}. After an hour `nbest compact` "
            "removes them"
        )
    return notes


def _make_fault(path: Path, manifest: Mapping[str, Any], file: RunFile, error: NbestError) -> RunFault:
    if not isinstance(error, DamagedRunError):
        # The message of an error that is no damage says what to do: give permission, or install a newer version.
        return RunFault(
            file.path,
            file.stage,
            str(error).removeprefix(f"{file.path}: "),
            "",
            (),
            isinstance(error, ConfigError),
        )
    folder = path.with_name(f"{path.absolute().name}.damaged")
    target = folder / file.path.relative_to(path).parent
    move = f"{join(['mkdir', '-p', str(target)])} && {join(['mv', str(file.path), str(target)])}"
    advice, command = _find_remedy(path, manifest, file)
    return RunFault(file.path, file.stage, error.fault, advice, (move, *command))


def _find_remedy(path: Path, manifest: Mapping[str, Any], file: RunFile) -> tuple[str, tuple[str, ...]]:
    """Return the advice, and the commands that follow the removal of a damaged file."""
    identity, run = manifest["identity"], str(path)
    limit = file.name.rpartition("@")
    match file.stage:
        case "manifest":
            return (
                "Restore a copy of it. Without one, move it away and run the command that created the run again "
                "with the same settings; the parts stay.",
                (),
            )
        case "origin":
            return "Move it away: the results stay, and where they come from is unknown then.", ()
        case "states":
            return "Move it away and compute its hidden states again:", (join(["nbest", "encode", run]),)
        case "skips":
            return "Move it away and encode again what was skipped:", (join(["nbest", "encode", run]),)
        case "verdicts":
            return "Move it away and grade its trajectories again:", (join(["nbest", "verify", run]),)
        case "scores":
            command = join(["nbest", "score", run, "-s", file.name])
            return "Move it away and score its trajectories again, with the options of the first time:", (command,)
        case "selections":
            n = ["--n", limit[2]] if limit[1] and limit[2].isdecimal() else []
            command = join(["nbest", "select", run, "-s", limit[0] if n else file.name, *n])
            return "Move it away and select again, with the options of the first time:", (command,)
        case _:
            pass
    if "imported" in identity:
        format = str(identity["imported"]).removeprefix("import_").replace("_", "-")
        files = cast("list[str]", manifest["info"].get("files", []))
        return "Move it away and import it again:", (join(["nbest", "import", format, run, *files]),)
    if "sampling" in identity and "problems" in identity:
        return (
            "Move it away and sample again with the settings in run.json; the same seeds draw the same trajectories:",
            (join(["nbest", "sample", run]) + " ...",),
        )
    return "Move it away and run the command that wrote it again with the same settings.", ()
