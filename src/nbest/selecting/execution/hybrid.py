"""Selectors in two steps: execution narrows a pool to a few groups of programs, then a scorer or a judge picks inside.

Tests separate badly where they are few, and models judge by how a program looks; together they do better than either
(R2E-Gym, arXiv 2504.07164, reports 42 to 43 % each and 51 % together). The order of the two steps is the other way
round there: its scorer leaves the best trajectories, and tests decide between these.

Rules
    The first step is another selector by execution with its default options (`rule`), of which the first `groups`
    groups survive. Where one program is left, it is picked.
    `hybrid:SCORER` picks the trajectory with the highest score of the surviving groups (`score:SCORER`).
    `hybrid-judge` shows one program of each surviving group, its first member, to a selector that asks a judge
    (`inner`). So the judge compares behaviours, and reads `groups` programs at most. Where it abstains, so does this.
    `confidence` is the one of the rule in the group of the pick.

This module does not know how programs run or what a judge is, and never sees a target.
"""

from dataclasses import replace
from typing import Any, Literal, TypeAlias

from nbest.answers.extraction import answer_of
from nbest.config import Count
from nbest.errors import ConfigError
from nbest.protocols import Selector
from nbest.records import Pool, Selection, WorkReport
from nbest.registry import load_selector, needed_scorers
from nbest.selecting.execution.agreement import AgreementOptions, AgreementRule, BayesOptions, BayesRule
from nbest.selecting.execution.clusters import ClusterOptions, ClusterRule, RiskOptions, RiskRule
from nbest.selecting.execution.observing import ExecutionOptions, Observer
from nbest.selecting.execution.public_tests import PublicTestsOptions, PublicTestsRule
from nbest.selecting.execution.ranking import Rule
from nbest.selecting.execution.selector import asks_policy, join_notes, make_observer, observe_pool
from nbest.selecting.scored import ScoreSelector
from nbest.specs import Spec

RuleName: TypeAlias = Literal["public-tests", "behaviour", "mbr-exec", "codet", "b4"]


class HybridOptions(ExecutionOptions):
    """`rule` narrows the pool to its first `groups` groups."""

    rule: RuleName = "codet"
    groups: Count = 3


class HybridJudgeOptions(HybridOptions):
    """`inner` is the selector that picks among the surviving groups."""

    inner: str = "genselect-tournament"


class HybridSelector(Selector):
    """Lets `inner` pick among the programs of the first `groups` groups of `rule`.

    With `shows_one` it sees the first member of each group alone, otherwise all members. `inner` belongs to the
    selector: closing it closes both.
    """

    def __init__(self, name: str, rule: Rule, observer: Observer, inner: Selector, groups: int, shows_one: bool):
        self.name = name
        self._rule = rule
        self._observer = observer
        self._inner = inner
        self._groups = groups
        self._shows_one = shows_one

    def report(self) -> WorkReport:
        # What a writer of tests and an inner judge report are calls of the same judge: the inner one names them.
        report = self._inner.report()
        return report if report.judgements is not None else self._observer.report()

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def select(self, pool: Pool) -> Selection:
        behaviour = await observe_pool(pool, self._observer, self.name)
        if isinstance(behaviour, Selection):
            return behaviour
        ranking = self._rule.rank(behaviour)
        notes = join_notes(ranking.note, *behaviour.notes)
        if not ranking.groups:
            return Selection(pool.problem_id, None, usage=behaviour.usage, note=notes)
        survivors = ranking.groups[: self._groups]
        members = [group.members[:1] if self._shows_one else group.members for group in survivors]
        positions = sorted(int(behaviour.positions[member]) for group in members for member in group)
        if len(positions) == 1:
            selection = Selection(pool.problem_id, 0, note="one group of programs is left: nothing was asked")
        else:
            selection = await self._inner.select(
                replace(pool, trajectories=tuple(pool.trajectories[position] for position in positions))
            )
        usage, note = behaviour.usage + selection.usage, join_notes(selection.note, notes)
        if selection.index is None:
            return replace(selection, usage=usage, note=note)
        position = positions[selection.index]
        number = behaviour.positions.tolist().index(position)
        confidence = next(group.confidence for group in survivors if number in group.members)
        answer = answer_of(pool.trajectories[position], pool)
        return Selection(pool.problem_id, position, answer, confidence, usage, note)


def make_rule(name: RuleName) -> Rule:
    """Return the rule of a selector by execution, with its default options."""
    if name == "public-tests":
        return PublicTestsRule(PublicTestsOptions())
    if name == "behaviour":
        return ClusterRule(ClusterOptions())
    if name == "mbr-exec":
        return RiskRule(RiskOptions())
    return AgreementRule(AgreementOptions()) if name == "codet" else BayesRule(BayesOptions())


def _build_scored(context: Any, options: HybridOptions, scorer: str) -> HybridSelector:
    name = f"hybrid:{scorer}"
    observer = make_observer(context, options, name)
    inner = ScoreSelector(scorer, context.scores(scorer), context.where)
    return HybridSelector(name, make_rule(options.rule), observer, inner, options.groups, shows_one=False)


def _build_judged(context: Any, options: HybridJudgeOptions, _: str) -> HybridSelector:
    name = "hybrid-judge"
    if options.inner.partition("(")[0].strip().startswith("hybrid"):
        raise ConfigError(f"inner: got {options.inner!r}; allowed is a selector that asks a judge, such as genselect")
    context.require_judge(f"selector {name!r}")
    observer = make_observer(context, options, name)
    inner = load_selector(options.inner, context)
    return HybridSelector(name, make_rule(options.rule), observer, inner, options.groups, shows_one=True)


SPECS: tuple[Spec, ...] = (
    Spec(
        "hybrid",
        "selector",
        _build_scored,
        "Execution narrows the pool to a few groups of programs; the highest score inside wins.",
        "R2E-Gym, arXiv 2504.07164",
        HybridOptions,
        frozenset({"sandbox", "scores"}),
        reads_scores=True,
        asks_judge=asks_policy,
        position=46,
    ),
    Spec(
        "hybrid-judge",
        "selector",
        _build_judged,
        "Execution narrows the pool to a few groups of programs; a model picks among one program of each.",
        "R2E-Gym, arXiv 2504.07164",
        HybridJudgeOptions,
        frozenset({"sandbox", "judge"}),
        scorers=lambda options: needed_scorers(options.inner),
        position=47,
    ),
)
