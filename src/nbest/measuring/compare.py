"""Accuracy of selectors against the number of candidates, on one run or several: curves, intervals, differences.

The value of a problem is an expectation over its own trajectories (`curves`), the accuracy of a row the mean over
problems, its interval a bootstrap over problems (`metrics.intervals`). All rows are resampled together. Where the
expectation is drawn (weighted votes), the Monte Carlo error stands beside it. Differences to a baseline: `pairing`.
Over several runs (benchmarks) the macro average weighs each run alike, the pooled one each problem (`metrics.strata`).

A row at n holds the problems that have at least n judged trajectories; the others are left out of that row, counted
and warned of, because a metric of n candidates is not defined on fewer.

This module does not know how a run is stored, how answers are compared, or how results are drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from nbest.errors import ConfigError
from nbest.measuring.comparison import Comparison
from nbest.measuring.grouping import group_problems
from nbest.measuring.measurement import Measured, default_ns, measure
from nbest.measuring.outcomes import survey
from nbest.measuring.question import BASELINE, Question, Resample
from nbest.measuring.several import SeveralRuns
from nbest.measuring.summary import average, summarise
from nbest.selecting.estimators import Estimator
from nbest.statistics.intervals import RESAMPLES
from nbest.storage.run import Run
from nbest.verifying.equivalence import Clusterer


def compare(
    run: Run,
    selectors: Sequence[str] | None = None,
    ns: Sequence[int] | None = None,
    *,
    equivalence: Clusterer,
    seed: int = 0,
    resamples: int = RESAMPLES,
    baseline: str = BASELINE,
    extra: Mapping[str, tuple[Estimator, Sequence[str]]] = MappingProxyType({}),
    by: str | None = None,
    resample: Resample = "problems",
) -> Comparison:
    """Evaluates `selectors` at every n of `ns` on the trajectories and verdicts of `run`.

    Without `selectors`: every one this run allows (the others are named in `skipped`), the argmax of every stored score
    and one weighted vote of it (`vote:NAME`, or `borda:NAME` where some scores are negative), and `oracle`. Without
    `ns`: the powers of two up to the largest pool, and its size. `equivalence` says which answers are one; it is asked
    once for the distinct answers of each problem, and only for votes. `baseline` is what the others are paired with;
    where it is `majority` and not evaluated, nothing is paired. `extra` are selectors that no run knows by name (a
    fitted mixture, say): an estimator and the scorers whose scores it reads. `seed` fixes the resamples and all drawn
    subsets. `by` also gives a comparison for each value of a field of the problems (`grouping`). `resample` is what the
    intervals draw again: problems, samples of these very problems, or both (`metrics.intervals`).

    Raises ConfigError for a name or an n that cannot be, UnavailableError where trajectories were never verified or
    a selector that was named cannot work on this run, DataError where a pool holds an index twice.
    """
    question = Question(selectors, ns, seed, resamples, baseline, extra, by, resample)
    return answer(run, question, equivalence)


def answer(run: Run, question: Question, equivalence: Clusterer) -> Comparison:
    """`compare` with its settings as one object."""
    return _compare_measured(run, measure(run, question, equivalence), question)


def compare_runs(runs: Mapping[str, Run], question: Question, equivalence: Clusterer) -> SeveralRuns:
    """The same question asked of several runs (benchmarks), and the averages over them.

    Without `question.ns`: the powers of two up to the largest pool of any run. Raises ConfigError for fewer than two
    runs, and as `compare`; the message names the run.
    """
    if len(runs) < 2:
        raise ConfigError(f"an average needs at least two runs, got {len(runs)}")
    asked = question if question.ns is not None else replace(question, ns=default_ns(_largest_pool(runs)))
    measured = {name: measure(run, asked, equivalence) for name, run in runs.items()}
    return SeveralRuns(
        runs={name: _compare_measured(run, measured[name], asked) for name, run in runs.items()},
        macro=average(measured, asked, "macro"),
        pooled=average(measured, asked, "pooled"),
    )


def _compare_measured(run: Run, found: Measured, question: Question) -> Comparison:
    duplicates = found.duplicates
    notes = [f"{duplicates} trajectories are stored twice; the first of each id counts"] if duplicates else []
    whole = replace(summarise(found, question, notes=notes), duplicates=duplicates)
    if question.by is None:
        return whole
    place_of = {problem_id: place for place, problem_id in enumerate(found.ids)}
    groups: dict[str, Comparison] = {}
    for label, ids in group_problems(run.problems(), question.by).items():
        places = np.array([place_of[problem_id] for problem_id in ids if problem_id in place_of], dtype=np.int64)
        if len(places):
            groups[label] = summarise(found.take(places), question, is_whole=False)
    return replace(whole, by=question.by, groups=groups)


def _largest_pool(runs: Mapping[str, Run]) -> int:
    largest = 1
    for run in runs.values():
        with run.connect() as connection:
            largest = max(largest, survey(connection).n_max)
    return largest
