"""A judge that compares programs by what they do on inputs that it chooses to tell them apart: `s-star`.

The selection of S* (arXiv 2502.14382), over any Sampler; its rounds of revision belong to sampling.

Rules
    Programs are clustered by equal behaviour, as the selector `behaviour` does, and the `clusters` largest ones take
    part, each by its first member. Where one cluster is left, it is selected without a call.
    Each pair is judged in two steps. The judge reads both programs and writes inputs that tell them apart; both run on
    them. Where they differ, the judge reads the inputs and results, and says which program is right: one point for the
    better one, half a point each for a tie. Inputs on which they do not differ give half a point each.
    The cluster with most points per judged pair wins. Ties: the larger cluster, then the lower index.
    Which program is shown first is drawn by a seed from (seed, problem, pair).
    A pair without a judgement gives no points, and the note counts it. Without a single one the selection has no
    judgement, and `on_failure` decides: "abstain", or "majority" (the largest cluster).
    `confidence` is (points + 0.5) / (judged pairs of the winner + 1), so that one won pair is not certainty.
    `Selection.usage` holds the tokens of every call, failed tries included.

This module does not know models or runs, and never sees a target.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

from nbest.answers.extraction import answer_of
from nbest.judging.candidates import JudgeSettings
from nbest.judging.conversation import Conversation, JudgementCounts
from nbest.judging.methods import SStarOptions
from nbest.judging.prompts import parse_pairwise, show_candidate
from nbest.judging.selectors import NO_JUDGEMENT
from nbest.judging.writing_prompts import parse_inputs, render_inputs, render_results
from nbest.loop_thread import gather_all
from nbest.plurals import agree, show_part
from nbest.protocols import Selector
from nbest.records import CodeTask, Completion, Pool, Selection, WorkReport
from nbest.selecting.execution.clusters import ClusterRule
from nbest.selecting.execution.observing import Observer, read_candidates
from nbest.selecting.execution.ranking import Behaviour, Group
from nbest.selecting.execution.running import Input
from nbest.selecting.execution.selector import join_notes, make_observer, observe_pool


@dataclass(frozen=True, slots=True)
class _Contender:
    """One cluster: its first member's program as it runs, and as the judge reads it."""

    source: str
    text: str


class SStarSelector(Selector):
    """Picks the first member of the cluster that wins most pairs.

    The judge of `settings` and the sandbox of `observer` may be shared, so closing a selector leaves them open.
    """

    name = "s-star"

    def __init__(self, settings: JudgeSettings, observer: Observer, options: SStarOptions):
        self._settings = settings
        self._observer = observer
        self._options = options
        self._rule = ClusterRule(options)

    @property
    def counts(self) -> JudgementCounts:
        """The counts of all calls so far and of their outcomes."""
        return self._settings.judge.counts

    def report(self) -> WorkReport:
        return self._settings.judge.report()

    async def select(self, pool: Pool) -> Selection:
        self.counts.selections += 1
        behaviour = await observe_pool(pool, self._observer, self.name)
        if isinstance(behaviour, Selection):
            return behaviour
        ranking = self._rule.rank(behaviour)
        notes = (ranking.note, *behaviour.notes)
        groups = ranking.groups[: self._options.clusters]
        if not groups:
            return Selection(pool.problem_id, None, usage=behaviour.usage, note=join_notes(*notes))
        conversation = self._settings.judge.open(pool.problem_id)
        if len(groups) == 1:
            self.counts.agreed += 1
            note = "one cluster is left: nothing was asked"
            return _make_selection(pool, behaviour, conversation, groups[0], groups[0].confidence, (note, *notes))
        return await self._compete(pool, behaviour, conversation, groups, notes)

    async def _compete(
        self,
        pool: Pool,
        behaviour: Behaviour,
        conversation: Conversation,
        groups: tuple[Group, ...],
        notes: tuple[str, ...],
    ) -> Selection:
        contenders = _read_contenders(pool, behaviour, groups)
        pairs = list(combinations(range(len(groups)), 2))
        calls = [
            self._compare(pool, contenders[first], contenders[second], conversation, f"pair {first} {second}")
            for first, second in pairs
        ]
        results = await gather_all(calls)
        points, judged = [0.0] * len(groups), [0] * len(groups)
        for (first, second), result in zip(pairs, results, strict=True):
            if result is not None:
                points[first] += result
                points[second] += 1 - result
                judged[first] += 1
                judged[second] += 1
        missing = results.count(None)
        if missing == len(pairs):
            return self._select_without_judgement(pool, behaviour, conversation, groups, notes)
        unjudged = f"{show_part(missing, len(pairs), 'pair')} {agree(missing, 'was')} not judged" if missing else ""
        # `max` takes the first of equal ones, and groups are ordered by size, then by index.
        winner = max((number for number in range(len(groups)) if judged[number]), key=lambda i: points[i] / judged[i])
        confidence = (points[winner] + 0.5) / (judged[winner] + 1)
        return _make_selection(pool, behaviour, conversation, groups[winner], confidence, (unjudged, *notes))

    async def _compare(
        self, pool: Pool, first: _Contender, second: _Contender, conversation: Conversation, question: str
    ) -> float | None:
        """Return the points of the first program: 1, 0 or 0.5. None without a judgement."""
        is_turned = self._settings.make_rng(pool, question).random() < 0.5
        order = (second, first) if is_turned else (first, second)
        task = pool.code or CodeTask()
        texts = [contender.text for contender in order]
        count = self._options.probes

        def read_inputs(completion: Completion) -> tuple[list[Input] | None, str]:
            inputs = parse_inputs(completion.text, task, count)
            fault = "truncated" if completion.finish == "length" else "unparsed"
            return (inputs, "") if inputs else (None, fault)

        prompt = render_inputs(pool.prompt, task, texts, count)
        inputs = await conversation.ask(prompt, f"{question} inputs", read_inputs)
        if inputs is None:
            return None
        replies = await self._observer.run_inputs([contender.source for contender in order], inputs)
        differing = [
            number for number in range(len(inputs)) if replies[0][number].behaviour != replies[1][number].behaviour
        ]
        if not differing:
            return 0.5

        def read_points(completion: Completion) -> tuple[float | None, str]:
            preference = parse_pairwise(completion.text, completion.finish)
            return preference.points, preference.fault

        shown = [[replied[number] for number in differing] for replied in replies]
        prompt = render_results(pool.prompt, texts, [inputs[number] for number in differing], shown)
        points = await conversation.ask(prompt, f"{question} results", read_points)
        if points is None:
            return None
        if points != 0.5:
            self.counts.add_choice(2, 0 if points == 1 else 1)
        return 1 - points if is_turned else points

    def _select_without_judgement(
        self,
        pool: Pool,
        behaviour: Behaviour,
        conversation: Conversation,
        groups: tuple[Group, ...],
        notes: tuple[str, ...],
    ) -> Selection:
        faults = ", ".join(f"{count} {fault}" for fault, count in sorted(conversation.failed.items()))
        reason = f"{NO_JUDGEMENT}: no pair was judged ({faults})"
        if (self._options.on_failure or self._settings.on_failure) == "majority":
            self.counts.fell_back += 1
            note = f"{reason}; the largest cluster stands"
            return _make_selection(pool, behaviour, conversation, groups[0], groups[0].confidence, (note, *notes))
        self.counts.abstained += 1
        usage = behaviour.usage + conversation.usage
        return Selection(pool.problem_id, None, usage=usage, note=join_notes(reason, *notes))


def build_s_star(context: Any, options: SStarOptions, _: str) -> SStarSelector:
    """Return the selector from the `BuildContext` and options. Raises ConfigError, UnavailableError."""
    settings = context.require_judge("selector 's-star'").settings(context.equivalence)
    return SStarSelector(settings, make_observer(context, options, "s-star"), options)


def _read_contenders(pool: Pool, behaviour: Behaviour, groups: tuple[Group, ...]) -> list[_Contender]:
    candidates = read_candidates(pool)
    sources = dict(zip(candidates.positions, candidates.sources, strict=True))
    positions = [int(behaviour.positions[group.members[0]]) for group in groups]
    texts = [pool.trajectories[position].completion.text for position in positions]
    return [
        _Contender(sources[position], show_candidate(text, kind="code", code=pool.code))
        for position, text in zip(positions, texts, strict=True)
    ]


def _make_selection(
    pool: Pool,
    behaviour: Behaviour,
    conversation: Conversation,
    group: Group,
    confidence: float | None,
    notes: tuple[str, ...],
) -> Selection:
    position = int(behaviour.positions[group.members[0]])
    answer = answer_of(pool.trajectories[position], pool)
    usage = behaviour.usage + conversation.usage
    return Selection(pool.problem_id, position, answer, confidence, usage, join_notes(*notes))
