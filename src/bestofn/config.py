"""One strict TOML an experiment: unknown keys are refused, every fault is reported at once, defaults are published.

Loading a config never loads a model, touches a network or asks a hub. Nothing here knows a class of the package:
`assembly.py` turns a config into objects.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

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


class PolicyConfig(Section):
    """The frozen model: a folder, a hub id, or `bundled:NAME`."""

    type: Literal["transformers", "scripted"] = "transformers"
    model: str = "bundled:arithmetic"
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    batch_rows: Count = 256
    template: Literal["chat", "none"] = "chat"
    script: tuple[str, ...] = Field(default=(), strict=False)


class SampleConfig(Section):
    """What `bestofn sample` does. `n` is the size of each pool."""

    problems: ProblemsConfig = ProblemsConfig()
    policy: PolicyConfig = PolicyConfig()
    sampling: SamplingParams = SamplingParams()
    n: Count = 32
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
        current = fields[part].annotation if part in fields else current
    fields = getattr(current, "model_fields", None) or getattr(current, "__dataclass_fields__", {})
    return sorted(name for name in fields if not name.startswith("__"))


def load_config(model: type[SectionT], path: Path) -> SectionT:
    """Read a TOML file; raises ConfigError naming the file, and the line where it is not TOML."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    return parse_config(model, values, str(path))
