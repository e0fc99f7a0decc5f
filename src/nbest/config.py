"""The configuration of an experiment: one strict TOML file, validated as a whole; defaults are the published values.

Unknown keys are rejected, and all faults are reported at once. Loading a config never loads a model or uses the
network. This module does not know the classes that are built from a config; `registry.py` builds them.
"""

import dataclasses
import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

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

_RANGES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "temperature": (lambda value: 0 <= value < math.inf, "0 (greedy) or more"),
    "top_p": (lambda value: 0 < value <= 1, "above 0, at most 1 (1 = off)"),
    "top_k": (lambda value: value >= 0, "0 (off) or more"),
    "min_p": (lambda value: 0 <= value <= 1, "0 (off) to 1"),
    "max_tokens": (lambda value: value >= 1, "1 or more"),
    "capture": (lambda value: value is None or len(value) > 0, "at least one layer, or leave it out"),
    "top_logprobs": (lambda value: value >= 0, "0 (off) or more"),
    "stop": (all, "strings that are not empty"),
}


def find_range_faults(params: SamplingParams) -> dict[str, str]:
    """Return what is allowed for every sampling setting that is out of its range, by its name."""
    return {name: rule for name, (is_allowed, rule) in _RANGES.items() if not is_allowed(getattr(params, name))}


def _check_sampling(value: Any, handler: ValidatorFunctionWrapHandler) -> SamplingParams:
    """Validate sampling settings; settings of a wrong type and settings out of their range are reported together."""
    try:
        params, details = handler(value), list[InitErrorDetails]()
    except ValidationError as error:
        faults = error.errors()
        if not isinstance(value, Mapping) or any(not fault["loc"] for fault in faults):
            raise
        details = [_renew_fault(fault) for fault in faults]
        names = {fault["loc"][0] for fault in faults}
        settings = cast("Mapping[str, Any]", value)
        params = handler({name: setting for name, setting in settings.items() if name not in names})
    for name, rule in find_range_faults(params).items():
        fault = PydanticCustomError("range", "allowed is {rule}", {"rule": rule})
        details.append(InitErrorDetails(type=fault, loc=(name,), input=getattr(params, name)))
    if details:
        raise ValidationError.from_exception_data("sampling", details)
    return params


def _renew_fault(fault: Any) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError(fault["type"], "{message}", {"message": fault["msg"]}),
        loc=fault["loc"],
        input=fault["input"],
    )


Sampling = Annotated[SamplingParams, WrapValidator(_check_sampling)]
"""Sampling settings within their ranges."""


class Section(BaseModel):
    """The base class of all sections: frozen, strict, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ProblemsConfig(Section):
    """The source of problems: the arithmetic generator, or a benchmark by name, from the hub or from a local copy
    `file`.

    `answer_rule` is the rule by which answers are read, for all problems (see `nbest.answers.rules`); None leaves the
    rules that the problem set itself names.
    """

    source: str = "arithmetic"
    file: Path | None = Field(default=None, strict=False)
    revision: str | None = None
    split: Literal["train", "validation", "test"] = "test"
    count: Count | None = None
    seed: int = 0
    steps: tuple[Count, Count] = Field(default=(3, 6), strict=False)
    answer_rule: str | None = None

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

    `api_key_env` names the environment variable that holds the key, `timeout_seconds` limits one request, `retries` is
    the number of further tries after the first one, and `concurrency` the number of requests at once. `dialect`
    "openai" sends only the fields that OpenAI's own reference lists; `logprobs` = false is for servers that refuse to
    return log-probabilities.
    """

    base_url: str
    api_key_env: str | None = None
    timeout_seconds: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    retries: int = Field(default=5, ge=0)
    concurrency: Count = 64
    dialect: Literal["vllm", "openai"] = "vllm"
    logprobs: bool = True


POLICY_FIELDS: Mapping[str, frozenset[str]] = {
    "transformers": frozenset({"model", "revision", "dtype", "device", "batch_rows", "template", "template_arguments"}),
    "vllm": frozenset({"model", "revision", "dtype", "template", "template_arguments", "engine"}),
    "openai": frozenset({"model", "template", "template_arguments", "endpoint"}),
    "scripted": frozenset({"script"}),
}
"""The fields of `PolicyConfig`, beside `type`, that each built-in type reads."""

RESERVED_ARGUMENTS = frozenset({"messages", "add_generation_prompt"})
"""The variables of a chat template that are set by nbest."""


class PolicyConfig(Section):
    """The frozen model: a folder, a hub id, or `bundled:NAME`; with type `openai` the name its server gives it.

    `type` names the engine: `transformers`, `vllm`, `openai`, `scripted`, or the name of a plug-in's engine. `endpoint`
    belongs to `openai`, `script` to `scripted`, `engine` holds further AsyncEngineArgs of `vllm`, or the options of a
    plug-in's engine. `template_arguments` are variables of the chat template, such as `enable_thinking = false`. A
    field that is set and that the type does not read is an error.
    """

    type: str = "transformers"
    model: str = "bundled:arithmetic"
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    batch_rows: Count = 256
    template: Literal["chat", "none"] = "chat"
    template_arguments: dict[str, bool | int | float | str] = Field(default_factory=dict[str, bool | int | float | str])
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

    @model_validator(mode="after")
    def _check_template_arguments(self) -> Self:
        names = list(self.template_arguments)
        if names and self.template == "none":
            raise ValueError(f"template_arguments: got {', '.join(names)}, but template is 'none'; leave them out")
        if names and self.endpoint is not None and self.endpoint.dialect == "openai":
            raise ValueError(
                f"template_arguments: got {', '.join(names)}, which are no field of OpenAI's protocol; leave them out, "
                "or use endpoint.dialect = 'vllm'"
            )
        faulty = [name for name in names if not name.isidentifier() or name in RESERVED_ARGUMENTS]
        if faulty:
            raise ValueError(
                f"template_arguments: got {', '.join(map(repr, faulty))}; allowed are the names of variables, without "
                f"{', '.join(sorted(RESERVED_ARGUMENTS))}"
            )
        return self


class SampleConfig(Section):
    """The settings of `nbest sample`. `n` is the number of trajectories per problem; `system` is a system prompt that
    goes before every question.
    """

    problems: ProblemsConfig = ProblemsConfig()
    policy: PolicyConfig = PolicyConfig()
    sampling: Sampling = SamplingParams()
    system: str | None = Field(default=None, pattern=r"\S")
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
    sampling: Sampling | None = None
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
    config, faults = parse_partly(model, values, source, strict=strict)
    if faults or config is None:
        raise ConfigError(faults)
    return config


def parse_partly(
    model: type[SectionT], values: Mapping[str, Any], source: str, *, strict: bool = True
) -> tuple[SectionT | None, list[str]]:
    """Return the settings and one message per fault, as `parse_config`.

    Where there are faults, the settings have the defaults of the faulty fields, so that the others can be checked
    further; they are None if even this is not possible.
    """
    is_strict = None if strict else False
    try:
        return model.model_validate(values, strict=is_strict), []
    except ValidationError as error:
        faults = [_describe_fault(source, fault, model) for fault in error.errors()]
        rest: Any = values
        for fault in error.errors():
            rest = _drop_field(rest, fault["loc"])
    try:
        return model.model_validate(rest, strict=is_strict), faults
    except ValidationError:
        return None, faults


def _drop_field(values: Any, path: tuple[Any, ...]) -> Any:
    """Return nested mappings without the field at `path`; a field that is in no mapping takes what holds it along."""
    if not path or not isinstance(values, Mapping):
        return None
    fields = dict(cast("Mapping[Any, Any]", values))
    inner = _drop_field(fields.pop(path[0], None), path[1:])
    return fields if inner is None else {**fields, path[0]: inner}


def _describe_fault(source: str, fault: Any, model: type[Section]) -> str:
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{source}: {field}: unknown key. Known keys here: {', '.join(_list_known_keys(model, fault['loc']))}"
    if fault["type"] == "value_error":  # a section's own check, whose message says what came
        return f"{source}: {field + ': ' if field else ''}{fault['ctx']['error']}"
    return f"{source}: {field}: {fault['msg']}; got {fault['input']!r}"


def _list_known_keys(model: type[Section], path: tuple[Any, ...]) -> list[str]:
    current: Any = model
    for part in path[:-1]:
        annotations = _list_annotations(current)
        current = _unwrap_section(annotations[part]) if part in annotations else current
    return sorted(_list_annotations(current))


def _list_annotations(kind: Any) -> dict[str, Any]:
    """Return the annotation of each field of a section or dataclass; none for any other type."""
    if dataclasses.is_dataclass(kind):
        return {field.name: field.type for field in dataclasses.fields(kind)}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {}


def _unwrap_section(annotation: Any) -> Any:
    """Return the section of `Section | None`; any other annotation unchanged."""
    options = [option for option in get_args(annotation) if option is not NoneType]
    return options[0] if isinstance(annotation, UnionType) and len(options) == 1 else annotation


def load_config(model: type[SectionT], path: Path) -> SectionT:
    """Read a TOML file. Raises ConfigError that names the file, and the line of a syntax error."""
    return parse_config(model, read_toml(path), str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file. Raises ConfigError that names the file, and the line of a syntax error."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
