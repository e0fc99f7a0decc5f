"""The settings of the training commands and of `nbest tasks build`. Defaults are the published values, if there are
any.

This module only defines sections; `config.py` reads and validates them.
"""

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from nbest.config import Aggregation, CandidateThinking, Count, Folder, PromptStyle, Section


class ModelShape(Section):
    """The shape of a small model with the Qwen3 architecture."""

    hidden_size: Count = 128
    layers: Count = 5
    heads: Count = 4
    kv_heads: Count = 2
    head_size: Count = 32
    mlp_size: Count = 384
    vocabulary: Count = 640
    context_tokens: Count = 512


class PolicyTrainingConfig(Section):
    """The settings of `nbest train policy`; the defaults are those of the bundled weights."""

    out: Path = Field(default=Path("checkpoints/policy"), strict=False)
    seed: int = 1
    model: ModelShape = ModelShape()
    steps: tuple[Count, Count] = Field(default=(3, 6), strict=False)
    batch_trajectories: Count = 64
    updates: Count = 2400
    learning_rate: float = 2.5e-3
    warmup_updates: int = 100
    weight_decay: float = 0.1
    save_every: Count = 200
    log_every: Count = 25
    threads: Count = 2


class ScorerDataConfig(Section):
    """Verified runs with hidden states. Validation uses other runs, or a share of the problems chosen by a hash of the
    id.

    `balance` draws as many right as wrong trajectories per `problem`, per `run` or over the whole `set`; `none` takes
    all. `per_problem` trains on at most that many trajectories of each problem, chosen once by the seed. With one data
    set per run, `balance = "run"` and `per_problem = 1` are the published choice (arXiv 2510.16449). `trajectories`
    limits how many are read (whole problems, in order).
    """

    runs: tuple[Folder, ...] = Field(min_length=1, strict=False)
    validation_runs: tuple[Folder, ...] = Field(default=(), strict=False)
    validation_share: float = Field(default=0.05, gt=0, lt=1)
    validation_problems: Count = 300
    balance: Literal["problem", "run", "set", "none"] = "problem"
    per_problem: Count | None = None
    trajectories: Count | None = None


class ScorerModelConfig(Section):
    """The step scorer.

    `states` and `logprobs` choose its inputs; both together are `trajselector-fused`. `layers` are those of the states
    (-1 = the highest layer that the run stores). `body`, `body_layers`, `body_random` and `classes` apply to
    TrajSelector only, `hidden_size` to `step-mlp` only.
    """

    type: Literal["trajselector", "step-mlp", "sprm", "swift", "clue"] = "trajselector"
    layers: tuple[int, ...] = Field(default=(-1,), min_length=1, strict=False)
    states: bool = True
    logprobs: bool = False
    standardise: bool = True
    aggregation: Aggregation | None = None
    body: str = "Qwen/Qwen3-0.6B-Base"
    body_layers: Count | None = None
    body_random: bool = False
    classes: Literal[2, 3] = 3
    hidden_size: Count = 512


class ScorerLossConfig(Section):
    """The loss of a step scorer and the weights of the two classes.

    `guarded-half` is the guard of FreePRM with b = 0.5, as its released code runs it; `guarded-stochastic` draws b
    (`guarded` is its former name). `printed` is the published formula, `outcome` is cross-entropy without a buffer
    class, `agreeing` is the loss of SPRM. None is the default of the model's type.

    Training stops if the mean probability of the buffer class exceeds `most_buffer`. If it falls below `least_buffer`,
    the class is not used and the model is one of two classes: the log and the summary warn.
    """

    name: Literal["guarded-half", "guarded-stochastic", "guarded", "printed", "outcome", "agreeing"] | None = None
    right_weight: float = Field(default=1.0, gt=0)
    wrong_weight: float = Field(default=1.0, gt=0)
    most_buffer: float = Field(default=0.98, gt=0, le=1)
    least_buffer: float = Field(default=0.02, ge=0, lt=1)


class ScorerTrainingConfig(Section):
    """The settings of `nbest train scorer`; the defaults are published (arXiv 2510.16449, appendix)."""

    out: Path = Field(default=Path("checkpoints/scorer"), strict=False)
    seed: int = 1
    data: ScorerDataConfig
    model: ScorerModelConfig = ScorerModelConfig()
    loss: ScorerLossConfig = ScorerLossConfig()
    epochs: Count = 3
    batch_trajectories: Count = 2
    accumulation: Count = 4
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    warmup_share: float = Field(default=0.03, ge=0, le=1)
    bf16: bool = False
    gradient_checkpointing: bool = False
    evaluations: Count = 6
    log_every: Count = 25
    trackers: tuple[str, ...] = Field(default=(), strict=False)
    threads: Count = 1


ImportanceCorrection: TypeAlias = Literal["token-truncate", "token-mask", "sequence-truncate", "sequence-mask", "off"]

PROMPT_LIMIT_TOKENS = 16_384
"""The published limit of the prompt of a selection task (arXiv 2602.02143)."""


class TasksConfig(Section):
    """The settings of `nbest tasks build`.

    The defaults of limits and of the numbers of candidates and tasks are published (arXiv 2602.02143, and 2507.17797
    for the counts). The mean and deviation of the truncated normal distribution are not published; their defaults are
    ours.

    `solutions` is the least number of usable, distinct candidates of a problem; `most` is the largest number of
    candidates of a task; `truncated` accepts trajectories that ended at their token limit.

    `tokenizer` counts prompts and candidates. Without one nothing is counted, and there are no token limits. With one,
    `max_prompt_tokens` None means 16,384, and `max_candidate_tokens` None means 12,288 for code and no limit for other
    kinds.
    """

    style: PromptStyle = "published"
    thinking: CandidateThinking = "remove"
    tokenizer: str | None = None
    seed: int = 0
    max_pass_rate: float = Field(default=0.5, gt=0, le=1)
    solutions: int = Field(default=4, ge=2)
    per_problem: int = Field(default=4, ge=1, le=10_000)
    most: int = Field(default=16, ge=2)
    mean_candidates: float = Field(default=8.0, gt=0, le=1e6)
    sd_candidates: float = Field(default=4.0, ge=1e-6, le=1e6)
    truncated: bool = False
    max_prompt_tokens: Count | None = None
    max_candidate_tokens: Count | None = None
    validation_share: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _check_limits(self) -> "TasksConfig":
        limits = {"max_prompt_tokens": self.max_prompt_tokens, "max_candidate_tokens": self.max_candidate_tokens}
        names = [name for name, limit in limits.items() if limit is not None]
        if names and self.tokenizer is None:
            raise ValueError(
                f"{' and '.join(names)} count tokens, and no tokenizer is named. Set tokenizer to the model that reads "
                "the prompts (a folder, a hub id or bundled:NAME)."
            )
        return self

    @property
    def prompt_limit_tokens(self) -> int | None:
        """The largest number of tokens in a prompt; None if no tokenizer counts them."""
        return None if self.tokenizer is None else self.max_prompt_tokens or PROMPT_LIMIT_TOKENS


class SelectionDataConfig(Section):
    """Task files of `nbest tasks build`. Validation uses the first `validation_count` of the validation tasks."""

    tasks: tuple[Folder, ...] = Field(min_length=1, strict=False)
    validation_tasks: tuple[Folder, ...] = Field(default=(), strict=False)
    validation_count: Count = 512
    validate_every: Count = 25
    validation_temperature: float = Field(default=0.6, ge=0)


class ColdStartConfig(Section):
    """Supervised fine-tuning before reinforcement learning, for a model that is too small to follow instructions.

    `runs` are the runs that the tasks were built from, `tasks` is the number of demonstrations. Each integer in the
    range `answers` (inclusive) becomes a token, and so does each candidate number.
    """

    runs: tuple[Folder, ...] = Field(min_length=1, strict=False)
    answers: tuple[int, int] = Field(default=(-99, 299), strict=False)
    drill_updates: Count = 1200
    drill_rate: float = Field(default=2e-3, gt=0)
    tasks: Count = 2000
    updates: Count = 300
    batch_tasks: Count = 32
    learning_rate: float = Field(default=1e-3, gt=0)


class RolloutConfig(Section):
    """The judgements that are drawn during training. A generation batch has `prompts` tasks with `group` rollouts each
    (G).

    `in-process` samples from the model in training; `vllm-colocate` and `vllm-server` are the vLLM modes of TRL.
    Published values: 128 prompts, 16 rollouts for math and 8 for code, T = 1.5, at most 16,384 tokens (arXiv
    2602.02143).

    `memory_share` is the share of a GPU's memory that a colocated vLLM takes. With `sleep_mode` it gives this memory
    back during updates; every round of sampling then copies the weights anew. vLLM and the trainer compute slightly
    different probabilities for the same tokens. `importance_correction` says how the loss is weighed by their ratio:
    per token or per rollout (`sequence`), and whether ratios above `importance_cap` are cut (`truncate`) or left out
    (`mask`). The ratio of a rollout is a product over its tokens, so that of a long one is far from 1 although each
    factor is near 1. The three settings of vLLM have no effect in the other engines.
    """

    engine: Literal["in-process", "vllm-colocate", "vllm-server"] = "vllm-colocate"
    prompts: Count = 128
    group: int = Field(default=16, ge=2)
    temperature: float = Field(default=1.5, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: Count = 16_384
    batch_rows: Count = 256
    server_url: str | None = None
    memory_share: float = Field(default=0.3, gt=0, lt=1)
    sleep_mode: bool = False
    importance_correction: ImportanceCorrection = "token-truncate"
    importance_cap: float = Field(default=3.0, gt=0)


class DapoConfig(Section):
    """The parts of DAPO (arXiv 2503.14476), each of which can be switched off.

    Clip-higher is off if `clip_high` equals `clip_low`. Dynamic sampling draws tasks at most `most_rounds` times per
    batch; 1 switches it off. Each round after the first draws `oversampling` times as many tasks as useful groups are
    missing. `token_loss` false averages over each rollout first, as GRPO does. The soft overlong punishment covers the
    last `overlong_tokens` before the limit; 0 switches it off. `filter_overlong` excludes truncated judgements from the
    loss instead. The paper tries this filtering first and then replaces it by the punishment; the two exclude each
    other, because the punishment of a judgement that is left out would only raise the advantages of the others.
    """

    clip_low: float = Field(default=0.2, gt=0)
    clip_high: float = Field(default=0.28, gt=0)
    most_rounds: Count = 10
    oversampling: float = Field(default=1.0, ge=1, allow_inf_nan=False)
    token_loss: bool = True
    overlong_tokens: int = Field(default=4096, ge=0)
    filter_overlong: bool = False


class OptimiserConfig(Section):
    """The optimiser: `updates_per_batch` updates on each generation batch, `micro_rows` rollouts per forward pass."""

    updates: Count = 500
    updates_per_batch: Count = 4
    micro_rows: Count = 16
    learning_rate: float = Field(default=1e-6, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_updates: int = Field(default=0, ge=0)
    bf16: bool = False
    gradient_checkpointing: bool = False
    share_prompts: bool = False


class SelectionTrainingConfig(Section):
    """The settings of `nbest train genselect`; the defaults are published (arXiv 2602.02143).

    Not published are the number of updates, the updates per batch and the length of the soft punishment.
    """

    out: Path = Field(default=Path("checkpoints/genselect"), strict=False)
    seed: int = 1
    model: str = "Qwen/Qwen3-1.7B"
    revision: str | None = None
    data: SelectionDataConfig
    cold_start: ColdStartConfig | None = None
    rollouts: RolloutConfig = RolloutConfig()
    dapo: DapoConfig = DapoConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    window: int = Field(default=8, ge=2)
    save_every: Count = 20
    log_every: Count = 1
    trackers: tuple[str, ...] = Field(default=(), strict=False)
    threads: Count = 1
