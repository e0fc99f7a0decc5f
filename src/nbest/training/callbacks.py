"""Callbacks and helpers that all trainers use: a JSON-lines log, progress reports, the checkpoint to resume from.

This module does not know any model or terminal.
"""

import ctypes
import gc
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from nbest.storage.outputs import write_file


class LogFile(TrainerCallback):
    """Append each logged line to a JSON-lines file, in the main process only.

    A run that resumes from a checkpoint first removes the lines of updates that it will repeat.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if state.is_world_process_zero:
            truncate_log(self.path, state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:  # noqa: ARG002
        if state.is_world_process_zero:
            append_lines(self.path, [{"update": state.global_step, **(logs or {})}])


class Progress(TrainerCallback):
    """Call `on_update(finished updates, total updates)` after each update."""

    def __init__(self, on_update: Callable[[int, int], None]):
        self.on_update = on_update

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.on_update(state.global_step, state.max_steps)


class MemoryTrimmer(TrainerCallback):
    """Return freed memory to the operating system at each checkpoint.

    Batches of varying width fragment the heap of glibc: without this, training a small model on CPU grows by gigabytes
    in a hundred updates, although it holds no more tensors than before.
    """

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if self._trim is not None:
            gc.collect()
            self._trim(0)


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append each row to a file of JSON lines."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(map(_encode_line, rows))


def _encode_line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines, without lines that are incomplete because their process was killed."""
    rows = list[dict[str, Any]]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def truncate_log(path: Path, update: int) -> None:
    """Remove the lines after `update` from the log; remove all lines if `update` is 0."""
    if not path.is_file():
        return
    rows = [row for row in read_lines(path) if row["update"] <= update and update > 0]
    write_file(path, "".join(map(_encode_line, rows)))


def silence(trainer: Trainer) -> None:
    """Stop the trainer from printing its metrics, which the log holds."""
    trainer.remove_callback(PrinterCallback)


def find_checkpoint(folder: Path) -> str | None:
    """Return the newest complete checkpoint under `folder`, or None.

    If a process was killed while it wrote a checkpoint, `trainer_state.json`, which is written last, is missing or
    incomplete there; such a checkpoint is skipped.
    """

    def number(path: Path) -> int:
        return int(path.name.rpartition("-")[2])

    for path in sorted(folder.glob("checkpoint-*"), key=number, reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return str(path)
    return None
