"""Accuracy of selectors against the number of candidates, on one run or several: curves, intervals, differences.

The value of a problem is an expectation over its own trajectories (`statistics.estimators`), the accuracy of a row the
mean over problems, its interval a bootstrap over problems (`statistics.intervals`). All rows are resampled together.
Where the expectation is drawn (weighted votes), the Monte Carlo error stands beside it. Differences to a baseline are
those of `pairing`. Over several runs (benchmarks) the macro average weighs each run alike, the pooled one each problem
(`statistics.strata`).

A row at n holds the problems that have at least n graded trajectories; the others are left out of that row, counted
and warned of, because a metric of n candidates is not defined on fewer.

This module does not know how a run is stored, how answers are compared, or how results are shown.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, overload

from nbest.errors import ConfigError
from nbest.measuring.comparison import Comparison
from nbest.measuring.measurement import default_ns, measure
from nbest.measuring.naming import name_runs
from nbest.measuring.outcomes import MEASURED_COLUMNS, require_verdicts, survey
from nbest.measuring.question import Question, Resample
from nbest.measuring.several import SeveralRuns
from nbest.measuring.summary import average, summarise
from nbest.progress import OnProgress, ignore_progress, report_activity
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
        on_progress: OnProgress = ignore_progress,
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
        on_progress: OnProgress = ignore_progress,
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
    on_progress: OnProgress = ignore_progress,
) -> Comparison | SeveralRuns:
    """Compare `selectors` at every n of `ns` on the trajectories and verdicts of one run or several.

    The runs have the names that a mapping gives them, else those of their folders. One run gives a Comparison, several
    a SeveralRuns with the averages over them.

    Selectors are named as on the command line, with their options; `stored:NAME` are the selections of NAME that a run
    holds, `default` is every selector that the run allows. A `Contestant` is a selector without a name in the registry.
    None is the default: every selector that reads no scores, the argmax of every stored score and one vote of it
    (`vote:NAME`, or `borda:NAME` where some scores are negative), the stored selections of selectors without an
    estimator, and the bound; those the run does not allow are in `skipped` with the reason.

    Without `ns`: the powers of two up to the largest pool, and its size. `equivalence` says which answers are equal; it
    is asked once for the distinct answers of each problem, and only for votes (None: an `Equivalence` for this call).
    `baseline` is the selector that the others are compared with problem by problem (None: the one with that role;
    nothing is paired where it is not evaluated). `seed` is that of the bootstrap and of random subsets. `by` also gives
    a comparison for each value of a field of the problems (`grouping`). `resample` is what the intervals resample:
    problems, samples of the same problems, or both (`statistics.intervals`). `on_progress` is told how many problems of
    a run have been evaluated.

    Raises ConfigError for a name or an n that is not allowed, UnavailableError where trajectories have no verdict or
    one of `selectors` cannot be measured on a run, DataError where a pool holds an index twice.
    """
    question = Question(selectors, ns, seed, resamples, baseline, by, resample)
    question.check()
    if isinstance(runs, Run):
        runs = [runs]
    members = runs if isinstance(runs, Mapping) else dict(zip(name_runs([run.path for run in runs]), runs, strict=True))
    if not members:
        raise ConfigError("no run was named; give one or more")
    with nullcontext(equivalence) if equivalence is not None else Equivalence() as clusterer:
        if len(members) > 1:
            return compare_runs(members, question, clusterer, on_progress)
        (run,) = members.values()
        return summarise(measure(run, question, clusterer, on_progress), question)


def compare_runs(
    runs: Mapping[str, Run], question: Question, equivalence: Clusterer, on_progress: OnProgress = ignore_progress
) -> SeveralRuns:
    """Compare the selectors of `question` on several runs (benchmarks), as `compare` does.

    Without `question.ns`: the powers of two up to the largest pool of any run. Raises ConfigError for fewer than two
    runs.
    """
    if len(runs) < 2:
        raise ConfigError(f"an average needs at least two runs, got {len(runs)}")
    if question.ns is None:
        report_activity("read the runs", on_progress)
        question = replace(question, ns=default_ns(max(map(count_largest_pool, runs.values()))))
    measurements = {name: measure(run, question, equivalence, on_progress) for name, run in runs.items()}
    return SeveralRuns(
        runs={name: summarise(member, question) for name, member in measurements.items()},
        macro=average(measurements, question, "macro"),
        pooled=average(measurements, question, "pooled"),
    )


def count_largest_pool(run: Run) -> int:
    """Return the number of graded trajectories in the largest pool of a run.

    Raises UnavailableError where trajectories have no verdict.
    """
    with run.connect(large=MEASURED_COLUMNS) as connection:
        contents = survey(connection)
    require_verdicts(contents, str(run.path))
    return contents.n_max
