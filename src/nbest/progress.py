"""The progress of a piece of work, reported to a callback. Nothing here knows a terminal or what the work is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

OnDone: TypeAlias = Callable[[int, int], None]
"""Called with how many items were written since the last call, and how many tokens they have."""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """The progress of a stage. `stage` is its name, or the name of the scorer or selector at work.

    `done` of `total` items are written or read (None: the total is not known yet); these have `tokens` sampled tokens,
    0 if the stage does not sample. With the `unit` "bytes" it is bytes that are counted. A stage that counts nothing
    (`report_activity`) stays at 0 of None.
    """

    stage: str
    done: int
    total: int | None
    tokens: int = 0
    unit: Literal["items", "bytes"] = "items"

    @property
    def is_activity(self) -> bool:
        """Whether nothing has been counted yet, and it is not known how much there is."""
        return not self.done and self.total is None


OnProgress: TypeAlias = Callable[[StageProgress], None]


def ignore_progress(progress: StageProgress) -> None:
    """Do nothing; the default if no progress is wanted."""
    del progress


def report_activity(activity: str, on_progress: OnProgress) -> None:
    """Report that something takes a while which counts nothing, such as the loading of a model."""
    on_progress(StageProgress(activity, 0, None))


def count_progress(stage: str, total: int | None, on_progress: OnProgress) -> OnDone:
    """Return a callback that adds up the items and tokens written and reports the sums; report the start at once."""
    done, tokens = 0, 0
    on_progress(StageProgress(stage, 0, total))

    def on_done(new_items: int, new_tokens: int) -> None:
        nonlocal done, tokens
        done, tokens = done + new_items, tokens + new_tokens
        on_progress(StageProgress(stage, done, total, tokens))

    return on_done
