"""Tune the vote of every stored scorer on validation pools: read-out, aggregation and exponent, for all scorers alike.

What is compared
    The values of each stored scorer as they are, and, where it stored step scores, their aggregates by every rule of
    `scoring/aggregation.py`. Stored scores that come from one method and model and differ in their read-out or
    aggregation (`nbest score -s 'trajselector(readout=not-wrong)' --as NAME`) are one *family*, of which one is chosen.
    The vote is `vote` with each of `POWERS`; where scores are negative or infinite it is `borda`, which ranks them.

Rules
    The criterion is the accuracy of the vote, averaged over the sizes (powers of two from 4 up to the largest pool) and
    then over the problems. Of equal ones the first is chosen, and the order begins with what is used without tuning:
    the stored values, power 1. The accuracy of the choice on the problems that it was chosen on is too high, so
    `held_out` is the accuracy under cross-fitting: of each of `FOLDS` parts of the problems under the choice made on
    the others.

This module does not know how scores were made. Shapes: N graded trajectories of a problem, P problems.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import duckdb
import numpy as np
from numpy.typing import NDArray

from nbest.config import Aggregation
from nbest.errors import UnavailableError
from nbest.measuring.outcomes import MEASURED_COLUMNS, read_outcomes, require_verdicts, survey
from nbest.plurals import show_count
from nbest.progress import OnProgress, count_progress, ignore_progress, report_activity
from nbest.protocols import Clusterer
from nbest.records import derive_seed
from nbest.scoring.aggregation import AGGREGATIONS, aggregate
from nbest.selecting.estimators import cluster_answers, missing_scores
from nbest.selecting.outcomes import Outcomes, Survey
from nbest.selecting.tuned_votes import TunedVotes
from nbest.statistics.subsets import weighted_vote_at_k
from nbest.statistics.votes import BordaVote, SumVote, VoteRule
from nbest.storage.origins import read_origin
from nbest.storage.run import Run
from nbest.verifying.remembering import remember_clusters

POWERS = (1.0, 0.0, 0.25, 0.5, 2.0, 4.0, 8.0, 16.0, 32.0)
BORDA_POWERS = (BordaVote().power, 0.0, 1.0, 2.0, 4.0, 8.0)
FOLDS = 5
FEWEST_PROBLEMS = 2 * FOLDS

Values: TypeAlias = NDArray[np.float64]
Steps: TypeAlias = Mapping[tuple[str, int], Sequence[float]]
"""The step scores of a trajectory, by the id of its problem and its index."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to vote: the stored scores `name`, the `aggregation` of their step scores (None: the stored values), and
    the rule with its power.
    """

    name: str
    aggregation: Aggregation | None
    rule: str
    power: float

    @property
    def vote(self) -> VoteRule:
        return SumVote(self.power) if self.rule == "vote" else BordaVote(self.power)


@dataclass(frozen=True, slots=True)
class TunedScorer:
    """The best setting of a family of stored scores, `scores` its members.

    `method` and `options` are those of the chosen scores with the chosen aggregation, as `nbest score` takes them (""
    and none where the origin of the scores is not known). `accuracy` is that of the choice on all problems, `held_out`
    that under cross-fitting, `untuned` that of the first of the scores as they are.
    """

    scores: tuple[str, ...]
    best: Setting
    method: str
    options: Mapping[str, Any]
    accuracy: float
    held_out: float
    untuned: float

    @property
    def scorer(self) -> str:
        """The method with its options, as `nbest score -s` takes it."""
        options = ", ".join(f"{name}={value}" for name, value in sorted(self.options.items()))
        return f"{self.method}({options})" if options else self.method

    def to_json(self) -> dict[str, Any]:
        best = self.best
        return {
            "scores": list(self.scores),
            "best": {"scores": best.name, "aggregation": best.aggregation, "rule": best.rule, "power": best.power},
            "scorer": self.scorer,
            "accuracy": {"tuned": self.accuracy, "held_out": self.held_out, "untuned": self.untuned},
        }


@dataclass(frozen=True, slots=True)
class TuningReport:
    """`tuned` per family of scores; `votes` are the best rule and power of each stored scorer's values as they are.

    `majority` is the accuracy of the plain majority on the same pools and `sizes`.
    """

    tuned: Sequence[TunedScorer]
    votes: Mapping[str, tuple[str, float]]
    sizes: Sequence[int]
    problems: int
    majority: float

    def to_json(self) -> dict[str, Any]:
        return {
            "sizes": list(self.sizes),
            "problems": self.problems,
            "majority": self.majority,
            "scorers": [scorer.to_json() for scorer in self.tuned],
        }

    def to_file(self, run: str) -> TunedVotes:
        """Return what `vote(file=...)` reads; `run` is the name of the run that the votes were tuned on."""
        return TunedVotes(self.votes, {"run": run, **self.to_json()})


def tune_votes(
    run: Run,
    scorers: Sequence[str],
    equivalence: Clusterer,
    *,
    seed: int = 0,
    on_progress: OnProgress = ignore_progress,
) -> TuningReport:
    """Tune the votes of the stored `scorers` on the verified pools of `run`; `seed` is that of the drawn subsets.

    Raises UnavailableError where trajectories have no verdict, a scorer has no scores for a problem, or there are fewer
    than `FEWEST_PROBLEMS` problems with two trajectories.
    """
    report_activity("read the run", on_progress)
    connection = run.connect(large=MEASURED_COLUMNS)
    try:
        contents = survey(connection)
        require_verdicts(contents, str(run.path))
        if faults := [fault for name in scorers if (fault := missing_scores(name, contents, str(run.path)))]:
            raise UnavailableError("\n".join(faults))
        steps = {name: _read_steps(connection, name) for name in scorers}
        sizes = _choose_sizes(contents.n_max)
        settings = [setting for name in scorers for setting in _list_settings(name, contents, steps[name])]
        on_done = count_progress("tune votes", contents.problems, on_progress)
        rows, majorities = list[Values](), list[float]()
        with remember_clusters(equivalence, run.path) as clusterer:
            for outcomes in read_outcomes(connection, scorers):
                on_done(1, 0)
                if len(outcomes.correct) > 1:
                    clusters = np.asarray(cluster_answers(outcomes, clusterer))
                    problem = _Problem(outcomes, clusters, sizes, derive_seed(seed, outcomes.problem_id, 0))
                    rows.append(np.array([problem.measure(setting, steps[setting.name]) for setting in settings]))
                    majorities.append(problem.measure_majority())
    finally:
        connection.close()
    if len(rows) < FEWEST_PROBLEMS:
        raise UnavailableError(
            f"run {run.path} has {show_count(len(rows), 'problem')} with at least two graded trajectories; tuning "
            f"needs {FEWEST_PROBLEMS}. Sample more problems."
        )
    return _choose(run, settings, np.array(rows), sizes, float(np.mean(majorities)))


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    outcomes: Outcomes
    clusters: NDArray[np.int64]
    sizes: Sequence[int]
    seed: int

    def measure(self, setting: Setting, steps: Steps) -> float:
        """Return the accuracy of the vote, averaged over the sizes that the pool has; 0 where nobody has a score."""
        values = self.outcomes.scores[setting.name]
        if setting.aggregation is not None:
            values = self._aggregate(values, steps, setting.aggregation)
        return self._vote(values, setting.vote)

    def measure_majority(self) -> float:
        return self._vote(np.ones(len(self.outcomes.correct)), SumVote(0.0))

    def _vote(self, values: Values, vote: VoteRule) -> float:
        sizes = [size for size in self.sizes if size <= len(values)] or [len(values)]
        curve = weighted_vote_at_k(self.outcomes.correct, self.clusters, values, sizes, vote, seed=self.seed)
        return float(curve.accuracy.mean())

    def _aggregate(self, values: Values, steps: Steps, how: Aggregation) -> Values:
        keys = [(self.outcomes.problem_id, int(index)) for index in self.outcomes.indices]
        return np.array(
            [
                np.nan if np.isnan(value) else aggregate(steps.get(key, ()), how)
                for key, value in zip(keys, values, strict=True)
            ]
        )


def _read_steps(connection: duckdb.DuckDBPyConnection, scorer: str) -> Steps:
    query = """
        SELECT t.problem_id, t."index", s.steps FROM scores s JOIN trajectories t ON t.id = s.trajectory_id
        WHERE s.scorer = ? AND len(s.steps) > 0
    """
    rows: list[tuple[Any, Any, Any]] = connection.execute(query, [scorer]).fetchall()
    return {(str(problem), int(index)): tuple(map(float, values)) for problem, index, values in rows}


def _choose_sizes(largest: int) -> tuple[int, ...]:
    """Return 4, 8, 16 and so on, up to the largest pool; its size alone if it is below 4."""
    return tuple(2**power for power in range(2, 32) if 2**power <= largest) or (largest,)


def _list_settings(name: str, contents: Survey, steps: Steps) -> Iterator[Setting]:
    """Yield the settings of a stored scorer, the one without tuning first."""
    has_signs = contents.negative.get(name, 0) + contents.infinite.get(name, 0) > 0
    for aggregation in (None, *(AGGREGATIONS if steps else ())):
        if aggregation is None:
            is_weight = not has_signs
        else:
            lowest = min(min(values) for values in steps.values())
            highest = max(max(values) for values in steps.values())
            is_weight = lowest >= 0 and bool(np.isfinite(highest))
            if aggregation == "geometric_mean" and lowest < 0:
                continue
        rule, powers = ("vote", POWERS) if is_weight else ("borda", BORDA_POWERS)
        yield from (Setting(name, aggregation, rule, power) for power in powers)


def _choose(
    run: Run, settings: Sequence[Setting], accuracies: Values, sizes: Sequence[int], majority: float
) -> TuningReport:
    """Choose by `accuracies` [P settings]."""
    families, votes = dict[str, list[int]](), dict[str, tuple[str, float]]()
    for number, setting in enumerate(settings):
        families.setdefault(_find_family(run, setting.name), []).append(number)
    for name in dict.fromkeys(setting.name for setting in settings):
        stored = [i for i, setting in enumerate(settings) if setting.name == name and setting.aggregation is None]
        best = settings[_pick(accuracies, stored)]
        votes[name] = (best.rule, best.power)
    folds = np.arange(len(accuracies)) % FOLDS
    tuned = list[TunedScorer]()
    for members in families.values():
        best = _pick(accuracies, members)
        held_out = np.concatenate(
            [accuracies[folds == fold, _pick(accuracies[folds != fold], members)] for fold in range(FOLDS)]
        )
        method, options = _describe(run, settings[best])
        tuned.append(
            TunedScorer(
                tuple(dict.fromkeys(settings[number].name for number in members)),
                settings[best],
                method,
                options,
                float(accuracies[:, best].mean()),
                float(held_out.mean()),
                float(accuracies[:, members[0]].mean()),
            )
        )
    return TuningReport(tuned, votes, sizes, len(accuracies), majority)


def _pick(accuracies: Values, members: Sequence[int]) -> int:
    """Return which of `members` has the highest mean accuracy, up to rounding; the first of equal ones."""
    means = accuracies[:, members].mean(axis=0)
    return members[int(np.flatnonzero(means >= means.max() - 1e-12)[0])]


def _find_family(run: Run, name: str) -> str:
    """Return what the stored scores of one method and model have in common; their own name if it is not known."""
    origin = read_origin(run.results_folder("scores", name))
    if origin is None:
        return name
    identity = dict(origin.identity)
    options = {key: value for key, value in dict(identity.get("options", {})).items() if key not in _READING}
    return json.dumps({**identity, "options": options}, sort_keys=True, default=str)


_READING = ("readout", "aggregation")
"""The options of a scorer that say how its probabilities are read."""


def _describe(run: Run, setting: Setting) -> tuple[str, dict[str, Any]]:
    """Return the method and options that make the scores of a setting."""
    origin = read_origin(run.results_folder("scores", setting.name))
    if origin is None:
        return "", {}
    options = dict(origin.identity.get("options", {}))
    if setting.aggregation is not None:
        options["aggregation"] = setting.aggregation
    return str(origin.identity.get("method", "")), options
