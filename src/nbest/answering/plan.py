"""Read and check the settings of a `BestOfN` before anything is loaded.

Unknown methods, options that a method does not take, a judge that is missing or that no method calls, a policy that
cannot exist: all faults are reported at once. This module does not load a model, nor does it know what a question is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from nbest.config import GenerativeConfig, PolicyConfig, SampleConfig, find_range_faults, load_config
from nbest.errors import ConfigError
from nbest.named_configs import list_configs
from nbest.protocols import Sampler, Selector
from nbest.records import SamplingParams
from nbest.registry import find_spec, needed_scorers, resolve_method, specs
from nbest.specs import MethodName, Need, Spec, did_you_mean, parse_method
from nbest.stages.sampling import MOST_N

PolicySetting: TypeAlias = str | PolicyConfig | Sampler
SelectorSetting: TypeAlias = str | Mapping[str, Any] | Selector
JudgeSetting: TypeAlias = str | GenerativeConfig | Sampler

BUNDLED = "bundled:"
LOCAL_TYPES = ("transformers", "vllm")
"""Types of policies whose model is a folder or hub id; the name of a server's model cannot be checked here."""

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Plan:
    """The checked settings of a `BestOfN`.

    `selector` is the method's full name, or the object itself; `scorers` are the full names of the scorers it reads,
    `needs` what these and the selector read of a trajectory. `run` is the folder that keeps everything, or None.
    """

    policy: PolicySetting
    selector: str | Selector
    n: int
    sampling: SamplingParams
    seed: int
    judge: GenerativeConfig | Sampler | None
    scorer_model: str | None
    run: Path | None
    scorers: tuple[str, ...]
    needs: frozenset[Need]


def make_plan(
    policy: PolicySetting,
    selector: SelectorSetting,
    *,
    n: int,
    sampling: SamplingParams | None,
    seed: int,
    judge: JudgeSetting | None,
    scorer_model: str | None,
    run: str | Path | None,
) -> Plan:
    """Check all settings without loading anything. Raises ConfigError that lists every fault."""
    faults = _check_values(n, sampling, seed)
    default_params = _collect(faults, lambda: default_sampling(policy), SamplingParams())
    method = _collect(faults, lambda: read_selector(selector), "")
    judge_setting = _collect(faults, lambda: _read_judge(judge, seed), None)
    scorers, needs = (), frozenset[Need]()
    if isinstance(method, str) and method:
        scorers, needs = _collect(faults, lambda: _find_needs(method, scorer_model), (scorers, needs))
        faults += _check_models(method, needs, judge_setting, scorer_model)
    elif method and (judge is not None or scorer_model is not None):
        faults.append("judge, scorer_model: they belong to a selector that is named; a Selector object has its own")
    if faults:
        raise ConfigError(faults)
    folder = None if run is None else Path(run)
    params = sampling or default_params
    return Plan(policy, method, n, params, seed, judge_setting, scorer_model, folder, scorers, needs)


def read_selector(selector: SelectorSetting) -> str | Selector:
    """Return the full name of a selector, or the object itself.

    A mapping has the keys `name`, `options` (a mapping) and `scorer` (a name, or such a mapping). Raises ConfigError.
    """
    if isinstance(selector, str):
        # The file of a fitted mixture is a name as well, and may have any path.
        return selector if selector.endswith(".json") else str(parse_method(selector))
    if isinstance(selector, Mapping):
        return str(_read_method(selector, "selector"))
    if isinstance(selector, Selector):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may not be checked
        return selector
    raise ConfigError(
        f"selector: got {type(selector).__name__}; allowed are a name such as 'majority' or 'vote:trajselector', a "
        "mapping with name, options and scorer, or an object of a class that inherits from nbest.Selector"
    )


def default_sampling(policy: PolicySetting) -> SamplingParams:
    """Return the sampling settings that a policy has by default.

    A bundled policy has the settings of the package's own config, any other one the published settings. Raises
    ConfigError for an object that is not a policy.
    """
    if isinstance(policy, Sampler):
        return SamplingParams()
    if not isinstance(policy, str | PolicyConfig):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(
            f"policy: got {type(policy).__name__}; allowed are bundled:NAME, a folder, a hub id, an "
            "nbest.config.PolicyConfig, or an object of a class that inherits from nbest.Sampler"
        )
    if isinstance(policy, PolicyConfig) and policy.type not in LOCAL_TYPES:
        return SamplingParams()
    model = policy if isinstance(policy, str) else policy.model
    _check_model("policy", model)
    name = model.removeprefix(BUNDLED)
    if name == model:
        return SamplingParams()
    configs = {config.name: config.path for config in list_configs("sample")}
    return load_config(SampleConfig, configs[name]).sampling if name in configs else SamplingParams()


def _check_model(field: str, model: str) -> None:
    """Raise ConfigError if a model cannot exist; whether a hub id exists is known only when it is loaded."""
    if not model.strip():
        raise ConfigError(f"{field}: the name is empty; it must be bundled:NAME, a folder or a hub id")
    if model.startswith(("/", "./", "../", "~")) and not Path(model).is_dir():
        raise ConfigError(f"{field}: {model!r} is no folder; it must hold config.json, weights and tokenizer")
    if model.startswith(BUNDLED):
        root = Path(str(resources.files("nbest"))) / "bundled"
        # What answers or judges has a tokenizer; the bundled scorers have none.
        names = sorted(BUNDLED + path.parent.name for path in root.glob("*/tokenizer.json"))
        if model not in names:
            hint = did_you_mean(model, names)
            raise ConfigError(f"{field}: {model!r} is not in this package; there are {', '.join(names)}.{hint}")


def _read_judge(judge: JudgeSetting | None, seed: int) -> GenerativeConfig | Sampler | None:
    if judge is None or isinstance(judge, GenerativeConfig | Sampler):
        return judge
    if isinstance(judge, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        _check_model("judge", judge)
        return GenerativeConfig(policy=PolicyConfig(model=judge), seed=seed)
    raise ConfigError(
        f"judge: got {judge!r}; allowed are bundled:NAME, a folder, a hub id, an nbest.config.GenerativeConfig, or an "
        "object of a class that inherits from nbest.Sampler"
    )


def _find_needs(selector: str, scorer_model: str | None) -> tuple[tuple[str, ...], frozenset[Need]]:
    """Return the scorers that a selector reads, and what it and they need; checks every name and option."""
    spec = find_spec("selector", selector)
    if spec.role == "bound":
        raise ConfigError(
            f"selector {selector!r} sees the verdicts: it is a bound in `nbest compare`, never a selection"
        )
    method = resolve_method("selector", selector)
    options = spec.parse_options(method)
    scorers, needs = tuple(needed_scorers(selector)), set(spec.needs)
    if spec.asks_judge is not None and spec.asks_judge(options):
        needs.add("judge")
    for name in scorers:
        scorer_spec, scorer = _find_scorer(name, scorer_model)
        scorer_spec.parse_options(scorer)
        needs |= scorer_spec.needs - ({"model"} if "model" in scorer.options else set())
    return scorers, frozenset(needs)


def _find_scorer(name: str, scorer_model: str | None) -> tuple[Spec, MethodName]:
    """Return the spec of a scorer. With `scorer_model`, an unknown name is the name of a step scorer."""
    method = resolve_method("scorer", name)
    names = {spec.name for spec in specs("scorer")}
    is_own = scorer_model is not None and method.scorer is None and method.name not in names
    return find_spec("scorer", "step-scorer" if is_own else name), method


def _check_models(selector: str, needs: frozenset[Need], judge: object, scorer_model: str | None) -> list[str]:
    """Return the faults of models that are missing or that no method would use."""
    faults: list[str] = []
    if "judge" in needs and judge is None:
        faults.append(f"judge: selector {selector!r} asks a model; name it, such as judge='bundled:genselect'")
    if "judge" not in needs and judge is not None:
        faults.append(f"judge: selector {selector!r} asks no model; leave judge out")
    if "model" in needs and scorer_model is None:
        faults.append(f"scorer_model: selector {selector!r} reads a trained model; name its folder or hub id")
    if scorer_model is not None and not {"model", "states"} & needs:
        faults.append(f"scorer_model: selector {selector!r} reads no trained scorer; leave scorer_model out")
    return faults


def _read_method(values: Mapping[str, Any], where: str) -> MethodName:
    """Return the method that a mapping describes; `where` names the mapping in errors. Raises ConfigError.

    `name` may itself be written with options and a scorer. The entries `options` and `scorer` take precedence.
    """
    unknown = sorted(set(values) - {"name", "options", "scorer"})
    if unknown or not isinstance(values.get("name"), str) or not isinstance(values.get("options", {}), Mapping):
        raise ConfigError(
            f"{where}: got {dict(values)!r}; its keys are name (text), options (a mapping) and scorer (a name, or a "
            "mapping of the same form)"
        )
    method = parse_method(values["name"])
    scorer_setting = values.get("scorer")
    if scorer_setting is None:
        scorer = method.scorer
    elif isinstance(scorer_setting, Mapping):
        scorer = _read_method(cast("Mapping[str, Any]", scorer_setting), f"{where}.scorer")
    else:
        scorer = parse_method(str(scorer_setting))
    return MethodName(method.name, {**method.options, **values.get("options", {})}, scorer)


def _check_values(n: Any, sampling: Any, seed: Any) -> list[str]:
    faults: list[str] = []
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        faults.append(f"n: got {n!r}; it must be a whole number of at least 1")
    elif n > MOST_N:
        faults.append(f"n: got {n:,}; allowed are up to {MOST_N:,} trajectories of one question")
    if isinstance(seed, bool) or not isinstance(seed, int):
        faults.append(f"seed: got {seed!r}; it must be a whole number")
    if sampling is not None and not isinstance(sampling, SamplingParams):
        faults.append(f"sampling: got {type(sampling).__name__}; it must be nbest.SamplingParams")
    elif sampling is not None:
        for name, rule in find_range_faults(sampling).items():
            faults.append(f"sampling.{name}: got {getattr(sampling, name)!r}; allowed is {rule}")
    return faults


def _collect(faults: list[str], check: Callable[[], ValueT], default: ValueT) -> ValueT:
    """Return what `check` returns; if it raises a ConfigError, add its faults to `faults` and return `default`."""
    try:
        return check()
    except ConfigError as error:
        faults += error.faults
        return default
