"""Plans the rows of a trajectory that may be longer than the reward model's window, as `too_long` says.

The question is never cut and a step is never split. This module does not know how a row is scored.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from nbest.errors import ConfigError, DataError
from nbest.plurals import show_count
from nbest.scoring.reward.families import RewardFamily, TooLong
from nbest.scoring.reward.inputs import RewardInput, RewardReader

TOO_LONG = get_args(TooLong)
"""What to do with a trajectory that does not fit.

    error                raise a DataError that names the trajectory, its tokens, the window and these choices
    skip                 give it no score (NaN, no steps) and count it
    truncate-left-steps  read the question and the latest whole steps that fit; earlier steps get no reward; count it
    window               slide over whole steps beside the question: each step is scored once, with as many steps
                         before it as fit into half of the window; count it. Process models only
"""


def check_too_long(too_long: str, family: RewardFamily) -> None:
    """Raise ConfigError if `too_long` is unknown, or not possible for such a model."""
    if too_long not in TOO_LONG:
        raise ConfigError(f"too_long: got {too_long!r}; allowed are {list(TOO_LONG)}")
    if too_long == "window" and family.is_process and not family.allows_windows:
        raise ConfigError(
            f"too_long: got 'window' for family {family.name!r}, whose rewards are sums over the whole response; "
            "allowed for it are 'error', 'skip' and 'truncate-left-steps'"
        )
    if too_long == "window" and not family.is_process:
        raise ConfigError(
            "too_long: got 'window' for an outcome model, which has one reward for a whole response; "
            "allowed for it are 'error', 'skip' and 'truncate-left-steps'"
        )


def plan_inputs(
    reader: RewardReader, question: str, steps: Sequence[str], window_tokens: int | None, too_long: TooLong
) -> list[RewardInput]:
    """Return the rows to compute for one trajectory, in step order; their positions together are its rewards.

    There is one row where everything fits (`window_tokens=None`: no limit is known); otherwise none under "skip".
    Raises DataError under "error", and if the question and a single step alone do not fit.
    """
    row = reader.write(question, steps)
    if window_tokens is None or len(row.tokens) <= window_tokens:
        return [row]
    if too_long == "skip":
        return []
    if too_long == "window":
        return _slide(reader, question, steps, window_tokens)
    if too_long == "truncate-left-steps":
        count = len(steps)

        def fits(first: int) -> bool:
            return len(reader.write(question, steps[first:]).tokens) <= window_tokens

        first = bisect_left(range(count), True, key=fits)
        if first == count:
            raise _complain(reader, question, steps[-1], window_tokens)
        return [replace(reader.write(question, steps[first:]), is_shortened=True)]
    raise DataError(
        f"question and steps are {show_count(len(row.tokens), 'token')} long, the reward model's window holds "
        f"{window_tokens}. Nothing is cut silently. Choose: too_long = 'skip' (no score), "
        f"'truncate-left-steps' (the latest whole steps), 'window' (sliding; process models), thinking = "
        f"'answer' (leave the reasoning out), or a model with a longer window"
    )


def _slide(reader: RewardReader, question: str, steps: Sequence[str], window_tokens: int) -> list[RewardInput]:
    def count_tokens(first: int, end: int) -> int:
        return len(reader.write(question, steps[first:end]).tokens)

    rows: list[RewardInput] = []
    first = next_step = 0
    while next_step < len(steps):
        ends = range(first + 1, len(steps) + 1)
        end = first + bisect_left(ends, True, key=lambda stop, at=first: count_tokens(at, stop) > window_tokens)
        if end <= next_step and first == next_step:
            raise _complain(reader, question, steps[next_step], window_tokens)
        if end <= next_step:
            # The next step does not fit beside the steps before it: it is read with the question alone.
            first = next_step
            continue
        row = reader.write(question, steps[first:end])
        rows.append(replace(row, positions=row.positions[next_step - first :]))
        next_step = end
        starts = range(first, next_step)
        first += bisect_left(
            starts, True, key=lambda start, at=next_step: count_tokens(start, at) <= window_tokens // 2
        )
    return rows


def _complain(reader: RewardReader, question: str, step: str, window_tokens: int) -> DataError:
    needed = len(reader.write(question, [step]).tokens)
    return DataError(
        f"the question and one step alone are {show_count(needed, 'token')} long, the reward model's window holds "
        f"{window_tokens}; neither is ever cut. Use too_long = 'skip', or a model with a longer window"
    )
