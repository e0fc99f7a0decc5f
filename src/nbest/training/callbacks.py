"""What our trainers share: a JSON-lines log, progress for a bar, where to go on. Knows no model and no terminal."""

import ctypes
import gc
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback


class LogFile(TrainerCallback):
    """Appends each logged line to a JSON-lines file, from the main process alone. A run that goes on from a checkpoint
    first drops the lines of updates that it will do again."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if state.is_world_process_zero:
            keep_until(self.path, state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:  # noqa: ARG002
        if state.is_world_process_zero:
            append_lines(self.path, [{"update": state.global_step, **(logs or {})}])


class Progress(TrainerCallback):
    """Calls `on_update(updates done, updates in all)` after each update."""

    def __init__(self, on_update: Callable[[int, int], None]):
        self.on_update = on_update

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.on_update(state.global_step, state.max_steps)


class FreedMemory(TrainerCallback):
    """Gives freed memory back to the system with each checkpoint.

    glibc keeps the blocks of batches of ever other widths, in pieces too small for the next one: the process of a small
    model on CPU grows by gigabytes in a hundred updates, though it holds no more tensors than before.
    """

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if self._trim is not None:
            gc.collect()
            self._trim(0)


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Each with its `update`; without a last one that was cut when its process was killed."""
    rows = list[dict[str, Any]]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def keep_until(path: Path, update: int) -> None:
    """Only the lines until `update` stay in the log; before the first update none."""
    if not path.is_file():
        return
    kept = [row for row in read_lines(path) if row["update"] <= update and update > 0]
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    append_lines(fresh, kept)
    fresh.replace(path)


def silence(trainer: Trainer) -> None:
    """No dictionaries printed line by line: the log has them."""
    trainer.remove_callback(PrinterCallback)


def find_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint under `folder`, None where there is none.

    A process killed while it wrote leaves one without (all of) `trainer_state.json`, which is written last: that one is
    passed over.
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
