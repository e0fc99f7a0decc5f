"""One strict TOML an experiment: unknown keys are refused, every fault is reported at once, defaults are published.

Loading a config never loads a model, touches a network or asks a hub. Nothing here knows a class of the package:
`assembly.py` turns a config into objects.
"""

import tomllib
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bestofn.errors import ConfigError
from bestofn.records import SamplingParams

Count = Annotated[int, Field(ge=1)]
Folder = Annotated[Path, Field(strict=False)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ProblemsConfig(Section):
    """Where problems come from: the arithmetic generator, a benchmark's name, or a local file in its schema."""

    source: str = "arithmetic"
    file: Path | None = Field(default=None, strict=False)
    revision: str | None = None
    split: Literal["train", "validation", "test"] = "test"
    count: Count | None = None
    seed: int = 0
    steps: tuple[Count, Count] = Field(default=(3, 6), strict=False)


class EndpointConfig(Section):
    """The server of a policy of type `openai`. `api_key_env` is the variable that holds the key, `timeout_seconds` of
    one attempt, `retries` attempts after the first one, `concurrency` requests at once; `dialect` "openai" sends only
    what OpenAI's own reference lists, `logprobs` = false is for servers that refuse to give them."""

    base_url: str
    api_key_env: str | None = None
    timeout_seconds: float = Field(default=600.0, gt=0)
    retries: int = Field(default=5, ge=0)
    concurrency: Count = 64
    dialect: Literal["vllm", "openai"] = "vllm"
    logprobs: bool = True


class PolicyConfig(Section):
    """The frozen model: a folder, a hub id, or `bundled:NAME`; with type `openai` the name its server gives it.

    `endpoint` belongs to type `openai` alone, `engine` (further AsyncEngineArgs) to `vllm`, `script` to `scripted`.
    """

    type: Literal["transformers", "scripted", "openai", "vllm"] = "transformers"
    model: str = "bundled:arithmetic"
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    batch_rows: Count = 256
    template: Literal["chat", "none"] = "chat"
    script: tuple[str, ...] = Field(default=(), strict=False)
    endpoint: EndpointConfig | None = None
    engine: dict[str, Any] = Field(default_factory=dict[str, Any])


class SampleConfig(Section):
    """What `bestofn sample` does. `n` is the size of each pool."""

    problems: ProblemsConfig = ProblemsConfig()
    policy: PolicyConfig = PolicyConfig()
    sampling: SamplingParams = SamplingParams()
    n: Count = 32
    seed: int = 0


class GenerativeConfig(Section):
    """How a generative selector asks its model (`policy`). Values that are not given come from `selection.json` in the
    model's folder where a trained selector has one, else they are the published ones (arXiv 2507.17797): window 8,
    T = 0.6. `budget_tokens` of one prompt: None is what the model's context leaves, where that is known. `tokenizer`
    (bundled:NAME, a folder or a hub id) counts it for a model that is not loaded here (an endpoint, say); a
    `selection.json` in its folder says how that model was trained to be asked."""

    policy: PolicyConfig = PolicyConfig(model="bundled:genselect")
    tokenizer: str | None = None
    sampling: SamplingParams | None = None
    style: Literal["published", "compact"] = "published"
    thinking: Literal["remove", "keep", "answer"] = "remove"
    window: int = Field(default=8, ge=2)
    budget_tokens: Count | None = None
    summary_tokens: Count | None = None
    repeats: Count = 8
    retries: int = Field(default=2, ge=0)
    deadline_seconds: float | None = Field(default=None, gt=0)
    selection_seconds: float | None = Field(default=None, gt=0)
    concurrency: Count = 64
    on_failure: Literal["abstain", "majority"] = "abstain"
    seed: int = 0


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
    """What `bestofn train policy` does; the defaults made the bundled weights."""

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
    """What `bestofn train scorer` does; the defaults are the published settings (arXiv 2510.16449, appendix)."""

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
    """What `bestofn tasks build` does. Published (arXiv 2602.02143, and 2507.17797 for counts): limits, numbers of
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
    """Task files of `bestofn tasks build`. Of the validation tasks the first `validation_count` are judged."""

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
    """What `bestofn train genselect` does; defaults are the published settings (arXiv 2602.02143) where it states
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


SectionT = TypeVar("SectionT", bound=Section)


def parse_config(model: type[SectionT], values: dict[str, Any], source: str) -> SectionT:
    """Validate `values`; raises ConfigError with one line a fault, each naming the dotted field and what came."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError([_tell_fault(source, fault, model) for fault in error.errors()]) from error


def _tell_fault(source: str, fault: Any, model: type[Section]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{source}: {place}: unknown key. Known keys here: {', '.join(_known_keys(model, fault['loc']))}"
    return f"{source}: {place}: {fault['msg']}; got {fault['input']!r}"


def _known_keys(model: type[Section], place: tuple[Any, ...]) -> list[str]:
    current: Any = model
    for part in place[:-1]:
        fields = getattr(current, "model_fields", {})
        current = _section_of(fields[part].annotation) if part in fields else current
    fields = getattr(current, "model_fields", None) or getattr(current, "__dataclass_fields__", {})
    return sorted(name for name in fields if not name.startswith("__"))


def _section_of(annotation: Any) -> Any:
    """The section of `Section | None`; anything else as it is."""
    named = [each for each in get_args(annotation) if each is not NoneType]
    return named[0] if isinstance(annotation, UnionType) and len(named) == 1 else annotation


def load_config(model: type[SectionT], path: Path) -> SectionT:
    """Read a TOML file; raises ConfigError naming the file, and the line where it is not TOML."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    return parse_config(model, values, str(path))
