"""Measure the cost of a selection, and compare strategies at equal budget (`large` and `cost` of `genselect.py`)."""

import asyncio
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from genselect_judges import (
    TOURNAMENT,
    VOTE,
    CountedSelector,
    add_up,
    describe_counts,
    find_candidates,
    find_obstacle,
    read_proofs,
    select_all,
    select_pools,
)
from genselect_pools import STORED, compare_pools, format_gap_to, print_table, show_selections

from nbest.judging.conversation import JudgementCounts
from nbest.judging.models import JudgeModel
from nbest.judging.prompts import render_genselect
from nbest.records import Pool, user_message
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

CLOSE = 0.03
"""The largest relative difference in tokens at which two strategies count as having the same budget."""
TRIES = 4
"""The number of corrections of the number of votes, each from the cost of the votes before."""
KINDS = ("calls", "prompt_tokens", "sampled_tokens", "seconds")


def plan_repeats(
    run: Run, stored: str, judge: JudgeModel, equivalence: Equivalence, scale: float = 1.0
) -> dict[str, int]:
    """Return the number of repeats of a vote per problem, so that it spends as many tokens as the selections `stored`.

    A call of the vote costs the template and the problem, an equal share of the candidates, and the mean judgement,
    times `scale`. Rounding errors are carried over to the next problems.
    """
    selections = list(run.selections(stored))
    spent = {s.problem_id: s.usage.prompt_tokens + s.usage.sampled_tokens for s in selections}
    counts = add_up([s.note for s in selections])
    settings = judge.settings(equivalence)
    vocabulary = judge.sampler.vocabulary
    judgement = counts.sampled_tokens / max(counts.calls, 1)
    plain = (counts.prompt_tokens + counts.sampled_tokens) / max(counts.calls, 1)

    async def price(pool: Pool) -> tuple[bool, float]:
        """Return (whether the pool needs calls, tokens per call)."""
        candidate_set = await find_candidates(pool, settings)
        if vocabulary is None or len(candidate_set.candidates) < 2:
            return len(candidate_set.candidates) > 1, plain
        windows = math.ceil(len(candidate_set.candidates) / settings.window.size)
        prompt = render_genselect(pool.prompt, (), pool.kind, settings.format.style)
        bare = vocabulary.count_prompt_tokens(user_message(prompt))
        return True, bare + sum(candidate.tokens for candidate in candidate_set.candidates) / windows + judgement

    async def price_all() -> dict[str, tuple[bool, float]]:
        return {pool.problem_id: await price(pool) for pool in run.pools(tokens=False)}

    repeats: dict[str, int] = {}
    budget = 0.0
    for problem_id, (is_asked, tokens) in asyncio.run(price_all()).items():
        if is_asked:
            budget += spent[problem_id]
            repeats[problem_id] = max(1, round(budget / (scale * tokens)))
            budget -= repeats[problem_id] * scale * tokens
    return repeats


def compare_budgets(
    run: Run, n: int, name: str, judge: JudgeModel, equivalence: Equivalence, others: dict[str, str]
) -> dict[str, Any]:
    """Compare a tournament that reads every candidate with a repeated vote of the same number of tokens."""
    window = judge.config.window
    tournament, vote = f"{name} tournament", f"{name} vote, same tokens"
    stored = {tournament: f"{name}-{TOURNAMENT}-proved"}
    counts = {
        tournament: select_all(run, CountedSelector(TOURNAMENT, judge, equivalence, has_proof=True), stored[tournament])
    }
    repeats: dict[str, int] = {}
    scale = 1.0
    for number in range(TRIES):
        repeats = plan_repeats(run, stored[tournament], judge, equivalence, scale)
        stored[vote] = f"{name}-{VOTE}-matched-{number}"
        selector = CountedSelector(VOTE, judge, equivalence, repeats, has_proof=True)
        counts[vote] = select_all(run, selector, stored[vote])
        ratio = _spent(counts[vote]) / max(_spent(counts[tournament]), 1)
        if abs(ratio - 1) <= CLOSE:
            break
        scale *= ratio
    selectors = others | {label: STORED + name for label, name in stored.items()}
    pairs = {"majority": list(selectors), vote: [tournament]}
    rows, gaps = compare_pools(run, n, selectors, pairs, equivalence)
    title = f"## N = {n}, window {window}: tournament against repeated vote for the same tokens, {len(repeats)} asked"
    result = show_selections(title, rows, gaps, counts, {}, {})
    print(f"tournament against the vote: {format_gap_to(gaps, vote, tournament)} points")
    result["read"] = {label: _report_reading(run, label, name) for label, name in stored.items()}
    reading = result["read"][tournament]
    if reading["unread_of_selected"]:
        raise SystemExit(f"{run.path}: {tournament}: {reading['unread_of_selected']} candidates were never read")
    result["tokens"] = _report_tokens(counts, tournament, vote)
    result["repeats"] = {"mean": statistics.fmean(repeats.values()), "most": max(repeats.values())} if repeats else {}
    return result


def _report_reading(run: Run, label: str, stored: str) -> dict[str, int]:
    """Print and return how many candidates that could be shown were in at least one window.

    A selection that abstained may have ended before all were read.
    """
    proofs = list(read_proofs(run, stored).values())
    counts = {
        "showable": sum(showable for showable, _, _ in proofs),
        "read": sum(read for _, read, _ in proofs),
        "unread_of_selected": sum(showable - read for showable, read, abstained in proofs if not abstained),
        "unread_of_abstained": sum(showable - read for showable, read, abstained in proofs if abstained),
    }
    print(
        f"{label}: {counts['read']:,} of {counts['showable']:,} candidates that can be shown were in at "
        f"least one window ({counts['unread_of_selected']:,} unread where it selected, "
        f"{counts['unread_of_abstained']:,} where it abstained)"
    )
    return counts


def _spent(counts: JudgementCounts) -> int:
    return counts.prompt_tokens + counts.sampled_tokens


def _report_tokens(counts: dict[str, JudgementCounts], tournament: str, vote: str) -> dict[str, Any]:
    spent = {name: _spent(count) for name, count in counts.items()}
    ratio = spent[vote] / max(spent[tournament], 1)
    summary = ", ".join(f"{name} {spent[name]:,} tokens in {counts[name].calls:,} calls" for name in spent)
    print(
        f"{summary}; vote / tournament {ratio:.3f}"
        + ("" if abs(ratio - 1) <= CLOSE else ": NOT the same budget")
        + "\n"
    )
    return {"all": spent, "vote / tournament": ratio, "is_same_budget": abs(ratio - 1) <= CLOSE}


def measure_costs(
    runs: dict[int, Run],
    judge: JudgeModel,
    strategies: Sequence[str],
    count: int,
    repeats: int,
    clock: Callable[[], float],
    equivalence: Equivalence,
) -> dict[str, Any]:
    """Measure tokens, calls and seconds per selection, as medians over rounds in alternating order.

    In a round `count` selections run at once, as in `nbest select`.
    """
    pools: dict[int, list[Pool]] = {}
    selectors: dict[tuple[int, str], CountedSelector] = {}
    skipped: dict[tuple[int, str], str] = {}
    for n, run in runs.items():
        pools[n] = list(run.pools([problem.id for problem in run.problems()][:count], tokens=False))
        for strategy in strategies:
            if reason := find_obstacle(strategy, judge, pools[n], equivalence):
                skipped[n, strategy] = reason
            else:
                selectors[n, strategy] = CountedSelector(strategy, judge, equivalence)
    durations: dict[tuple[int, str], list[float]] = {key: [] for key in selectors}
    spent: dict[tuple[int, str], JudgementCounts] = {}
    # The first call is slower, because later ones find warm caches.
    asyncio.run(select_pools(next(iter(selectors.values())), pools[next(iter(runs))][:4]))
    for round_ in range(repeats):
        for key, selector in list(selectors.items())[:: -1 if round_ % 2 else 1]:
            start = clock()
            selections = asyncio.run(select_pools(selector, pools[key[0]]))
            durations[key].append((clock() - start) / len(selections))
            spent[key] = add_up([selection.note for selection in selections])
    return _report_costs(durations, spent, skipped, len(next(iter(pools.values()))))


def _report_costs(
    durations: dict[tuple[int, str], list[float]],
    spent: dict[tuple[int, str], JudgementCounts],
    skipped: dict[tuple[int, str], str],
    count: int,
) -> dict[str, Any]:
    costs: dict[str, dict[str, Any]] = {}
    ratios: dict[str, float] = {}
    cells: list[list[str]] = []
    for (n, strategy), seconds in sorted(durations.items(), key=lambda item: item[0][0]):
        cost = describe_counts(spent[n, strategy])["per_selection"] | {"seconds": statistics.median(seconds)}
        cost["agreed"] = spent[n, strategy].agreed
        base = describe_counts(spent[n, TOURNAMENT])["per_selection"]
        base |= {"seconds": statistics.median(durations[n, TOURNAMENT])}
        costs[f"{strategy}, N={n}"] = cost
        amounts = [f"{cost[kind]:.2f}" for kind in KINDS[:3]] + [f"{1000 * cost['seconds']:.1f}"]
        relative: list[str] = []
        for kind in KINDS:
            ratio = cost[kind] / base[kind] if base[kind] else math.nan
            relative.append(f"{ratio:.2f}")
            if strategy != TOURNAMENT and not math.isnan(ratio):
                ratios[f"{kind}, {strategy} / {TOURNAMENT}, N={n}"] = ratio
        cells.append([str(n), strategy, *amounts, *relative, f"{cost['agreed']} of {count}"])
    cells += [[str(n), strategy, f"skipped: {reason}", *[""] * 8] for (n, strategy), reason in skipped.items()]
    print(f"## Cost of a selection: {count} at once, medians of rounds; the ratios are to {TOURNAMENT} at the same N\n")
    kinds = ["calls", "prompt tokens", "sampled tokens", "ms"]
    print_table(["N", "strategy", *kinds, *(f"{kind}, ratio" for kind in kinds), "answers agreed"], cells)
    reasons = {f"{strategy}, N={n}": reason for (n, strategy), reason in skipped.items()}
    return {"per_selection": costs, "ratios": ratios, "skipped": reasons, "selections": count}
