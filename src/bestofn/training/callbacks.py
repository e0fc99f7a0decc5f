"""What our trainers share: a JSON-lines log, progress for a bar, where to go on. Knows no model and no terminal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback


class LogFile(TrainerCallback):
    """Appends each logged line to a JSON-lines file, from the main process alone."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:  # noqa: ARG002
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"update": state.global_step, **(logs or {})}) + "\n")


class Progress(TrainerCallback):
    """Calls `on_update(updates done, updates in all)` after each update."""

    def __init__(self, on_update: Callable[[int, int], None]):
        self.on_update = on_update

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.on_update(state.global_step, state.max_steps)


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
