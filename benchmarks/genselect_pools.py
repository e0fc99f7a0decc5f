"""Copy the first N candidates of verified pools for `genselect.py`, and tabulate accuracy over the copies.

The source runs are only read. In a copy every selector sees the same N candidates, so each n of a comparison is the
size of the pool: there majority and random are exact, and ties share the credit.
"""

import fcntl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from genselect_judges import describe_counts, format_faults
from selection import tell_gap

from nbest.judging.conversation import JudgementCounts
from nbest.measuring.measurement import measure
from nbest.measuring.pairing import pair_with_baseline
from nbest.measuring.question import Question
from nbest.records import trajectory_id
from nbest.selecting.estimators import Contestant
from nbest.statistics.intervals import RESAMPLES, intervals
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

BATCH_POOLS = 64
STORED = "stored:"

ItemT = TypeVar("ItemT")
Gaps = dict[str, dict[str, dict[str, Any]]]
"""The paired differences, by baseline and selector."""


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold a lock, because several questions may run at once on the same copies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def copy_pools(source: Run, path: Path, count: int, n: int, scorers: Sequence[str] = ()) -> Run:
    """Make a run at `path` with the first `n` trajectories of the first `count` problems, their verdicts and these
    scores.

    A copy that was killed is completed. Exits if a pool is smaller.
    """
    identity = {"copy_of": str(source.path), "problems": count, "n": n}
    policy = source.manifest["identity"].get("policy")
    with _locked(path.with_name(f".{path.name}.lock")):
        copy = Run.create(path, {"identity": identity | ({"policy": policy} if policy else {}), "info": {}})
        problems = list(islice(source.problems(), count))
        copy.write_problems(problems)
        _copy_trajectories(source, copy, [problem.id for problem in problems], n)
        ids = copy.done_trajectories()
        for name in scorers:
            if name not in source.scorers():
                raise SystemExit(f"{source.path} has no scores of {name!r}: score it with `nbest score -s {name}`")
            missing = ids - copy.done_scores(name)
            scores = (score for score in source.scores(name) if score.trajectory_id in missing)
            for batch in _batches(scores, 65_536):
                copy.append_scores(name, batch)
    return copy


def _copy_trajectories(source: Run, copy: Run, ids: Sequence[str], n: int) -> None:
    done, graded = copy.done_trajectories(), copy.done_verdicts()
    missing = [key for key in ids if not {trajectory_id(key, index) for index in range(n)} <= done & graded]
    if not missing:
        return
    verdicts = {verdict.trajectory_id: verdict for verdict in source.verdicts()}
    for batch in _batches(source.pools(missing, tokens=False), BATCH_POOLS):
        short = [pool.problem_id for pool in batch if len(pool.trajectories) < n]
        if short:
            raise SystemExit(f"{source.path}: problem {short[0]!r} has fewer than {n} trajectories")
        members = [t for pool in batch for t in pool.trajectories[:n]]
        stateless = [replace(t, completion=replace(t.completion, states=None)) for t in members]
        copy.append_trajectories([t for t in stateless if t.id not in done])
        copy.append_verdicts([verdicts[t.id] for t in members if t.id not in graded])


def compare_pools(
    run: Run,
    n: int,
    selectors: Mapping[str, str | Contestant],
    pairs: Mapping[str, Sequence[str]],
    equivalence: Equivalence,
) -> tuple[dict[str, dict[str, Any]], Gaps]:
    """Return the accuracy of `selectors` (by printed name, as `compare` takes them), and paired differences.

    For each baseline in `pairs` these are the differences of the selectors named there; p-values are corrected (Holm)
    within a baseline.
    """
    names = {
        label: selector.name if isinstance(selector, Contestant) else selector for label, selector in selectors.items()
    }
    question = Question(list(selectors.values()), [n], baseline=next(iter(names.values())))
    measurement = measure(run, question, equivalence)
    bounds = intervals(np.concatenate([measurement.accuracy[name] for name in names.values()], axis=1), seed=0)
    rows: dict[str, dict[str, Any]] = {}
    for (label, name), bound in zip(names.items(), bounds, strict=True):
        abstained = float(np.nanmean(measurement.abstained[name]))
        rows[label] = {"accuracy": bound.mean, "low": bound.low, "high": bound.high, "abstained": abstained}
    values = {label: measurement.accuracy[name] for label, name in names.items()}
    return rows, pair_all(values, n, pairs)


def pair_all(values: Mapping[str, Any], n: int, pairs: Mapping[str, Sequence[str]]) -> Gaps:
    """Return the differences of each baseline to its selectors in `pairs`, from `values` [P, 1] per problem."""
    gaps: Gaps = {}
    for baseline, others in pairs.items():
        members = {name: values[name] for name in dict.fromkeys([baseline, *others]) if name in values}
        for row in pair_with_baseline(members, [n], baseline, 0, RESAMPLES) if baseline in members else ():
            fields = ("difference", "low", "high", "p_value", "p_holm", "problems", "problems_differing")
            cell = {name: value for name, value in asdict(row).items() if name in fields}
            gaps.setdefault(baseline, {})[row.selector] = cell
    return gaps


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def format_accuracy(row: Mapping[str, Any]) -> str:
    if row["accuracy"] is None:
        return "-"
    bounds = "" if row["low"] is None else f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    return f"{100 * row['accuracy']:.1f}{bounds}"


def format_gap_to(gaps: Gaps, baseline: str, name: str) -> str:
    gap = gaps.get(baseline, {}).get(name)
    return "" if gap is None else tell_gap((gap["difference"], gap["low"], gap["high"]))


def format_number(value: float | None, form: str) -> str:
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
    """Print the results of the selectors of one pool size, and return them as JSON.

    `second` has the second baseline, besides majority, of each selector that has one.
    """
    print(f"{title}\n")
    heads = ["selector", "accuracy in % [95 %]", "against majority", f"against {second_head}", "abstained", "failed"]
    cells: list[list[str]] = []
    for name, row in rows.items():
        cell = [name, format_accuracy(row), format_gap_to(gaps, "majority", name)]
        cell.append(format_gap_to(gaps, second[name], name) if name in second else "")
        count = counts.get(name)
        if count is None:
            cells.append([*cell, *[""] * 6])
            continue
        summary = describe_counts(count)
        cell += [f"{count.abstained:,}", format_faults(count.failed), format_faults(count.retried)]
        cell += [f"{summary['per_selection']['calls']:.2f}"]
        cell += [format_number(summary["position"][end], ".2f") for end in ("first", "last")]
        cells.append(cell)
    heads += ["retried", "calls per selection", "first position / expected", "last / expected"]
    print_table(heads, [*cells, *([name, f"skipped: {reason}", *[""] * 8] for name, reason in skipped.items())])
    return {
        "accuracy": {name: dict(row) for name, row in rows.items()},
        "paired": gaps,
        "judgements": {name: describe_counts(count) for name, count in counts.items()},
        "skipped": dict(skipped),
    }
