"""What a selection costs, and what a budget buys (questions `large` and `cost` of `genselect.py`)."""

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
    find_obstacle,
    open_slate,
    read_proofs,
    select_all,
    select_pools,
)
from genselect_pools import STORED, compare_pools, print_table, show_selections, tell_against

from nbest.judging.conversation import JudgementCounts
from nbest.judging.prompts import render_genselect
from nbest.judging.settings import make_setting
from nbest.records import Pool
from nbest.registry import JudgeModel
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

CLOSE = 0.03
"""How far the tokens of two strategies may be apart to count as the same budget."""
TRIES = 4
"""How often the number of votes is corrected by what the votes before took."""
KINDS = ("calls", "prompt_tokens", "sampled_tokens", "seconds")


def plan_repeats(
    run: Run, stored: str, judge: JudgeModel, equivalence: Equivalence, scale: float = 1.0
) -> dict[str, int]:
    """R of a repeated vote for each problem, so that it spends the tokens that the selections `stored` spent.

    A call of the vote takes template and problem, an even share of the candidates, and the mean judgement; all that
    times `scale`. What one problem spends too much or too little by rounding, the next ones spend less or more.
    """
    spent = {each.problem_id: each.usage.prompt_tokens + each.usage.sampled_tokens for each in run.selections(stored)}
    counts = add_up([each.note for each in run.selections(stored)])
    setting = make_setting(judge.config, judge.policy.sampler, equivalence)
    checkpoint: Any = getattr(judge.policy.sampler, "checkpoint", None)
    judgement = counts.sampled_tokens / max(counts.calls, 1)
    plain = (counts.prompt_tokens + counts.sampled_tokens) / max(counts.calls, 1)

    async def price(pool: Pool) -> tuple[bool, float]:
        """(whether anything is asked, tokens of one call)"""
        slate = await open_slate(pool, setting)
        if checkpoint is None or len(slate.candidates) < 2:
            return len(slate.candidates) > 1, plain
        windows = math.ceil(len(slate.candidates) / setting.window.size)
        bare = len(checkpoint.tokenize_prompt(render_genselect(pool.prompt, (), pool.kind, setting.format.style)))
        return True, bare + sum(each.tokens for each in slate.candidates) / windows + judgement

    async def price_all() -> dict[str, tuple[bool, float]]:
        return {pool.problem_id: await price(pool) for pool in run.pools(tokens=False)}

    repeats: dict[str, int] = {}
    left = 0.0
    for problem_id, (is_asked, tokens) in asyncio.run(price_all()).items():
        if is_asked:
            left += spent[problem_id]
            repeats[problem_id] = max(1, round(left / (scale * tokens)))
            left -= repeats[problem_id] * scale * tokens
    return repeats


def compare_budgets(
    run: Run, n: int, name: str, judge: JudgeModel, equivalence: Equivalence, others: dict[str, str]
) -> dict[str, Any]:
    """A tournament that reads every candidate, against a repeated vote for the same tokens."""
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
        matched = CountedSelector(VOTE, judge, equivalence, repeats, has_proof=True)
        counts[vote] = select_all(run, matched, stored[vote])
        ratio = _spent(counts[vote]) / max(_spent(counts[tournament]), 1)
        if abs(ratio - 1) <= CLOSE:
            break
        scale *= ratio
    chosen = others | {shown: STORED + kept for shown, kept in stored.items()}
    pairs = {"majority": list(chosen), vote: [tournament]}
    rows, gaps = compare_pools(run, n, chosen, pairs, equivalence)
    title = f"## N = {n}, window {window}: tournament against repeated vote for the same tokens, {len(repeats)} asked"
    result = show_selections(title, rows, gaps, counts, {}, {})
    print(f"tournament against the vote: {tell_against(gaps, vote, tournament)} points")
    result["read"] = {shown: _tell_read(run, shown, kept) for shown, kept in stored.items()}
    told = result["read"][tournament]
    if told["unread_of_selected"]:
        raise SystemExit(f"{run.path}: {tournament}: {told['unread_of_selected']} candidates were never read")
    result["tokens"] = _tell_tokens(counts, tournament, vote)
    result["repeats"] = {"mean": statistics.fmean(repeats.values()), "most": max(repeats.values())} if repeats else {}
    return result


def _tell_read(run: Run, shown: str, stored: str) -> dict[str, int]:
    """How many candidates that could be shown stood in at least one window; a selection that abstained may have ended
    before all were read."""
    proofs = list(read_proofs(run, stored).values())
    told = {
        "showable": sum(showable for showable, _, _ in proofs),
        "read": sum(read for _, read, _ in proofs),
        "unread_of_selected": sum(showable - read for showable, read, abstained in proofs if not abstained),
        "unread_of_abstained": sum(showable - read for showable, read, abstained in proofs if abstained),
    }
    print(
        f"{shown}: {told['read']:,} of {told['showable']:,} candidates that can be shown were in at least one window "
        f"({told['unread_of_selected']:,} unread where it selected, {told['unread_of_abstained']:,} where it abstained)"
    )
    return told


def _spent(counts: JudgementCounts) -> int:
    return counts.prompt_tokens + counts.sampled_tokens


def _tell_tokens(counts: dict[str, JudgementCounts], tournament: str, vote: str) -> dict[str, Any]:
    spent = {name: _spent(each) for name, each in counts.items()}
    ratio = spent[vote] / max(spent[tournament], 1)
    told = ", ".join(f"{name} {spent[name]:,} tokens in {counts[name].calls:,} calls" for name in spent)
    print(
        f"{told}; vote / tournament {ratio:.3f}" + ("" if abs(ratio - 1) <= CLOSE else ": NOT the same budget") + "\n"
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
    """Tokens, calls and seconds of one selection: medians of alternating rounds in which `count` selections run at
    once, as `nbest select` runs them."""
    pools: dict[int, list[Pool]] = {}
    selectors: dict[tuple[int, str], CountedSelector] = {}
    skipped: dict[tuple[int, str], str] = {}
    for n, run in runs.items():
        pools[n] = list(run.pools([problem.id for problem in run.problems()][:count], tokens=False))
        for strategy in strategies:
            if why := find_obstacle(strategy, judge, pools[n], equivalence):
                skipped[n, strategy] = why
            else:
                selectors[n, strategy] = CountedSelector(strategy, judge, equivalence)
    taken: dict[tuple[int, str], list[float]] = {key: [] for key in selectors}
    spent: dict[tuple[int, str], JudgementCounts] = {}
    # The first call pays for what later ones find warm.
    asyncio.run(select_pools(next(iter(selectors.values())), pools[next(iter(runs))][:4]))
    for round_ in range(repeats):
        for key, selector in list(selectors.items())[:: -1 if round_ % 2 else 1]:
            start = clock()
            made = asyncio.run(select_pools(selector, pools[key[0]]))
            taken[key].append((clock() - start) / len(made))
            spent[key] = add_up([selection.note for selection in made])
    return _tell_costs(taken, spent, skipped, len(next(iter(pools.values()))))


def _tell_costs(
    taken: dict[tuple[int, str], list[float]],
    spent: dict[tuple[int, str], JudgementCounts],
    skipped: dict[tuple[int, str], str],
    count: int,
) -> dict[str, Any]:
    each: dict[str, dict[str, Any]] = {}
    ratios: dict[str, float] = {}
    cells: list[list[str]] = []
    for (n, strategy), seconds in sorted(taken.items(), key=lambda item: item[0][0]):
        cost = describe_counts(spent[n, strategy])["per_selection"] | {"seconds": statistics.median(seconds)}
        cost["agreed"] = spent[n, strategy].agreed
        base = describe_counts(spent[n, TOURNAMENT])["per_selection"]
        base |= {"seconds": statistics.median(taken[n, TOURNAMENT])}
        each[f"{strategy}, N={n}"] = cost
        told = [f"{cost[kind]:.2f}" for kind in KINDS[:3]] + [f"{1000 * cost['seconds']:.1f}"]
        compared: list[str] = []
        for kind in KINDS:
            ratio = cost[kind] / base[kind] if base[kind] else math.nan
            compared.append(f"{ratio:.2f}")
            if strategy != TOURNAMENT and not math.isnan(ratio):
                ratios[f"{kind}, {strategy} / {TOURNAMENT}, N={n}"] = ratio
        cells.append([str(n), strategy, *told, *compared, f"{cost['agreed']} of {count}"])
    cells += [[str(n), strategy, f"skipped: {why}", *[""] * 8] for (n, strategy), why in skipped.items()]
    print(f"## Cost of a selection: {count} at once, medians of rounds; the ratios are to {TOURNAMENT} at the same N\n")
    kinds = ["calls", "prompt tokens", "sampled tokens", "ms"]
    print_table(["N", "strategy", *kinds, *(f"{kind}, ratio" for kind in kinds), "answers agreed"], cells)
    told_skipped = {f"{strategy}, N={n}": why for (n, strategy), why in skipped.items()}
    return {"per_selection": each, "ratios": ratios, "skipped": told_skipped, "selections": count}
