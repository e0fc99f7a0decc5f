"""What `genselect.py` works on: copies of the first N candidates of verified pools, and tables of accuracy over them.

The source runs are read only. In a copy every selector sees the same N candidates, so each n of a comparison is the
size of the pool: majority and random are exact there, ties share the credit.
"""

import fcntl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from genselect_judges import describe_counts, tell_faults
from selection import tell_gap

from nbest.judging.conversation import JudgementCounts
from nbest.measuring.measurement import measure
from nbest.measuring.pairing import pair_with_baseline
from nbest.measuring.question import Question
from nbest.records import trajectory_id
from nbest.selecting.estimators import Estimator
from nbest.statistics.intervals import RESAMPLES, intervals
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

BATCH_POOLS = 64
STORED = "stored:"

ItemT = TypeVar("ItemT")
Gaps = dict[str, dict[str, dict[str, Any]]]
"""By baseline and selector: the paired difference."""


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One process at a time: the questions may run side by side on the same copies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def copy_pools(source: Run, path: Path, count: int, n: int, scorers: Sequence[str] = ()) -> Run:
    """A run at `path` with the first `n` trajectories of the first `count` problems, their verdicts, and these scores.
    Goes on where it was killed. Exits where a pool is smaller."""
    identity = {"copy_of": str(source.path), "problems": count, "n": n}
    policy = source.manifest["identity"].get("policy")
    with _locked(path.with_name(f".{path.name}.lock")):
        made = Run.create(path, {"identity": identity | ({"policy": policy} if policy else {}), "info": {}})
        chosen = list(islice(source.problems(), count))
        made.write_problems(chosen)
        _copy_trajectories(source, made, [problem.id for problem in chosen], n)
        kept = made.done_trajectories()
        for name in scorers:
            if name not in source.scorers():
                raise SystemExit(f"{source.path} has no scores of {name!r}: score it with `nbest score -s {name}`")
            missing = kept - made.done_scores(name)
            scores = (score for score in source.scores(name) if score.trajectory_id in missing)
            for batch in _batches(scores, 65_536):
                made.append_scores(name, batch)
    return made


def _copy_trajectories(source: Run, made: Run, ids: Sequence[str], n: int) -> None:
    done, judged = made.done_trajectories(), made.done_verdicts()
    missing = [key for key in ids if not {trajectory_id(key, index) for index in range(n)} <= done & judged]
    if not missing:
        return
    verdicts = {verdict.trajectory_id: verdict for verdict in source.verdicts()}
    for batch in _batches(source.pools(missing, tokens=False), BATCH_POOLS):
        short = [pool.problem_id for pool in batch if len(pool.trajectories) < n]
        if short:
            raise SystemExit(f"{source.path}: problem {short[0]!r} has fewer than {n} trajectories")
        members = [each for pool in batch for each in pool.trajectories[:n]]
        plain = [replace(each, completion=replace(each.completion, states=None)) for each in members]
        made.append_trajectories([each for each in plain if each.id not in done])
        made.append_verdicts([verdicts[each.id] for each in members if each.id not in judged])


def compare_pools(
    run: Run,
    n: int,
    selectors: Mapping[str, str],
    pairs: Mapping[str, Sequence[str]],
    equivalence: Equivalence,
    extra: Mapping[str, tuple[Estimator, Sequence[str]]] | None = None,
) -> tuple[dict[str, dict[str, Any]], Gaps]:
    """Accuracy with its interval of `selectors` (printed name: name in `compare`) and of `extra`; and for each baseline
    in `pairs` the paired difference of the selectors named there. p-values are corrected (Holm) within a baseline."""
    known = [name for name in selectors.values() if name not in (extra or {})]
    question = Question(known, [n], baseline=known[0], extra=extra or {})
    found = measure(run, question, equivalence)
    bounds = intervals(np.concatenate([found.accuracy[name] for name in selectors.values()], axis=1), seed=0)
    rows: dict[str, dict[str, Any]] = {}
    for (shown, name), bound in zip(selectors.items(), bounds, strict=True):
        abstained = float(np.nanmean(found.abstained[name]))
        rows[shown] = {"accuracy": bound.mean, "low": bound.low, "high": bound.high, "abstained": abstained}
    values = {shown: found.accuracy[name] for shown, name in selectors.items()}
    return rows, pair_all(values, n, pairs)


def pair_all(values: Mapping[str, Any], n: int, pairs: Mapping[str, Sequence[str]]) -> Gaps:
    """For each baseline the differences of those named with it, from `values` [P, 1] of each problem."""
    gaps: Gaps = {}
    for baseline, others in pairs.items():
        chosen = {name: values[name] for name in dict.fromkeys([baseline, *others]) if name in values}
        for row in pair_with_baseline(chosen, [n], baseline, 0, RESAMPLES) if baseline in chosen else ():
            kept = ("difference", "low", "high", "p_value", "p_holm", "problems", "problems_differing")
            cell = {name: value for name, value in asdict(row).items() if name in kept}
            gaps.setdefault(baseline, {})[row.selector] = cell
    return gaps


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def tell_accuracy(row: Mapping[str, Any]) -> str:
    if row["accuracy"] is None:
        return "-"
    bounds = "" if row["low"] is None else f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    return f"{100 * row['accuracy']:.1f}{bounds}"


def tell_against(gaps: Gaps, baseline: str, name: str) -> str:
    gap = gaps.get(baseline, {}).get(name)
    return "" if gap is None else tell_gap((gap["difference"], gap["low"], gap["high"]))


def tell_number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def show_selections(
    title: str,
    rows: Mapping[str, Mapping[str, Any]],
    gaps: Gaps,
    counts: Mapping[str, JudgementCounts],
    skipped: Mapping[str, str],
    second: Mapping[str, str],
    second_head: str = "the cold start",
) -> dict[str, Any]:
    """Prints what became of the selectors of one pool size; returns it as JSON. `second` names the baseline
    beside majority of each selector that has one."""
    print(f"{title}\n")
    heads = ["selector", "accuracy in % [95 %]", "against majority", f"against {second_head}", "abstained", "failed"]
    cells: list[list[str]] = []
    for name, row in rows.items():
        cell = [name, tell_accuracy(row), tell_against(gaps, "majority", name)]
        cell.append(tell_against(gaps, second[name], name) if name in second else "")
        asked = counts.get(name)
        if asked is None:
            cells.append([*cell, *[""] * 6])
            continue
        told = describe_counts(asked)
        cell += [f"{asked.abstained:,}", tell_faults(asked.failed), tell_faults(asked.retried)]
        cell += [f"{told['per_selection']['calls']:.2f}"]
        cell += [tell_number(told["position"][end], ".2f") for end in ("first", "last")]
        cells.append(cell)
    heads += ["retried", "calls a selection", "first position / expected", "last / expected"]
    print_table(heads, [*cells, *([name, f"skipped: {why}", *[""] * 8] for name, why in skipped.items())])
    return {
        "accuracy": {name: dict(row) for name, row in rows.items()},
        "paired": gaps,
        "judgements": {name: describe_counts(asked) for name, asked in counts.items()},
        "skipped": dict(skipped),
    }
