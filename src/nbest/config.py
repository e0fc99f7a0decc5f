"""One strict TOML an experiment: unknown keys are refused, every fault is reported at once, defaults are published.

Loading a config never loads a model, touches a network or asks a hub. Nothing here knows a class of the package:
`registry.py` turns a config into objects.
"""

import tomllib
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nbest.errors import ConfigError
from nbest.records import SamplingParams

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
    """What `nbest sample` does. `n` is the size of each pool."""

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
