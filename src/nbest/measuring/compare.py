"""Accuracy of selectors against the number of candidates, on one run or several: curves, intervals, differences.

The value of a problem is an expectation over its own trajectories (`statistics.estimators`), the accuracy of a row the
mean over problems, its interval a bootstrap over problems (`statistics.intervals`). All rows are resampled together.
Where the expectation is drawn (weighted votes), the Monte Carlo error stands beside it. Differences to a baseline are
those of `pairing`. Over several runs (benchmarks) the macro average weighs each run alike, the pooled one each problem
(`statistics.strata`).

A row at n holds the problems that have at least n graded trajectories; the others are left out of that row, counted
and warned of, because a metric of n candidates is not defined on fewer.

This module does not know how a run is stored, how answers are compared, or how results are drawn.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, overload

import numpy as np

from nbest.errors import ConfigError
from nbest.measuring.comparison import Comparison
from nbest.measuring.grouping import group_problems
from nbest.measuring.measurement import Measurements, default_ns, measure
from nbest.measuring.naming import name_runs
from nbest.measuring.outcomes import require_verdicts, survey
from nbest.measuring.question import Question, Resample
from nbest.measuring.several import SeveralRuns
from nbest.measuring.summary import average, summarise
from nbest.protocols import Clusterer
from nbest.selecting.estimators import Contestant
from nbest.statistics.intervals import RESAMPLES
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

if TYPE_CHECKING:
    # typing keeps what @overload marks until the interpreter ends, and with it this module and the tables it loads.

    @overload
    def compare(
        runs: Run,
        selectors: Sequence[str | Contestant] | None = None,
        ns: Sequence[int] | None = None,
        *,
        equivalence: Clusterer | None = None,
        seed: int = 0,
        resamples: int = RESAMPLES,
        baseline: str | None = None,
        by: str | None = None,
        resample: Resample = "problems",
    ) -> Comparison: ...
    @overload
    def compare(
        runs: Sequence[Run] | Mapping[str, Run],
        selectors: Sequence[str | Contestant] | None = None,
        ns: Sequence[int] | None = None,
        *,
        equivalence: Clusterer | None = None,
        seed: int = 0,
        resamples: int = RESAMPLES,
        baseline: str | None = None,
        by: str | None = None,
        resample: Resample = "problems",
    ) -> Comparison | SeveralRuns: ...


def compare(
    runs: Run | Sequence[Run] | Mapping[str, Run],
    selectors: Sequence[str | Contestant] | None = None,
    ns: Sequence[int] | None = None,
    *,
    equivalence: Clusterer | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    baseline: str | None = None,
    by: str | None = None,
    resample: Resample = "problems",
) -> Comparison | SeveralRuns:
    """Evaluate `selectors` at every n of `ns` on the trajectories and verdicts of one run or several.

    A mapping gives the runs their names; a sequence names them by their folders. One run gives a Comparison, several a
    SeveralRuns with the averages over them.

    Selectors are named as on the command line, with their options; `stored:NAME` are the selections of NAME that a run
    holds, `default` is every selector that the run allows. A `Contestant` is a selector that no name stands for.
    Without `selectors`: the default, which is every selector that reads no scores, the argmax of every stored score and
    one vote of it (`vote:NAME`, or `borda:NAME` where some scores are negative), the stored selections of selectors
    without an estimator, and the bound; those the run does not allow are in `skipped` with the reason.

    Without `ns`: the powers of two up to the largest pool, and its size. `equivalence` says which answers are equal; it
    is asked once for the distinct answers of each problem, and only for votes (None: an `Equivalence` for this call).
    `baseline` is what the others are paired with (None: the selector with that role; nothing is paired where it is not
    evaluated). `seed` fixes the resamples and all drawn subsets. `by` also gives a comparison for each value of a field
    of the problems (`grouping`). `resample` is what the intervals draw again: problems, samples of these very problems,
    or both (`statistics.intervals`).

    Raises ConfigError for a name or an n that cannot be, UnavailableError where trajectories were never verified or
    a selector that was named cannot be measured on a run, DataError where a pool holds an index twice.
    """
    question = Question(selectors, ns, seed, resamples, baseline, by, resample)
    question.check()
    if isinstance(runs, Run):
        runs = [runs]
    named = runs if isinstance(runs, Mapping) else dict(zip(name_runs([run.path for run in runs]), runs, strict=True))
    if not named:
        raise ConfigError("no run was named; give one or more")
    with nullcontext(equivalence) if equivalence is not None else Equivalence() as clusterer:
        if len(named) > 1:
            return compare_runs(named, question, clusterer)
        return compare_run(next(iter(named.values())), question, clusterer)


def compare_run(run: Run, question: Question, equivalence: Clusterer) -> Comparison:
    """As `compare`, of one run, with its settings as one object."""
    measurements = measure(run, question, equivalence)
    return summarise(measurements, question, _compare_groups(run, measurements, question))


def compare_runs(runs: Mapping[str, Run], question: Question, equivalence: Clusterer) -> SeveralRuns:
    """As `compare`, of several runs (benchmarks), with its settings as one object.

    Without `question.ns`: the powers of two up to the largest pool of any run. Raises ConfigError for fewer than two
    runs.
    """
    if len(runs) < 2:
        raise ConfigError(f"an average needs at least two runs, got {len(runs)}")
    if question.ns is None:
        question = replace(question, ns=default_ns(max(map(count_largest_pool, runs.values()))))
    measurements = {name: measure(run, question, equivalence) for name, run in runs.items()}
    groups = {name: _compare_groups(run, measurements[name], question) for name, run in runs.items()}
    return SeveralRuns(
        runs={name: summarise(measurements[name], question, groups[name]) for name in runs},
        macro=average(measurements, question, "macro"),
        pooled=average(measurements, question, "pooled"),
    )


def count_largest_pool(run: Run) -> int:
    """Return the number of graded trajectories in the largest pool of a run.

    Raises UnavailableError where trajectories have no verdict.
    """
    with run.connect() as connection:
        contents = survey(connection)
    require_verdicts(contents, str(run.path))
    return contents.n_max


def _compare_groups(run: Run, measurements: Measurements, question: Question) -> dict[str, Comparison]:
    """Return the comparison of the problems with each value of the field `question.by`; empty without a field."""
    if question.by is None:
        return {}
    positions = {problem_id: position for position, problem_id in enumerate(measurements.ids)}
    groups: dict[str, Comparison] = {}
    for label, ids in group_problems(run.problems(), question.by).items():
        members = np.array([positions[id] for id in ids if id in positions], dtype=np.int64)
        if len(members):
            groups[label] = summarise(measurements.take(members), question)
    return groups
