"""What is kept of a command that is stopped: one sentence for each command.

Only the standard library is imported here (see `signals.py`).
"""

import os
from collections.abc import Sequence
from contextlib import suppress

_STAGES = {"sample", "encode", "verify", "score", "select"}
"""Commands whose progress counts what is written."""
_CONTINUE = "Run the same command again to continue."
_FILES = "Files are written whole or not at all, and runs are unchanged. Run the same command again."
_SENTENCES = {
    "demo": f"Everything that was finished is kept. {_CONTINUE}",
    "import": "What was imported is kept. Run the same command again to add the rest.",
    "train": "The checkpoints that were saved are kept. Run the same command again to continue from the last one.",
    "compact": f"The run holds the same records as before. {_CONTINUE}",
    "drop": "The run is whole; a part of what was named may have been removed. Run the same command again.",
    "export": _FILES,
    "report": _FILES,
    "tasks": _FILES,
    "compare": _FILES,
}
_written: dict[str, tuple[int, int | None]] = {}
_runs_at_start: set[str] = set()
"""Those words of the command that named a run when it began."""


def remember_runs(words: Sequence[str]) -> None:
    """Remember, when a command begins, which of its words name a run that exists already."""
    _runs_at_start.clear()
    with suppress(OSError, ValueError):
        _runs_at_start.update(word for word in words if os.path.exists(os.path.join(word, "run.json")))


def record_written(stage: str, done: int, total: int | None) -> None:
    """Record the progress of a stage: how much of `total` it has written (None: the total is unknown)."""
    if done:
        _written[stage] = (done, total)


def forget_written() -> None:
    """Forget what was recorded, when a command begins."""
    _written.clear()


def describe_kept(words: Sequence[str]) -> str:
    """Return what is kept of a command with these arguments, and what to do."""
    command = next((word for word in words if not word.startswith("-")), "")
    if command == "train" and "combined" in words:
        return _FILES
    if command == "ask":
        has_run = any(word == "--run" or word.startswith("--run=") for word in words)
        return f"The finished trajectories are kept. {_CONTINUE}" if has_run else "Without --run nothing is kept."
    if command in _STAGES:
        parts = [_describe_stage(stage, *counts) for stage, counts in list(_written.items())]
        # Only `sample` creates a run; the others need one.
        is_new = command == "sample" and not _runs_at_start.intersection(words)
        parts += [] if is_new else ["everything that was stored before"]
        return f"Kept: {', '.join(parts)}. {_CONTINUE}" if parts else "Kept: nothing yet. Run the same command again."
    return _SENTENCES.get(command, "Nothing was changed.")


def _describe_stage(stage: str, done: int, total: int | None) -> str:
    return f"{stage} {done:,}" + ("" if total is None else f" of {total:,}")
