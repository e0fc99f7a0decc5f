"""The configuration of an experiment: one strict TOML file, validated as a whole; defaults are the published values.

Unknown keys are rejected, and all faults are reported at once. Loading a config never loads a model or uses the
network. This module does not know the classes that are built from a config; `registry.py` builds them.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nbest.errors import ConfigError
from nbest.records import SamplingParams

Count = Annotated[int, Field(ge=1)]
Folder = Annotated[Path, Field(strict=False)]

PromptStyle: TypeAlias = Literal["published", "compact"]
"""The prompts of generative selectors.

`published` is the GenSelect prompt of NeMo-Skills (arXiv 2507.17797). `compact` has candidates and problem alone, for
small models that were trained to judge: each candidate stands right before its number and the problem comes last,
because a small model attends best to adjacent and recent text.
"""

CandidateThinking: TypeAlias = Literal["remove", "keep", "answer"]
"""What a prompt shows of a candidate: the text after `</think>`, the whole text, or the final answer alone."""

Aggregation: TypeAlias = Literal["mean", "min", "last", "product", "geometric_mean"]
"""How the step scores of a trajectory become one score.

`product` falls with every further step and underflows to 0 below 1e-308; `geometric_mean` is its S-th root (SPRM, arXiv
2507.01951) and needs scores of at least 0, of which one 0 makes it 0.
"""


class Section(BaseModel):
    """The base class of all sections: frozen, strict, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ProblemsConfig(Section):
    """The source of problems: the arithmetic generator, or a benchmark by name, from the hub or from a local copy
    `file`.
    """

    source: str = "arithmetic"
    file: Path | None = Field(default=None, strict=False)
    revision: str | None = None
    split: Literal["train", "validation", "test"] = "test"
    count: Count | None = None
    seed: int = 0
    steps: tuple[Count, Count] = Field(default=(3, 6), strict=False)

    @model_validator(mode="after")
    def _refuse_unused(self) -> Self:
        is_generated = self.source == "arithmetic"
        unused = ("file", "revision") if is_generated else ("split", "seed", "steps")
        values = [f"{name} = {str(getattr(self, name))!r}" for name in unused if name in self.model_fields_set]
        values = [value for value in values if not value.endswith("'None'")]
        if values:
            owner = "a benchmark" if is_generated else "the source 'arithmetic'"
            raise ValueError(f"{', '.join(values)} belongs to {owner}, and source is {self.source!r}; leave it out")
        return self


class EndpointConfig(Section):
    """The server of a policy of type `openai`.

    `api_key_env` names the environment variable of the key, `timeout_seconds` limits one attempt, `retries` is the
    number of attempts after the first one, `concurrency` that of requests at once. `dialect` "openai" sends only what
    OpenAI's own reference lists; `logprobs` = false is for servers that refuse to return log-probabilities.
    """

    base_url: str
    api_key_env: str | None = None
    timeout_seconds: float = Field(default=600.0, gt=0)
    retries: int = Field(default=5, ge=0)
    concurrency: Count = 64
    dialect: Literal["vllm", "openai"] = "vllm"
    logprobs: bool = True


POLICY_FIELDS: Mapping[str, frozenset[str]] = {
    "transformers": frozenset({"model", "revision", "dtype", "device", "batch_rows", "template"}),
    "vllm": frozenset({"model", "revision", "dtype", "template", "engine"}),
    "openai": frozenset({"model", "template", "endpoint"}),
    "scripted": frozenset({"script"}),
}
"""The fields of `PolicyConfig`, beside `type`, that each built-in type reads."""


class PolicyConfig(Section):
    """The frozen model: a folder, a hub id, or `bundled:NAME`; with type `openai` the name its server gives it.

    `type` names the engine: `transformers`, `vllm`, `openai`, `scripted`, or that of a plug-in. `endpoint` belongs to
    `openai`, `script` to `scripted`, `engine` holds further AsyncEngineArgs of `vllm`, or the options of a plug-in's
    engine. A field that is set and that the type does not read is an error.
    """

    type: str = "transformers"
    model: str = "bundled:arithmetic"
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    batch_rows: Count = 256
    template: Literal["chat", "none"] = "chat"
    script: tuple[str, ...] = Field(default=(), strict=False)
    endpoint: EndpointConfig | None = None
    engine: dict[str, Any] = Field(default_factory=dict[str, Any])

    @model_validator(mode="after")
    def _refuse_unused(self) -> Self:
        fields = POLICY_FIELDS.get(self.type)
        if fields is None:
            return self
        unused = [
            name
            for name in type(self).model_fields
            if name in self.model_fields_set - fields - {"type"} and getattr(self, name) not in (None, (), {})
        ]
        if unused:
            readers = {name: [repr(kind) for kind, names in POLICY_FIELDS.items() if name in names] for name in unused}
            faults = "; ".join(f"{name}: only type {' or '.join(kinds)} reads it" for name, kinds in readers.items())
            raise ValueError(f"{faults}; type is {self.type!r}")
        return self


class SampleConfig(Section):
    """The settings of `nbest sample`. `n` is the number of trajectories per problem."""

    problems: ProblemsConfig = ProblemsConfig()
    policy: PolicyConfig = PolicyConfig()
    sampling: SamplingParams = SamplingParams()
    n: Count = 32
    seed: int = 0


class GenerativeConfig(Section):
    """The settings of a generative selector and of its model (`policy`).

    Values that are not given come from `selection.json` in the folder of a trained selector; without that file they are
    the published ones (arXiv 2507.17797): window 8, T = 0.6. `budget_tokens` limits the length of a prompt; None is the
    rest of the model's context, if its length is known. `tokenizer` (bundled:NAME, a folder or a hub id) counts the
    tokens for a model that is not loaded in this process, such as an endpoint; a `selection.json` in its folder applies
    to that model too.
    """

    policy: PolicyConfig = PolicyConfig(model="bundled:genselect")
    tokenizer: str | None = None
    sampling: SamplingParams | None = None
    style: PromptStyle = "published"
    thinking: CandidateThinking = "remove"
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


def parse_config(model: type[SectionT], values: dict[str, Any], source: str, *, strict: bool = True) -> SectionT:
    """Validate `values`. Unless `strict`, text is read as the number or truth value that a field asks for.

    Raises ConfigError with one line per fault, each with the dotted field and its value.
    """
    try:
        return model.model_validate(values, strict=None if strict else False)
    except ValidationError as error:
        raise ConfigError([_describe_fault(source, fault, model) for fault in error.errors()]) from error


def _describe_fault(source: str, fault: Any, model: type[Section]) -> str:
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{source}: {field}: unknown key. Known keys here: {', '.join(_known_keys(model, fault['loc']))}"
    if fault["type"] == "value_error":  # a section's own check, whose message says what came
        return f"{source}: {field + ': ' if field else ''}{fault['ctx']['error']}"
    return f"{source}: {field}: {fault['msg']}; got {fault['input']!r}"


def _known_keys(model: type[Section], path: tuple[Any, ...]) -> list[str]:
    current: Any = model
    for part in path[:-1]:
        fields = getattr(current, "model_fields", {})
        current = _section_of(fields[part].annotation) if part in fields else current
    fields = getattr(current, "model_fields", None) or getattr(current, "__dataclass_fields__", {})
    return sorted(name for name in fields if not name.startswith("__"))


def _section_of(annotation: Any) -> Any:
    """Return the section of `Section | None`; any other annotation as it is."""
    options = [option for option in get_args(annotation) if option is not NoneType]
    return options[0] if isinstance(annotation, UnionType) and len(options) == 1 else annotation


def load_config(model: type[SectionT], path: Path) -> SectionT:
    """Read a TOML file. Raises ConfigError that names the file, and the line of a syntax error."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    return parse_config(model, values, str(path))
