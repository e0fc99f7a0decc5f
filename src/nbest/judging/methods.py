"""The methods in which a model reads candidates, by name. Each class is imported when it is built.

Their options override the judge's own settings (`nbest.config.GenerativeConfig`); None keeps them. A method takes only
the options that it uses.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from nbest.config import Count, Section
from nbest.selecting.execution.clusters import ClusterOptions
from nbest.specs import Need, Spec, load

_JUDGE: frozenset[Need] = frozenset({"judge", "answers"})
_GENSELECT = "GenSelect, arXiv 2507.17797 and 2602.02143"


class SummaryOptions(Section):
    """With `summary_tokens`, the model first summarises each candidate in at most this many tokens."""

    summary_tokens: Count | None = None


class SelectorOptions(SummaryOptions):
    """`on_failure` says what to select if there is no judgement: nothing (an abstention) or the majority answer."""

    on_failure: Literal["abstain", "majority"] | None = None


class WindowOptions(SelectorOptions):
    """`window` is the largest number of candidates in one prompt."""

    window: int | None = Field(default=None, ge=2)


class VoteOptions(WindowOptions):
    """`repeats` is the number of windows that are judged."""

    repeats: Count | None = None


class PointwiseOptions(SelectorOptions):
    """`repeats` is the number of judgements of each candidate."""

    repeats: Count | None = None


class ScorerOptions(SummaryOptions):
    """`repeats` is the number of times that all candidates are dealt into windows of at most `window`."""

    repeats: Count | None = None
    window: int | None = Field(default=None, ge=2)


class SStarOptions(ClusterOptions):
    """`clusters` take part, and the judge writes at most `probes` inputs per pair of programs.

    `on_failure` says what to select if there is no judgement: nothing, or the largest cluster.
    """

    clusters: Count = 4
    probes: Count = 5
    on_failure: Literal["abstain", "majority"] | None = None


def _make_builder(reference: str, name: str) -> Callable[..., Any]:
    def build(context: Any, options: Section, _: str) -> Any:
        settings = context.require_judge(name).settings(context.equivalence)
        changes = {option: value for option, value in options.model_dump().items() if value is not None}
        if "window" in changes:
            changes["window"] = replace(settings.window, size=changes["window"])
        return load(reference)(replace(settings, **changes))

    return build


def _make_selector_spec(
    name: str, reference: str, summary: str, source: str, options: type[Section], position: int
) -> Spec:
    build = _make_builder(reference, f"selector {name!r}")
    return Spec(name, "selector", build, summary, source, options, _JUDGE, position=position)


SPECS = (
    Spec(
        "genselect",
        "scorer",
        _make_builder("nbest.judging.scorer:GenSelectScorer", "scorer 'genselect'"),
        "How often a model that reads windows of candidates names the answer of this one.",
        _GENSELECT,
        ScorerOptions,
        _JUDGE,
        position=21,
    ),
    _make_selector_spec(
        "genselect",
        "nbest.judging.selectors:GenSelectSelector",
        "A model reads all candidates in one window and names the best.",
        _GENSELECT,
        WindowOptions,
        30,
    ),
    _make_selector_spec(
        "genselect-tournament",
        "nbest.judging.selectors:TournamentSelector",
        "Windows in rounds: the candidate that each window's judgement names goes on.",
        _GENSELECT,
        WindowOptions,
        31,
    ),
    _make_selector_spec(
        "genselect-vote",
        "nbest.judging.selectors:VoteSelector",
        "Many shuffled windows; the answer that most judgements name wins.",
        "AIMO-2, arXiv 2504.16891",
        VoteOptions,
        32,
    ),
    _make_selector_spec(
        "usc",
        "nbest.judging.selectors:ConsistencySelector",
        "A model names the response that agrees most with the others.",
        "Universal self-consistency, arXiv 2311.17311",
        WindowOptions,
        33,
    ),
    _make_selector_spec(
        "knockout",
        "nbest.judging.pairwise:KnockoutSelector",
        "Pairs of candidates in both orders, until one is left.",
        "S*, arXiv 2502.14382",
        SelectorOptions,
        34,
    ),
    _make_selector_spec(
        "genrm",
        "nbest.judging.pointwise:PointwiseSelector",
        "A model says of each candidate alone whether it is right.",
        "GenRM, arXiv 2408.15240",
        PointwiseOptions,
        35,
    ),
    Spec(
        "s-star",
        "selector",
        "nbest.judging.s_star:build_s_star",
        "A model writes inputs that tell programs apart, and judges the programs by what they do on them.",
        "S*, arXiv 2502.14382",
        SStarOptions,
        frozenset({"judge", "sandbox"}),
        position=45,
    ),
)
