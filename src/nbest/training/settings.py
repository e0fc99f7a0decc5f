"""What the training commands and `nbest tasks build` can be told; defaults are published where there are any.

Sections only: reading and refusing is `config.py`'s.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from nbest.config import Count, Folder, Section


class ModelShape(Section):
    """A small Qwen3-architecture model."""

    hidden_size: Count = 128
    layers: Count = 5
    heads: Count = 4
    kv_heads: Count = 2
    head_size: Count = 32
    mlp_size: Count = 384
    vocabulary: Count = 640
    context_tokens: Count = 512


class PolicyTrainingConfig(Section):
    """What `nbest train policy` does; the defaults made the bundled weights."""

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
    """Verified runs that hold states. Validation is by problem: other runs, or a share of the problems by a hash.

    `balance`: as many right as wrong trajectories of each `problem`, over the whole `set`, or `none`. `trajectories`
    limits how many are read (whole problems, in order).
    """

    runs: tuple[Folder, ...] = Field(min_length=1, strict=False)
    validation_runs: tuple[Folder, ...] = Field(default=(), strict=False)
    validation_share: float = Field(default=0.05, gt=0, lt=1)
    validation_problems: Count = 300
    balance: Literal["problem", "set", "none"] = "problem"
    trajectories: Count | None = None


class ScorerModelConfig(Section):
    """The reader of steps. `layers` of the states (-1 = the highest the run kept), `states` and `logprobs` say what is
    read; both together are `trajselector-fused`. `body` and what follows belong to TrajSelector alone."""

    type: Literal["trajselector", "step-mlp", "sprm", "swift", "clue"] = "trajselector"
    layers: tuple[int, ...] = Field(default=(-1,), min_length=1, strict=False)
    states: bool = True
    logprobs: bool = False
    standardise: bool = True
    aggregation: Literal["mean", "min", "last", "product", "geometric_mean"] | None = None
    body: str = "Qwen/Qwen3-0.6B-Base"
    body_layers: Count | None = None
    body_random: bool = False
    classes: Literal[2, 3] = 3
    hidden_size: Count = 512


class ScorerLossConfig(Section):
    """`guarded` is FreePRM's stochastic guard, `guarded-half` b = 0.5, `printed` the published formula, `outcome`
    cross-entropy without buffer, `agreeing` SPRM's. None: the one that belongs to the model's type."""

    name: Literal["guarded", "guarded-half", "printed", "outcome", "agreeing"] | None = None
    right_weight: float = Field(default=1.0, gt=0)
    wrong_weight: float = Field(default=1.0, gt=0)
    most_buffer: float = Field(default=0.98, gt=0, le=1)


class ScorerTrainingConfig(Section):
    """What `nbest train scorer` does; the defaults are the published settings (arXiv 2510.16449, appendix)."""

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


class TasksConfig(Section):
    """What `nbest tasks build` does. Published (arXiv 2602.02143, and 2507.17797 for counts): limits, numbers of
    candidates and tasks. Ours: the mean and deviation of the truncated normal, which neither states.

    `solutions` is the least number of usable, distinct candidates of a problem; `truncated` takes attempts that were
    cut at their token limit. `max_candidate_tokens` None: 12,288 for code, no limit for others.
    """

    style: Literal["published", "compact"] = "published"
    thinking: Literal["remove", "keep", "answer"] = "remove"
    tokenizer: str = "Qwen/Qwen3-1.7B"
    seed: int = 0
    max_pass_rate: float = Field(default=0.5, gt=0, le=1)
    solutions: int = Field(default=4, ge=2)
    per_problem: Count = 4
    most: int = Field(default=16, ge=2)
    mean_candidates: float = Field(default=8.0, gt=0)
    sd_candidates: float = Field(default=4.0, gt=0)
    truncated: bool = False
    max_prompt_tokens: Count = 16_384
    max_candidate_tokens: Count | None = None
    validation_share: float | None = Field(default=None, gt=0, lt=1)


class SelectionDataConfig(Section):
    """Task files of `nbest tasks build`. Of the validation tasks the first `validation_count` are judged."""

    tasks: tuple[Folder, ...] = Field(min_length=1, strict=False)
    validation_tasks: tuple[Folder, ...] = Field(default=(), strict=False)
    validation_count: Count = 512
    validate_every: Count = 25
    validation_temperature: float = Field(default=0.6, ge=0)


class ColdStartConfig(Section):
    """Supervised fine-tuning before reinforcement learning, for a model too small to be told what to do.

    `runs` are those that the tasks were built from, `tasks` how many of them are shown. Each integer of `answers` gets
    a token of its own, and so does each number of a candidate.
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
    """Judgements drawn while training. One generation batch is `prompts` tasks with `group` rollouts each (G).

    `in-process` draws with the model in training itself, `vllm-colocate` and `vllm-server` are TRL's modes of vLLM.
    Published: 128 prompts, 16 rollouts for math and 8 for code, T = 1.5, at most 16,384 tokens (arXiv 2602.02143).
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


class DapoConfig(Section):
    """The parts of DAPO (arXiv 2503.14476); each can be switched off.

    Clip-higher: `clip_high` = `clip_low` is off. Dynamic sampling: `most_rounds` of drawing for a batch, 1 is off.
    `token_loss` false is GRPO's mean over each rollout first. Soft overlong punishment over the last `overlong_tokens`
    before the limit, 0 is off; `filter_overlong` leaves judgements that were cut out of the loss.
    """

    clip_low: float = Field(default=0.2, gt=0)
    clip_high: float = Field(default=0.28, gt=0)
    most_rounds: Count = 10
    token_loss: bool = True
    overlong_tokens: int = Field(default=4096, ge=0)
    filter_overlong: bool = True


class OptimiserConfig(Section):
    """`updates_per_batch` optimiser steps on each generation batch; `micro_rows` rollouts in one forward pass."""

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
    """What `nbest train genselect` does; defaults are the published settings (arXiv 2602.02143) where it states
    them. Not stated there: updates, updates a batch, the length of the soft punishment."""

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
