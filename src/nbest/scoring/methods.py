"""The specs of the built-in scorers, by name. The modules of this package say what each computes.

A scorer's class is imported when it is built, so that listing the specs loads no model library.
"""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from nbest.config import Aggregation, Count, Section
from nbest.errors import ConfigError
from nbest.scoring.confidence import LOWEST_SHARE, WINDOW_TOKENS
from nbest.specs import Need, Spec, load

BUNDLED_SCORERS = ("trajselector", "trajselector-fused")
"""Step scorers that come with the package, for its bundled policy."""


class WindowOptions(Section):
    """`window` is the length of a window, in tokens."""

    window: Count = WINDOW_TOKENS


class BottomOptions(WindowOptions):
    """`share` is the part of all windows, the lowest ones, whose mean is the score."""

    share: float = Field(default=LOWEST_SHARE, gt=0, le=1)


class TailOptions(Section):
    """`tail` is the number of tokens at the end whose mean is the score."""

    tail: Count = WINDOW_TOKENS


class StepScorerOptions(Section):
    """`model` is the folder or hub id of a trained step scorer (None: the bundled one of this name, if there is one).

    `aggregation` says how its step scores become one value, `readout` which number of the probabilities of a step is
    its score: p_right, 1 - p_wrong (not-wrong), p_right + p_buffer / 2 (half) or p_right / (p_right + p_wrong) (share).
    None: as the model's config says.
    """

    model: str | None = None
    aggregation: Aggregation | None = None
    readout: Literal["right", "not-wrong", "half", "share"] | None = None


class RewardOptions(Section):
    """`model` is the reward model (folder or hub id), `family` how it reads a trajectory (None: found by
    the hub id).

    `aggregation` says how its step rewards become one value (None: as its family says), `too_long` what happens to a
    trajectory that is longer than the model's context (None: as its family says). `reference` is the language model
    that an implicit reward model, such as EurusPRM, is divided by (None: that of its family).
    """

    model: str | None = None
    family: str | None = None
    aggregation: Aggregation | None = None
    too_long: Literal["error", "skip", "truncate-left-steps", "window"] | None = None
    reference: str | None = None


def _build_log_probability(how: str) -> Callable[..., Any]:
    def build(*_: object) -> Any:
        return load("nbest.scoring.confidence:LogprobScorer")(how)

    return build


def _build_deepconf(kind: str) -> Callable[..., Any]:
    def build(_: object, options: Section, __: str) -> Any:
        return load("nbest.scoring.confidence:DeepConfScorer")(kind, **options.model_dump())

    return build


def _build_self_certainty(*_: object) -> Any:
    return load("nbest.scoring.confidence:SelfCertaintyScorer")()


def _build_step_scorer(name: str) -> Callable[..., Any]:
    def build(_: object, options: StepScorerOptions, __: str) -> Any:
        model = options.model or (f"bundled:{name}" if name in BUNDLED_SCORERS else None)
        if model is None:
            raise ConfigError(
                f"scorer {name!r} does not come with the package: train one with `nbest train scorer CONFIG.toml` and "
                "name its folder with --scorer-model, or as the option model"
            )
        scorer = load("nbest.scoring.hidden:load_step_scorer")(
            load("nbest.sampling.checkpoint:locate_checkpoint")(model)
        )
        return load("nbest.scoring.hidden:HiddenScorer")(scorer, options.aggregation, readout=options.readout)

    return build


def _build_reward(_: object, options: RewardOptions, __: str) -> Any:
    if options.model is None:
        raise ConfigError("scorer 'reward' needs --scorer-model, a process or outcome reward model (folder or hub id)")
    scorer = load("nbest.scoring.reward.model:RewardModelScorer")(
        options.model, options.family, options.aggregation, options.too_long, reference=options.reference
    )
    if options.aggregation is not None and not scorer.family.is_process:
        raise ConfigError(
            f"aggregation: the reward model {options.model!r} (family {scorer.family.name}) gives one reward per "
            "trajectory; leave the option out"
        )
    return scorer


_DEEPCONF = "DeepConf, arXiv 2508.15260"
_STATES: frozenset[Need] = frozenset({"states"})
_TRAINED: frozenset[Need] = frozenset({"states", "model"})

SPECS = (
    Spec(
        "trajselector",
        "scorer",
        _build_step_scorer("trajselector"),
        "A 0.6B step scorer over the policy's hidden states.",
        "TrajSelector, arXiv 2510.16449",
        StepScorerOptions,
        _STATES,
        position=1,
    ),
    Spec(
        "trajselector-fused",
        "scorer",
        _build_step_scorer("trajselector-fused"),
        "As trajselector, with the log-probabilities of each step beside its state.",
        "",
        StepScorerOptions,
        frozenset({"states", "logprobs"}),
        position=2,
    ),
    Spec(
        "step-mlp",
        "scorer",
        _build_step_scorer("step-mlp"),
        "An MLP on the state of each step alone.",
        "STEP, arXiv 2601.09093",
        StepScorerOptions,
        _TRAINED,
        position=3,
    ),
    Spec(
        "sprm",
        "scorer",
        _build_step_scorer("sprm"),
        "A head on frozen states at blank lines, geometric mean over steps.",
        "after SPRM (MetaStone-S1, arXiv 2507.01951), without training the backbone",
        StepScorerOptions,
        _TRAINED,
        position=4,
    ),
    Spec(
        "swift",
        "scorer",
        _build_step_scorer("swift"),
        "A gated linear probe of the states at step ends.",
        "after SWIFT (arXiv 2505.12225), on step ends only",
        StepScorerOptions,
        _TRAINED,
        position=5,
    ),
    Spec(
        "clue",
        "scorer",
        _build_step_scorer("clue"),
        "The nearest centroid of what changed between the first and the last step end.",
        "after CLUE (arXiv 2510.01591), on step ends only",
        StepScorerOptions,
        _TRAINED,
        position=6,
    ),
    Spec(
        "step-scorer",
        "scorer",
        _build_step_scorer("step-scorer"),
        "Any step scorer of your own, by its folder.",
        "",
        StepScorerOptions,
        _TRAINED,
        position=7,
    ),
    Spec(
        "mean-logprob",
        "scorer",
        _build_log_probability("mean"),
        "The mean log-probability of the sampled tokens.",
        needs=frozenset({"logprobs"}),
        position=10,
    ),
    Spec(
        "min-logprob",
        "scorer",
        _build_log_probability("min"),
        "The lowest log-probability of a sampled token.",
        needs=frozenset({"logprobs"}),
        position=11,
    ),
    Spec(
        "perplexity",
        "scorer",
        _build_log_probability("perplexity"),
        "Minus the perplexity of the sampled tokens.",
        needs=frozenset({"logprobs"}),
        position=12,
    ),
    Spec(
        "deepconf-mean",
        "scorer",
        _build_deepconf("mean"),
        "The mean token confidence.",
        _DEEPCONF,
        needs=frozenset({"confidences"}),
        position=13,
    ),
    Spec(
        "deepconf-tail",
        "scorer",
        _build_deepconf("tail"),
        "The mean token confidence of the last tokens.",
        _DEEPCONF,
        TailOptions,
        frozenset({"confidences"}),
        position=14,
    ),
    Spec(
        "deepconf-bottom",
        "scorer",
        _build_deepconf("bottom"),
        "The mean of the lowest windows of token confidence.",
        _DEEPCONF,
        BottomOptions,
        frozenset({"confidences"}),
        position=15,
    ),
    Spec(
        "deepconf-window",
        "scorer",
        _build_deepconf("window"),
        "The lowest window of token confidence.",
        _DEEPCONF,
        WindowOptions,
        frozenset({"confidences"}),
        position=16,
    ),
    Spec(
        "self-certainty",
        "scorer",
        _build_self_certainty,
        "The mean divergence of the draws from a uniform choice.",
        "arXiv 2502.18581",
        needs=frozenset({"certainties"}),
        position=17,
    ),
    Spec(
        "reward",
        "scorer",
        _build_reward,
        "A process or outcome reward model that reads the text.",
        "",
        RewardOptions,
        frozenset({"model"}),
        position=20,
    ),
)
