"""The fit of the combined selector on graded pools, with every reported number held out by problem.

Pools of every size are made from the large ones by drawing subsets, because a selector has to be good at every N.
Folds are over problems, never over trajectories: the weights that choose, the confidence model and the calibration map
are each measured on problems that they did not see. Only the maps to normal scores, which look at no verdict, and the
two penalties are common to all folds.

This module does not know runs. Shapes: N trajectories of a problem, D draws, C clusters, S scorers, R rows (clusters of
all subsets), F columns, G choice columns, M choices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError, UnavailableError
from nbest.plurals import agree, show_part
from nbest.records import derive_seed
from nbest.selecting.combined.features import NormalScores, column_names, describe_clusters
from nbest.selecting.combined.model import CombinedModel, choose, describe_choices
from nbest.selecting.combined.report import CombinationReport, HeldOutChoices, make_report
from nbest.selecting.combined.subsets import GradedPool, Labels, Subsets, Values, draw_orders, draw_subsets
from nbest.selecting.combined.weights import FOLDS, PENALTIES, SubsetChoices, fit_weights
from nbest.specs import did_you_mean
from nbest.statistics.calibration import (
    IsotonicMap,
    PlattMap,
    brier_score,
    fit_isotonic,
    fit_platt,
)
from nbest.statistics.logit import fit_yes_no
from nbest.statistics.ranking import within_pool_auc

KINDS = ("platt", "isotonic", "none")
RULES = ("best", "log_trust", "borda", "top_share")
"""The columns that are single rules; they are reported beside the mixture, like `log_votes`, the majority."""
CORE = ("best", "log_sum", "log_trust")
SIZES = (1, 2, 4, 8, 16, 32, 64)
FEWEST_PROBLEMS = 20
_DRAWS = 4
_CELLS = 1 << 24
"""The largest number of floats in memory for fitting (128 MB); beyond it fewer subsets are drawn from each pool."""


def fit_pools(
    pools: Sequence[GradedPool], scorers: Sequence[str], *, seed: int = 0, calibration: str = "auto"
) -> tuple[CombinedModel, CombinationReport]:
    """Fit on graded pools whose `scores` rows follow `scorers`; deterministic in `seed`.

    The penalties and the set of columns are chosen by the lowest held-out log-loss. `calibration` is `platt`,
    `isotonic`, `none` (the confidence model as it is: Platt scaling of several inputs) or `auto`, which takes the one
    with the lowest held-out Brier score. Raises ConfigError for another calibration or a scorer named twice,
    UnavailableError for fewer than 20 problems with both right and wrong answers.
    """
    return _Fit(pools, tuple(scorers), seed, calibration).fit()


class _Fit:
    """One fit: the normal scores, the subsets and the folds of its pools."""

    def __init__(self, pools: Sequence[GradedPool], scorers: tuple[str, ...], seed: int, calibration: str):
        if calibration not in ("auto", *KINDS):
            hint = did_you_mean(calibration, ("auto", *KINDS))
            raise ConfigError(f"calibration must be one of auto, {', '.join(KINDS)}, got {calibration!r}.{hint}")
        if len(set(scorers)) != len(scorers):
            raise ConfigError(f"scorers: one is named twice in {', '.join(scorers)}")
        mixed = [pool for pool in pools if 0 < pool.correct.sum() < len(pool.correct)]
        if len(mixed) < FEWEST_PROBLEMS:
            raise UnavailableError(
                f"only {show_part(len(mixed), len(pools), 'problem')} {agree(len(mixed), 'has')} both right and wrong "
                f"trajectories; the combined selector needs at least {FEWEST_PROBLEMS} to be fitted on. "
                "Verify a larger validation run."
            )
        self._scorers = scorers
        self._seed = seed
        self._calibration = calibration
        self._scales = tuple(
            NormalScores.fit(np.concatenate([pool.scores[row] for pool in pools])) for row in range(len(scorers))
        )
        self._pools = [self._normalise(pool) for pool in pools]
        self._fold_of: list[int] = [
            int(number) % FOLDS for number in np.random.default_rng(seed).permutation(len(pools))
        ]
        self._main = self._choose_main()
        self._draws = self._choose_draws()

    def fit(self) -> tuple[CombinedModel, CombinationReport]:
        choices = self._describe_subsets()
        weights = fit_weights(choices, self._list_column_sets())
        held_out = self._hold_out(weights.without)
        doubt, intercept, signals, doubt_penalty = _fit_doubt(held_out)
        kind, after = _calibrate_held_out(signals, held_out, self._calibration)
        model = CombinedModel(
            scorers=self._scorers,
            main="" if self._main is None else self._scorers[self._main],
            scales=self._scales,
            weights=tuple(weights.all.tolist()),
            doubt=tuple(doubt.tolist()),
            intercept=intercept,
            calibration=_fit_map(kind, signals, held_out.right, held_out.weights),
            about={
                "problems": len(self._pools),
                "sizes": sorted(set(held_out.sizes.tolist())),
                "seed": self._seed,
                "penalty": weights.penalty,
                "columns": weights.columns,
                "doubt_penalty": doubt_penalty,
                "calibration": kind,
            },
        )
        report = make_report(held_out, signals, after, self._list_rule_names(), self._scorers, model.about)
        return model, report

    def _normalise(self, pool: GradedPool) -> GradedPool:
        scaled = [scale(scores) for scale, scores in zip(self._scales, pool.scores, strict=True)]
        return replace(pool, scores=np.array(scaled).reshape(pool.scores.shape))

    def _choose_main(self) -> int | None:
        """Return the row of the scorer that ranks right before wrong best within pools: it picks inside a cluster."""
        areas: list[float] = []
        for row in range(len(self._scorers)):
            present = [(pool, ~np.isnan(pool.scores[row])) for pool in self._pools]
            area, _ = within_pool_auc((pool.correct[mask], pool.scores[row][mask]) for pool, mask in present)
            areas.append(area or 0.0)
        return int(np.argmax(areas)) if areas else None

    def _choose_draws(self) -> int:
        """Return the number of subsets per pool and size: as many as memory allows, at most `_DRAWS`."""
        rows = sum(len(set(pool.labels[pool.labels >= 0].tolist())) for pool in self._pools) * len(SIZES)
        return max(1, min(_DRAWS, _CELLS // max(1, rows * len(column_names(self._scorers)))))

    def _draw_subsets(self, pool: GradedPool) -> Iterator[Subsets]:
        """Yield the subsets of one pool, size by size: always the same ones."""
        total = len(pool.correct)
        orders = draw_orders(total, self._draws, derive_seed(self._seed, pool.problem_id, 0))
        for size in sorted({size for size in SIZES if size < total} | {total}):
            yield draw_subsets(pool, orders if size < total else orders[:1], size)

    def _describe_subsets(self) -> SubsetChoices:
        """Return every subset that has a right and a wrong cluster."""
        columns: list[Values] = []
        targets: list[Values] = []
        counts: list[Labels] = []
        weights: list[Values] = []
        folds: list[Labels] = []
        for pool, fold in zip(self._pools, self._fold_of, strict=True):
            for subsets in self._draw_subsets(pool):
                features, votes = describe_clusters(subsets.labels, subsets.scores, subsets.clusters)
                worth = np.where(votes > 0, subsets.share_right(), 0.0)
                is_mixed = (worth.sum(axis=1) > 0) & ((worth == 0) & (votes > 0)).any(axis=1)
                present = (votes > 0) & is_mixed[:, None]
                columns.append(features[present])
                targets.append((worth / np.maximum(worth.sum(axis=1, keepdims=True), 1e-300))[present])
                counts.append(present.sum(axis=1)[is_mixed])
                weights.append(np.full(int(is_mixed.sum()), 1.0 / len(votes)))
                folds.append(np.full(int(is_mixed.sum()), fold))
        ends = np.cumsum(np.concatenate(counts))
        starts = np.append(0, ends[:-1]).astype(np.int64)
        return SubsetChoices(
            np.concatenate(columns), starts, np.concatenate(targets), np.concatenate(weights), np.concatenate(folds)
        )

    def _hold_out(self, by_fold: Sequence[Values]) -> HeldOutChoices:
        """Return what the weights of the other folds choose in every subset."""
        rule_columns = self._find_rule_columns()
        choices: list[Values] = []
        right: list[NDArray[np.bool_]] = []
        rules: list[NDArray[np.bool_]] = []
        sizes: list[int] = []
        weights: list[float] = []
        folds: list[int] = []
        for pool, fold in zip(self._pools, self._fold_of, strict=True):
            for subsets in self._draw_subsets(pool):
                columns, votes = describe_clusters(subsets.labels, subsets.scores, subsets.clusters)
                chosen, chances = choose(columns, votes, by_fold[fold])
                draws, size = subsets.labels.shape
                choices.append(describe_choices(columns, votes, chances, chosen, size))
                right.append(subsets.grade_picks(chosen, self._main))
                rules.append(_follow_rules(subsets, columns[:, :, rule_columns], votes, self._main))
                sizes += [size] * draws
                weights += [1.0 / draws] * draws
                folds += [fold] * draws
        return HeldOutChoices(
            np.concatenate(choices),
            np.concatenate(right),
            np.array(sizes),
            np.array(weights),
            np.array(folds),
            np.concatenate(rules),
        )

    def _list_column_sets(self) -> dict[str, NDArray[np.int64]]:
        """Return which columns may have a weight: with few problems, fewer columns do better on held-out ones."""
        names = column_names(self._scorers)
        core = {"log_votes", "share", *(f"{name}:{column}" for name in self._scorers for column in CORE)}
        few = [column for column, name in enumerate(names) if name in core]
        return {"core": np.array(few), "plain": np.arange(len(names) // 2), "all": np.arange(len(names))}

    def _find_rule_columns(self) -> list[int]:
        names = column_names(self._scorers)
        return [names.index(name) for name in self._list_rule_names()]

    def _list_rule_names(self) -> list[str]:
        return ["log_votes", *(f"{name}:{rule}" for name in self._scorers for rule in RULES)]


def _follow_rules(subsets: Subsets, columns: Values, votes: Labels, main: int | None) -> NDArray[np.bool_]:
    """Return whether the highest value of each of Q columns [D C Q] belongs to a right cluster [D Q]."""
    choices = [choose(columns[:, :, rule : rule + 1], votes, np.ones(1))[0] for rule in range(columns.shape[2])]
    return np.stack([subsets.grade_picks(chosen, main) for chosen in choices], axis=1)


def _fit_doubt(held_out: HeldOutChoices) -> tuple[Values, float, Values, float]:
    """Return the weights [G], the intercept, the held-out log-odds [M] that a choice is right, and the penalty."""
    mean, spread = held_out.choices.mean(axis=0), held_out.choices.std(axis=0)
    scale = np.where(spread > 1e-9, spread, np.inf)
    columns, right = (held_out.choices - mean) / scale, held_out.right.astype(np.float64)
    losses, signals = np.zeros(len(PENALTIES)), np.zeros((len(PENALTIES), len(right)))
    for row, penalty in enumerate(PENALTIES):
        for fold in range(FOLDS):
            is_outside = held_out.folds == fold
            beta, intercept = fit_yes_no(
                columns[~is_outside], right[~is_outside], held_out.weights[~is_outside], penalty
            )
            signals[row, is_outside] = columns[is_outside] @ beta + intercept
        log_loss = np.logaddexp(0.0, signals[row]) - right * signals[row]
        losses[row] = float(np.sum(held_out.weights * log_loss))
    best = int(np.argmin(losses))
    beta, intercept = fit_yes_no(columns, right, held_out.weights, PENALTIES[best])
    return beta / scale, intercept - float((mean / scale) @ beta), signals[best], PENALTIES[best]


def _calibrate_held_out(signals: Values, held_out: HeldOutChoices, calibration: str) -> tuple[str, Values]:
    """Return the kind of map, and [M] the confidences of each fold by a map fitted on the others."""
    confidences: dict[str, Values] = {}
    for kind in KINDS if calibration == "auto" else (calibration,):
        confidence = np.zeros(len(signals))
        for fold in range(FOLDS):
            is_outside = held_out.folds == fold
            calibrate = _fit_map(kind, signals[~is_outside], held_out.right[~is_outside], held_out.weights[~is_outside])
            confidence[is_outside] = calibrate(signals[is_outside])
        confidences[kind] = confidence
    best = min(confidences, key=lambda kind: brier_score(confidences[kind], held_out.right))
    return best, confidences[best]


def _fit_map(kind: str, signals: Values, right: NDArray[np.bool_], weights: Values) -> IsotonicMap | PlattMap:
    if kind == "none":
        return PlattMap(1.0, 0.0)
    return fit_isotonic(signals, right, weights) if kind == "isotonic" else fit_platt(signals, right, weights)
