"""Every method by name: the built-in ones, those of installed plug-ins, and classes named as `module:Class`.

A built-in selector is one file: its module in `selecting/` holds the class, the estimator of its curve and a tuple
`SPECS`. Scorers, judges, engines and verifiers, whose classes load heavy libraries, have their `SPECS` in the
`methods.py` of their room. What other packages add is read by `plugins.py`. Modules are named here as text and
imported when they are needed, so every room may import the registry.

This module does not know any method.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import PurePath
from pkgutil import iter_modules
from typing import Any, cast, get_args

from nbest.errors import ConfigError, UnavailableError
from nbest.plugins import list_plugins, load_plugin, load_reference
from nbest.protocols import Clusterer, Scorer, Selector
from nbest.records import Score
from nbest.specs import MethodKind, MethodName, Spec, did_you_mean, load, parse_method

SELECTOR_ROOMS = ("nbest.selecting", "nbest.selecting.combined", "nbest.selecting.execution")
"""Packages whose modules may hold the `SPECS` of selectors; none of these modules loads an engine."""
SPEC_MODULES = (
    "nbest.scoring.methods",
    "nbest.judging.methods",
    "nbest.sampling.methods",
    "nbest.verifying.methods",
)
KINDS: tuple[MethodKind, ...] = get_args(MethodKind)


@cache
def _share_equivalence() -> Clusterer:
    """Return the answer equivalence of all contexts that bring none; its worker processes end with this process."""
    return load("nbest.verifying.equivalence:Equivalence")()


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What building a method may need; every field has a default.

    `equivalence` says which answers are equal; contexts that are made without one share one. `scores` returns the
    scores of a scorer, given its full name, by trajectory id (by default none); the mapping may be filled after the
    selector is built. `scorer_model` and `family` name the model of a scorer, `judge` returns the loaded model that
    judges (a `nbest.judging.models.JudgeModel`). `sandbox` returns the open sandbox in which programs run (a
    `nbest.sandbox.executions.Sandbox`), `writer` what writes tests for a problem (a
    `nbest.selecting.execution.writing.TestWriter`). `where` names the run or pool in messages. `policy_hash` is the
    content hash of the policy, None if it is unknown.
    """

    equivalence: Clusterer = field(default_factory=_share_equivalence)
    seed: int = 0
    scores: Callable[[str], Mapping[str, Score]] = lambda scorer: {}  # noqa: ARG005
    scorer_model: str | None = None
    family: str | None = None
    judge: Callable[[], Any] | None = None
    where: str = "this pool"
    policy_hash: str | None = None
    sandbox: Callable[[], Any] | None = None
    writer: Callable[[], Any] | None = None

    def require_judge(self, method: str) -> Any:
        """Return the model that judges. Raises ConfigError if `method` has none to ask."""
        if self.judge is None:
            raise ConfigError(f"{method} asks a model: name it with --judge, or in a file with --judge-config")
        return self.judge()

    def require_sandbox(self, method: str) -> Any:
        """Return what runs programs. Raises UnavailableError if `method` has nowhere to run any."""
        if self.sandbox is None:
            raise UnavailableError(f"{method} runs programs, and {self.where} has no sandbox: open one, and pass it on")
        return self.sandbox()

    def require_writer(self, method: str) -> Any:
        """Return what writes tests. Raises ConfigError if `method` has no model to ask."""
        if self.writer is None:
            raise ConfigError(
                f"{method} lets a model write tests: name it with --judge, or in a file with --judge-config"
            )
        return self.writer()


def specs(kind: MethodKind) -> list[Spec]:
    """Return the specs of one kind: the built-in ones in their order, then those of plug-ins.

    Raises UnavailableError naming a plug-in that cannot be loaded, ConfigError for one with a name that is taken.
    """
    built_in = _built_in(kind)
    return [*built_in.values(), *(load_plugin(kind, point, built_in) for point in list_plugins(kind).values())]


def find_spec(kind: MethodKind, name: str) -> Spec:
    """Return the spec of a method. Raises as `find_method`."""
    return find_method(kind, name)[0]


def resolve_method(kind: MethodKind, name: str) -> MethodName:
    """Return the name and options of a method as its spec reads them.

    `module:Class(a=1)` has the name `module:Class` and the options of the class; a file that stands for a method is its
    option `file`. Whether there is such a method is not checked. Raises ConfigError for a name of another form.
    """
    owner = _find_owner(kind, name)
    if owner is not None:
        return MethodName(owner.name, {"file": name})
    method = parse_method(name)
    if _is_class_reference(kind, method) and method.scorer is not None:
        return MethodName(f"{method.name}:{method.scorer.name}", method.scorer.options, method.scorer.scorer)
    return method


def find_method(kind: MethodKind, name: str) -> tuple[Spec, MethodName]:
    """Return the spec of a method, and its name and options as the spec reads them.

    Raises ConfigError with the closest known name if there is no such method, UnavailableError if its plug-in or
    module cannot be loaded.
    """
    method = resolve_method(kind, name)
    built_in, plugins = _built_in(kind), list_plugins(kind)
    if method.name in plugins:
        return load_plugin(kind, plugins[method.name], built_in), method
    if method.name in built_in:
        return built_in[method.name], method
    if ":" in method.name:
        hint = did_you_mean(method.name.partition(":")[0], (*built_in, *plugins))
        return load_reference(kind, method.name, hint), method
    names = [spec.name + (":NAME" if spec.reads_scores else "") for spec in built_in.values()] + list(plugins)
    hint = did_you_mean(method.name, (*built_in, *plugins))
    if kind == "selector" and _is_known("scorer", method.name):
        hint = f" It is a scorer: select by its scores with score:{method} or vote:{method}."
    raise ConfigError(f"{kind} {method.name!r} is none of {', '.join(names)}.{hint} `nbest methods` describes them.")


def load_scorer(name: str, context: BuildContext | None = None) -> Scorer:
    """Return a scorer, such as `trajselector`, `deepconf-bottom(window=16)` or `module:Class`; close it when done.

        scorer = nbest.load_scorer("mean-logprob")

    `context` None is `BuildContext()`. With `context.scorer_model` a name that is not known is a step scorer of your
    own. Raises ConfigError, also if the context names a model or family that the scorer does not take,
    UnavailableError, DataError.
    """
    context = context or BuildContext()
    spec, method = find_scorer(name, context.scorer_model, context.family)
    return spec.make(context, method)


def find_scorer(name: str, scorer_model: str | None = None, family: str | None = None) -> tuple[Spec, MethodName]:
    """Return the spec of a scorer and its name with all options, those of the model included.

    With `scorer_model` a name that is not known is a step scorer of your own. Raises as `load_scorer`.
    """
    method = resolve_method("scorer", name)
    is_own = scorer_model is not None and ":" not in method.name and not _is_known("scorer", method.name)
    spec = _built_in("scorer")["step-scorer"] if is_own else find_spec("scorer", name)
    options = dict(method.options)
    for option, value in (("model", scorer_model), ("family", family)):
        if value is None:
            continue
        if option not in spec.options.model_fields:
            flag = "--scorer-model" if option == "model" else "--family"
            takers = [spec.name for spec in specs("scorer") if option in spec.options.model_fields]
            raise ConfigError(f"{flag}: scorer {spec.name!r} takes none; it belongs to {', '.join(takers)}")
        if options.setdefault(option, value) != value:
            raise ConfigError(f"{name}: {option} is {options[option]!r} in the name and {value!r} beside it; give one")
    return spec, replace(method, options=options)


def load_selector(name: str, context: BuildContext | None = None) -> Selector:
    """Return a selector, such as `majority`, `borda(power=2):self-certainty`, `combined.json` or `module:Class`.

        selector = nbest.load_selector("vote:trajselector-fused")

    A selector that reads scores finds them in `context.scores`, by trajectory id, when it selects; its `select` raises
    UnavailableError for a pool of which there are none. `context` None is `BuildContext()`, which has no scores:

        scores = {score.trajectory_id: score for score in await scorer.score(pool, states)}
        context = nbest.BuildContext(scores=lambda scorer_name: scores)
        selector = nbest.load_selector("vote:trajselector-fused", context)

    Close it when done. Raises ConfigError, UnavailableError.
    """
    spec, method = find_method("selector", name)
    return spec.make(context or BuildContext(), method)


def needed_scorers(name: str) -> list[str]:
    """Return the full names of the scorers whose scores a selector reads. Raises ConfigError as `load_selector`."""
    spec, method = find_method("selector", name)
    return spec.list_scorers(method)


def stored_name(kind: MethodKind, name: str) -> str:
    """Return the name under which a run keeps the scores or selections of a method: its full name in one spelling.

    `b(y=2,x=1)` and `b(x=1, y=2)` are the same method. A file that stands for a method is kept as its stem, and the
    option `file` is left out, because the name of a folder cannot hold a path: `my/mix.json` is kept as `mix`,
    `combined(file=my/mix.json, threshold=0.8)` as `combined(threshold=0.8)`. Raises ConfigError for what names no
    method.
    """
    if _find_owner(kind, name) is not None:
        return PurePath(name).stem
    method = parse_method(name)
    known = _built_in(kind).get(method.name)
    if known is not None and known.suffix:
        method = replace(method, options={key: value for key, value in method.options.items() if key != "file"})
    return str(method)


def describe_methods(kind: str | None = None) -> list[dict[str, Any]]:
    """Return one row per method: name, kind, role, needs, options with their defaults, source and summary.

    Raises ConfigError for a kind that is none, otherwise as `specs`.
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"kind: got {kind!r}; allowed: {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    kinds = KINDS if kind is None else (kind,)
    return [_describe_spec(spec) for each in kinds for spec in specs(each)]


def _describe_spec(spec: Spec) -> dict[str, Any]:
    return {
        "name": spec.name + (":NAME" if spec.reads_scores else ""),
        "kind": spec.kind,
        "role": spec.role,
        "needs": sorted(spec.needs),
        "options": {
            option: "(required)" if field.is_required() else field.default
            for option, field in spec.options.model_fields.items()
        },
        "source": spec.source,
        "summary": spec.summary,
    }


@cache
def _built_in(kind: MethodKind) -> Mapping[str, Spec]:
    rooms = [import_module(room) for room in SELECTOR_ROOMS]
    scanned = [f"{room.__name__}.{module.name}" for room in rooms for module in iter_modules(room.__path__)]
    modules = [import_module(name) for name in dict.fromkeys((*scanned, *SPEC_MODULES))]
    declared = [spec for module in modules for spec in cast("tuple[Spec, ...]", vars(module).get("SPECS", ()))]
    known: dict[str, Spec] = {}
    for spec in sorted(declared, key=lambda spec: spec.position):
        if spec.kind == kind:
            if spec.name in known:
                raise ValueError(f"two {kind}s of this package have the name {spec.name!r}")
            known[spec.name] = spec
    return known


def _is_known(kind: MethodKind, name: str) -> bool:
    return name in _built_in(kind) or name in list_plugins(kind)


def _find_owner(kind: MethodKind, name: str) -> Spec | None:
    """Return the method that a path names by its suffix; None for any other name."""
    return next((spec for spec in _built_in(kind).values() if spec.suffix and name.endswith(spec.suffix)), None)


def _is_class_reference(kind: MethodKind, method: MethodName) -> bool:
    """Return whether a name that is written `LEFT:RIGHT` is `module:Class` and no rule with a scorer."""
    if method.scorer is None or method.options or _is_known(kind, method.name):
        return False
    return method.scorer.name.isidentifier() and all(part.isidentifier() for part in method.name.split("."))
