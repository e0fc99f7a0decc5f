"""Selectors that look at which programs pass which tests that a policy wrote: `codet` and `b4`.

Rules
    Programs that pass exactly the same tests are one consensus set. A program counts as often as it was sampled, a test
    as often as it was written.
    `codet` is dual execution agreement (CodeT, arXiv 2207.10397). The score of a set of x trajectories that passes y
    tests is x ** power * y; the authors' code has the square root (`power=0.5`, the default), their text the product
    (`power=1`).
    `b4` (arXiv 2409.08692) takes each set with its tests in turn as the right programs and the right tests, all others
    as wrong, and ranks sets by the posterior probability of what was seen. With N trajectories, n of them in the set, M
    tests, m of them passed by it, B the beta function and s(a, b) = log B(a, b):
        s(n + alpha, N - n + 1) + s(m + alpha, M - m + 1) + s(k1 + 1, K1 - k1 + 1) + s(k0 + 1, K0 - k0 + beta)
    where K1 counts the pairs of a wrong program and a right test, and k1 those of them that pass; K0 and k0 the same
    for wrong programs and wrong tests. `alpha` is the prior for many right programs and tests, `beta` for wrong
    programs that seldom pass wrong tests; the defaults are of the authors' ranges.
    `confidence` is the share of all programs' answers that are those of the pick. The posterior probability of `b4` is
    none: tests of one policy err together, so that it is near 1 for right and wrong picks alike.
    A set that passes no test does not take part. Where the problem shows tests, programs that fail one do not take part
    either, unless all do (`public=ignore`: they do).
    Ties: `ranking.py`.
    Where no program passes a test, tests say nothing, and the largest cluster of equal behaviour on their inputs is
    picked, as the selector `behaviour` does; the note says so. Without any test the pool abstains.

This module does not know how programs run, and never sees a target.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nbest.selecting.execution.clusters import ClusterOptions, ClusterRule
from nbest.selecting.execution.observing import ExecutionOptions
from nbest.selecting.execution.ranking import (
    Behaviour,
    Ranking,
    group_rows,
    measure_agreement,
    order_members,
    rank_groups,
)
from nbest.selecting.execution.selector import join_notes, make_spec
from nbest.specs import Spec

NO_TESTS = "there are no tests that a policy wrote; with inputs=policy a judge writes some (--judge MODEL)"
"""The note of a selection by the agreement of programs and tests without a test."""


class AgreementOptions(ExecutionOptions):
    """`power` of the number of trajectories in a set; `public` as for clusters."""

    power: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    public: Literal["filter", "ignore"] = "filter"


class BayesOptions(ExecutionOptions):
    """`alpha` and `beta` of the prior distributions; `public` as for clusters."""

    alpha: float = Field(default=1e3, gt=0, allow_inf_nan=False)
    beta: float = Field(default=1e4, gt=0, allow_inf_nan=False)
    public: Literal["filter", "ignore"] = "filter"


class AgreementRule:
    """Ranks consensus sets by the number of their programs and tests."""

    def __init__(self, options: AgreementOptions):
        self._options = options

    def rank(self, behaviour: Behaviour) -> Ranking:
        sets, note = find_consensus_sets(behaviour, self._options.public)
        if not sets:
            return rank_without_tests(behaviour, self._options.public, note)
        tests = [int(behaviour.weights[behaviour.passed[members[0]]].sum()) for members in sets]
        scores = [len(members) ** self._options.power * count for members, count in zip(sets, tests, strict=True)]
        return _rank_sets(behaviour, sets, scores, note)


class BayesRule:
    """Ranks consensus sets by their posterior probability."""

    def __init__(self, options: BayesOptions):
        self._options = options

    def rank(self, behaviour: Behaviour) -> Ranking:
        sets, note = find_consensus_sets(behaviour, self._options.public)
        if not sets:
            return rank_without_tests(behaviour, self._options.public, note)
        scores = [self._measure_posterior(behaviour, members) for members in sets]
        return _rank_sets(behaviour, sets, scores, note)

    def _measure_posterior(self, behaviour: Behaviour, members: tuple[int, ...]) -> float:
        alpha, beta = self._options.alpha, self._options.beta
        weights, is_right_test = behaviour.weights, behaviour.passed[members[0]]
        is_wrong = np.ones(len(behaviour.positions), dtype=np.bool_)
        is_wrong[list(members)] = False
        right_tests, wrong_tests = int(weights[is_right_test].sum()), int(weights[~is_right_test].sum())
        wrong = int(is_wrong.sum())
        passes = behaviour.passed[is_wrong]
        of_right = _count_passes(passes, is_right_test, weights)
        of_wrong = _count_passes(passes, ~is_right_test, weights)
        return (
            _log_beta(len(members) + alpha, wrong + 1)
            + _log_beta(right_tests + alpha, wrong_tests + 1)
            + _log_beta(of_right + 1, wrong * right_tests - of_right + 1)
            + _log_beta(of_wrong + 1, wrong * wrong_tests - of_wrong + beta)
        )


def find_consensus_sets(behaviour: Behaviour, public: Literal["filter", "ignore"]) -> tuple[list[tuple[int, ...]], str]:
    """Return the sets of programs that pass the same tests, those that pass none left out; and a note."""
    if not behaviour.passed.shape[1]:
        return [], NO_TESTS
    everyone = np.arange(len(behaviour.positions))
    survivors, note = behaviour.keep_public() if public == "filter" else (everyone, "")
    passing = survivors[behaviour.passed[survivors].any(axis=1)]
    if not len(passing):
        return [], "no program passes any test that a policy wrote"
    return group_rows(behaviour.passed, passing.tolist()), note


def _rank_sets(behaviour: Behaviour, sets: Sequence[tuple[int, ...]], scores: Sequence[float], note: str) -> Ranking:
    picks = [order_members(behaviour, members)[0] for members in sets]
    rows = [
        (members, score, measure_agreement(behaviour, pick))
        for members, score, pick in zip(sets, scores, picks, strict=True)
    ]
    return Ranking(tuple(rank_groups(behaviour, rows)), note)


def rank_without_tests(behaviour: Behaviour, public: Literal["filter", "ignore"], note: str) -> Ranking:
    """Return the ranking where no consensus set is left: that of `behaviour` where there are tests, with a note."""
    if not behaviour.passed.shape[1]:
        return Ranking((), note)
    ranking = ClusterRule(ClusterOptions(public=public)).rank(behaviour)
    if not ranking.groups:
        return Ranking((), note)
    return Ranking(
        ranking.groups, join_notes(f"{note}: the largest cluster of equal behaviour is picked", ranking.note)
    )


def _count_passes(passed: NDArray[np.bool_], tests: NDArray[np.bool_], weights: NDArray[np.int64]) -> int:
    return int((passed[:, tests] * weights[tests]).sum())


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


SPECS: tuple[Spec, ...] = (
    make_spec(
        "codet",
        AgreementRule,
        "Programs and the policy's own tests that agree: many programs that pass many tests.",
        "CodeT, arXiv 2207.10397",
        AgreementOptions,
        43,
    ),
    make_spec(
        "b4",
        BayesRule,
        "The most probable set of right programs, given which programs pass which written tests.",
        "B4, arXiv 2409.08692",
        BayesOptions,
        44,
    ),
)
