"""Where the verdicts on code come from: the sandbox, the limits and the mode, recorded beside them in `verdicts/`.

Verdicts of two modes, or of other limits, are not mixed in one run. The sandbox with its packages is recorded and not
compared: a run may be continued on another machine. This module does not run programs.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from shlex import quote
from typing import Any

from nbest.errors import ConfigError
from nbest.records import Verdict
from nbest.sandbox.executions import Isolation
from nbest.stages.dropping import VERDICTS
from nbest.storage.origins import Origin, list_differences, read_origin, remove_origin, write_origin
from nbest.storage.parquet import SUFFIX
from nbest.storage.parts import list_parts
from nbest.storage.run import Run
from nbest.verifying.code.settings import CodeSettings
from nbest.verifying.code.verifier import DIFFERS
from nbest.version import VERSION


def describe_code_verdicts(settings: CodeSettings, isolation: Isolation) -> Origin:
    """Return the origin of verdicts on code."""
    values = settings.to_json()
    mode = values.pop("mode")
    where = f"in the sandbox {isolation.backend!r}" if isolation.is_isolated else "WITHOUT isolation"
    info = {
        "summary": f"code graded in mode {mode!r} {where}",
        "isolation": asdict(isolation),
        "written": datetime.now(UTC).isoformat(),
        "versions": {"nbest": VERSION},
    }
    return Origin({"method": "code", "mode": mode, "limits": values}, info)


def record_code_verdicts(run: Run, origin: Origin) -> None:
    """Write the origin before the first verdict. Raises ConfigError where stored verdicts have another one."""
    folder = run.path / VERDICTS
    has_verdicts = bool(list_parts(folder, SUFFIX))
    if not has_verdicts:
        remove_origin(folder)
    elif read_origin(folder) is None:
        # Imported verdicts, those of an earlier version, and those of a time when nothing could be run.
        origin = Origin(origin.identity, {**origin.info, "has_earlier_rows_of_unknown_origin": True})
    run.materialize()
    if not write_origin(folder, origin):
        require_same_code_verdicts(run, origin)


def require_same_code_verdicts(run: Run, origin: Origin) -> None:
    """Raise ConfigError where the stored verdicts have another origin, with what differs; write nothing."""
    stored = read_origin(run.path / VERDICTS)
    faults = list(list_differences(stored.identity, origin.identity)) if stored else []
    if stored is not None and faults:
        rule = f"{run.path}: its verdicts are of {stored.summary}, and this is {origin.summary}. They are not mixed:"
        advice = f"To grade everything again, remove them first: nbest drop {quote(str(run.path))} {VERDICTS}"
        raise ConfigError([rule, *faults, advice])


def read_code_verdicts(run: Run) -> Mapping[str, Any] | None:
    """Return how the verdicts on code were made, for a report; None where it was not recorded."""
    origin = read_origin(run.path / VERDICTS)
    if origin is None:
        return None
    return {**origin.identity, "isolation": origin.info.get("isolation")}


def find_mode_difference(verdict: Verdict) -> dict[str, Any] | None:
    """Return a verdict on which upstream's runner disagrees, as its note says; None for others."""
    if DIFFERS not in verdict.note:
        return None
    return {"trajectory_id": verdict.trajectory_id, "correct": verdict.correct, "note": verdict.note}
