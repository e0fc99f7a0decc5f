"""Say where scores and selections come from, and refuse to add those of another origin under the same name.

An origin names the method, its options, the content hash of its model, the judge with its settings, the seed, and the
scores that a selector reads. Whatever changes no result, such as paths, devices, deadlines and retries, is recorded
but not compared. Options are recorded where they differ from their default. What is stored without an origin
(imported, or written by an earlier version) is not refused: a note says that its origin is unknown.

This module does not know how anything is scored or selected.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nbest.config import GenerativeConfig
from nbest.errors import ConfigError
from nbest.records import SamplingParams
from nbest.registry import find_method, find_scorer
from nbest.sampling.model_files import hash_files, hash_model
from nbest.sandbox.executions import Isolation
from nbest.specs import MethodName, Spec
from nbest.stages.context import needs_judge, uses_seed
from nbest.storage.claims import Claims
from nbest.storage.origins import Origin, list_differences, read_origin, remove_origin, write_origin
from nbest.storage.parquet import SUFFIX
from nbest.storage.parts import list_parts
from nbest.storage.run import Run
from nbest.version import VERSION

if TYPE_CHECKING:
    from nbest.judging.models import JudgeModel

Stage: TypeAlias = Literal["scores", "selections"]

KEEP_APART = "Keep the new ones apart under a name of their own (--as NAME)"

_PATHS = frozenset({"model", "family", "file"})
"""Options that are compared by content, or not at all."""
_JUDGE_FIELDS = ("style", "thinking", "window", "budget_tokens", "summary_tokens", "repeats", "on_failure", "seed")
_UNKNOWN = "has_earlier_rows_of_unknown_origin"
_LIBRARIES = ("numpy", "torch", "transformers", "vllm", "math-verify")


def describe_scorer(
    name: str, *, scorer_model: str | None = None, family: str | None = None, judge: "JudgeModel | None" = None
) -> Origin:
    """Return the origin of the scores of a scorer. Raises ConfigError for what is no scorer."""
    spec, method = find_scorer(name, scorer_model, family)
    options = spec.parse_options(method).model_dump(mode="json")
    identity, info = _describe_method(spec, method, judge)
    model = options.get("model")
    if model is None and "model" in options and hash_model(f"bundled:{spec.name}"):
        model = f"bundled:{spec.name}"
    if model is not None:
        content_hash = hash_model(model)
        # A name is compared only where the content is not known.
        identity["model"] = {"content_hash": content_hash, "name": model if content_hash is None else None}
        if content_hash is not None and "family" not in options:
            # What a trained step scorer is called does not matter: its weights say what it is.
            identity["method"] = None
        info["model"] = model
        info["summary"] += f" with the model {_name_model(model, content_hash)}"
    if options.get("family"):
        identity["family"] = options["family"]
    return Origin(identity, info)


def describe_selector(
    name: str,
    *,
    seed: int = 0,
    n: int | None = None,
    judge: "JudgeModel | None" = None,
    find_scores: Callable[[str], Origin | None] = lambda _: None,
    isolation: Isolation | None = None,
) -> Origin:
    """Return the origin of the selections of a selector. `find_scores` returns the origin of the scores under a name.

    `isolation` describes the sandbox of a selector that runs programs: what programs may import is compared, what
    isolates them is only recorded.
    Raises ConfigError for what is no selector.
    """
    spec, method = find_method("selector", name)
    parsed = spec.parse_options(method)
    options = parsed.model_dump(mode="json")
    identity, info = _describe_method(spec, method, judge)
    if options.get("file"):
        identity["file"] = {"content_hash": hash_files([Path(options["file"])])}
        info["file"] = str(options["file"])
    if uses_seed(spec, parsed) and judge is None:
        identity["seed"] = seed if options.get("seed") is None else options["seed"]
        identity["options"].pop("seed", None)
    if n is not None:
        identity["n"] = n
    if isolation is not None:
        identity["packages"] = dict(isolation.packages)
        info["sandbox"] = asdict(isolation)
        info["inputs"] = options.get("inputs")
        if not isolation.is_isolated:
            info["summary"] += ", run without isolation"
    if scorers := spec.list_scorers(method):
        origins = {scorer: find_scores(scorer) for scorer in scorers}
        identity["scores"] = {scorer: _digest(origin) for scorer, origin in origins.items()}
        info["scores"] = {scorer: origin.summary for scorer, origin in origins.items() if origin is not None}
        described = [f"{scorer!r} of {summary}" for scorer, summary in info["scores"].items()]
        info["summary"] += f" with the scores {', '.join(described)}" if described else ""
    return Origin(identity, info)


def find_scores_of(run: Run) -> Callable[[str], Origin | None]:
    """Return a function that finds the origin of the scores under a name of this run."""
    return lambda name: read_origin(run.path / "scores" / name)


def is_known(origin: Origin) -> bool:
    """Return whether the content of the model is known; it is not before a model of the hub is on this machine."""
    model = origin.identity.get("model")
    return model is None or model["content_hash"] is not None


class StoredResults:
    """The scores or selections under one name of a run, while this process adds to them.

    `note` says what is unknown about those that are stored, "" if nothing is. An `origin` of None is neither compared
    nor recorded. `advice` says what to do instead of mixing two origins.
    """

    def __init__(self, run: Run, stage: Stage, name: str, origin: Origin | None, advice: str = KEEP_APART):
        self._run, self._key, self._origin, self._advice = run, f"{stage}/{name}", origin, advice
        self._folder = run.results_folder(stage, name)
        self.is_empty = not list_parts(self._folder, SUFFIX)
        self._has_unknown = origin is not None and not self.is_empty and read_origin(self._folder) is None
        self.note = ""
        if origin is not None and self._has_unknown:
            self.note = (
                f"{self._key}: where some of its {stage} come from was not recorded (they were imported, or written by "
                f"an earlier version); this command is {origin.summary}"
            )

    def check(self) -> None:
        """Raise ConfigError if what is stored has another origin."""
        stored = read_origin(self._folder)
        if stored is None or self._origin is None:
            return
        faults = list(list_differences(stored.identity, self._origin.identity))
        if not faults:
            if stored.info.get(_UNKNOWN) and not self.note:
                self.note = f"{self._key}: where some of its rows come from was not recorded"
            return
        rule = (
            f"{self._run.path}: {self._key} is of {stored.summary}, and this is {self._origin.summary}. "
            "They are not mixed under one name:"
        )
        advice = (
            f"{self._advice}, or remove the stored ones first: nbest drop {quote(str(self._run.path))} "
            f"{quote(self._key)}"
        )
        raise ConfigError([rule, *faults, advice])

    def record(self) -> None:
        """Write the origin, before results. Raises ConfigError if another process has written another one."""
        if self._origin is None:
            return
        self._run.materialize()
        extra = {_UNKNOWN: True} if self._has_unknown else {}
        if not write_origin(self._folder, Origin(self._origin.identity, {**self._origin.info, **extra})):
            self.check()


@contextmanager
def open_results(run: Run, stage: Stage, name: str, origin: Origin | None) -> Generator[StoredResults]:
    """Open the results under a name to add to them. Raises ConfigError if what is stored has another origin."""
    with Claims(run.path) as claims:
        key = f"{stage}/{name}"
        results = StoredResults(run, stage, name, origin)
        if results.is_empty and claims.take(key):
            # A process that was killed before its first result left nothing but its origin.
            remove_origin(run.results_folder(stage, name))
        claims.share(key)
        results.check()
        yield results


def _describe_method(
    spec: Spec, method: MethodName, judge: "JudgeModel | None"
) -> tuple[dict[str, Any], dict[str, Any]]:
    options = spec.parse_options(method).model_dump(mode="json", exclude_defaults=True)
    shown = {key: value for key, value in options.items() if key not in _PATHS}
    versions = {"nbest": VERSION, **_list_versions()}
    identity: dict[str, Any] = {"method": spec.name, "options": shown}
    info: dict[str, Any] = {"name": str(method), "written": datetime.now(UTC).isoformat(), "versions": versions}
    info["summary"] = repr(str(MethodName(spec.name, shown, method.scorer)))
    if judge is not None and needs_judge(spec):
        identity["judge"], info["judge"] = _describe_judge(judge)
        model = identity["judge"]["model"]
        label = judge.config.policy.model if "model" in model else str(model.get("type"))
        seed = judge.config.seed
        info["summary"] += f" with the judge {_name_model(label, model.get('content_hash'))}, seed {seed}"
    return identity, info


def _describe_judge(judge: "JudgeModel") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what determines judgements, and what is recorded beside it."""
    config, defaults = judge.config, GenerativeConfig()
    described = judge.sampler.describe()
    # The precision and the commit say how and whence the same weights are loaded.
    model = {name: value for name, value in described.identity.items() if name not in ("dtype", "commit")}
    if "model" in model and model.get("type") != "openai":
        content_hash = hash_model(str(model["model"]))
        if content_hash is not None:
            # A name is compared only where the content is not known.
            model |= {"content_hash": content_hash, "model": None, "revision": None}
    default_params = asdict(SamplingParams())
    settings = {name: getattr(config, name) for name in _JUDGE_FIELDS}
    identity = {
        "model": model,
        "sampling": {
            name: value
            for name, value in asdict(config.sampling or SamplingParams()).items()
            if value != default_params[name]
        },
        **{name: value for name, value in settings.items() if value != getattr(defaults, name)},
    }
    identity["seed"] = config.seed
    return identity, {"config": config.model_dump(mode="json"), "model": dict(described.info)}


def _name_model(model: str, content_hash: object) -> str:
    return f"{model} (content hash {content_hash[:12]})" if isinstance(content_hash, str) else model


def _digest(origin: Origin | None) -> str | None:
    """Return a short hash of an identity; None if it is unknown."""
    if origin is None:
        return None
    text = json.dumps(dict(origin.identity), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _list_versions() -> Mapping[str, str]:
    """Return the versions of the libraries that compute results, as far as they are installed."""
    versions: dict[str, str] = {}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
