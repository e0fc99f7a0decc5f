"""The combined selector on runs: the pools that it is fitted on, and the fit.

This module does not know how scores were made, nor how the fit works (`selecting/combined/fit.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nbest.errors import UnavailableError
from nbest.measuring.outcomes import MEASURED_COLUMNS, read_outcomes, require_verdicts, survey
from nbest.progress import OnProgress, count_progress, ignore_progress, report_activity
from nbest.protocols import Clusterer
from nbest.selecting.combined.fit import fit_pools
from nbest.selecting.combined.model import CombinedModel
from nbest.selecting.combined.report import CombinationReport
from nbest.selecting.combined.subsets import GradedPool, make_graded_pool
from nbest.storage.run import Run
from nbest.verifying.remembering import remember_clusters


def fit_combined(
    run: Run,
    scorers: Sequence[str],
    equivalence: Clusterer,
    *,
    seed: int = 0,
    calibration: str = "auto",
    on_progress: OnProgress = ignore_progress,
) -> tuple[CombinedModel, CombinationReport]:
    """Fit the combined selector on the verdicts and the stored scores of `run`.

    Raises UnavailableError where trajectories have no verdict, a scorer has no scores, or the run is too small to fit
    on, ConfigError as `fit_pools`.
    """
    with remember_clusters(equivalence, run.path) as clusterer:
        pools = list(read_pools(run, scorers, clusterer, on_progress))
    report_activity("fit the selector", on_progress)
    model, report = fit_pools(pools, scorers, seed=seed, calibration=calibration)
    return replace(model, policy=run.policy_hash), report


def read_pools(
    run: Run, scorers: Sequence[str], equivalence: Clusterer, on_progress: OnProgress = ignore_progress
) -> Iterator[GradedPool]:
    """Yield the graded pools of a run with these scores.

    Raises UnavailableError, before the first pool, for what the run lacks.
    """
    report_activity("read the run", on_progress)
    connection = run.connect(large=MEASURED_COLUMNS)
    try:
        contents = survey(connection)
        require_verdicts(contents, str(run.path))
        faults = [fault for name in scorers if (fault := _describe_fault(contents.unscored, name, str(run.path)))]
        if faults:
            raise UnavailableError("\n".join(faults))
        on_done = count_progress("read pools", contents.problems, on_progress)
        for outcomes in read_outcomes(connection, scorers):
            on_done(1, 0)
            if len(outcomes.correct):
                yield make_graded_pool(outcomes, scorers, equivalence)
    finally:
        connection.close()


def _describe_fault(unscored: Mapping[str, int], scorer: str, run: str) -> str:
    """Return why a scorer's scores cannot be used; "" where they can."""
    if scorer not in unscored:
        return f"run {run} has no scores of {scorer!r}; it has {', '.join(unscored) or 'none'}. Score it first."
    if unscored[scorer]:
        return f"run {run} has no score of {scorer!r} for {unscored[scorer]} of its problems. Score these first."
    return ""
