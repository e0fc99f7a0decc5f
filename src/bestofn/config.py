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
