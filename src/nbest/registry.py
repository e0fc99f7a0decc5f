"""The one table from a config's `type` (or a name on the command line) to a class, imported when it is asked for.

To add a method: write the class in the room of its protocol, name it here. Nothing else has to know it.
"""

import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from nbest import __version__
from nbest.config import GenerativeConfig, PolicyConfig, ProblemsConfig, SampleConfig, load_config
from nbest.errors import ConfigError
from nbest.protocols import Sampler, Scorer, Selector
from nbest.records import Problem, Score
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

SAMPLERS = {
    "transformers": "nbest.sampling.transformers:TransformersSampler",
    "scripted": "nbest.sampling.scripted:ScriptedSampler",
    "openai": "nbest.sampling.openai_compatible:OpenAISampler",
    "vllm": "nbest.sampling.vllm:VllmSampler",
}
ENCODER = "nbest.states.encoder:TransformersEncoder"
SELECTORS = {
    "first": "nbest.selecting.scored:FirstSelector",
    "random": "nbest.selecting.scored:RandomSelector",
    "longest": "nbest.selecting.scored:LengthSelector",
    "shortest": "nbest.selecting.scored:LengthSelector",
    "majority": "nbest.selecting.voting:MajoritySelector",
}
GENERATIVE = {
    "genselect": "nbest.judging.selectors:GenSelectSelector",
    "genselect-tournament": "nbest.judging.selectors:TournamentSelector",
    "genselect-vote": "nbest.judging.selectors:VoteSelector",
    "usc": "nbest.judging.selectors:ConsistencySelector",
    "knockout": "nbest.judging.pairwise:KnockoutSelector",
    "genrm": "nbest.judging.pointwise:PointwiseSelector",
}
"""Selectors in which a model reads the candidates."""
GENSELECT_SCORER = "genselect"
RULES = "nbest.statistics.votes:RULES"
"""Weighted votes by name."""
STEP_SCORERS = ("trajselector", "trajselector-fused", "step-mlp", "sprm", "swift", "clue")
"""Scorers of steps: read the policy's hidden states with a trained model."""
BUNDLED_SCORERS = ("trajselector", "trajselector-fused")
CONFIDENCE = "nbest.scoring.confidence:CONFIDENCE"
REWARD = "reward"
LOCATE = "nbest.sampling.checkpoint:locate_checkpoint"
COUNTER = "nbest.training.prompt_lengths:PromptLengths"
STEP_RULE = "blank-line"
"""The rule of `text/steps.py`, named in the header of captured states."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A loaded sampler with what the manifest keeps of it: `identity` fixes the result, `info` is only told."""

    sampler: Sampler
    identity: Mapping[str, Any]
    info: Mapping[str, Any]

    @property
    def about_states(self) -> dict[str, str]:
        """For the header of captured states: whose they are and where a step ends."""
        return describe_states(self.identity)

    def close(self) -> None:
        """Ends what the sampler runs beside us: a thread left alone would abort the interpreter at its exit."""
        close = getattr(self.sampler, "close", None)
        if close is not None:
            close()


IDENTITY_FIELDS = ("content_hash", "tokenizer_hash", "chat_template_hash", "template", "dtype", "commit")


def find(place: str) -> Any:
    """The object at `module:name`."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def build_policy(config: PolicyConfig) -> Policy:
    """Loads the policy. Raises ConfigError where it cannot be found."""
    if config.endpoint is not None and config.type != "openai":
        raise ConfigError(f"policy.endpoint: only type 'openai' asks a server; type is {config.type!r}")
    if config.type == "scripted":
        if not config.script:
            raise ConfigError("policy.script: a scripted policy needs at least one text to reply with")
        identity = {"type": "scripted", "script": list(config.script)}
        return Policy(find(SAMPLERS["scripted"])(config.script), identity, {})
    if config.type == "openai":
        return _build_endpoint(config)
    if config.type == "vllm":
        sampler = find(SAMPLERS["vllm"])(config.model, config.revision, config.dtype, config.template, config.engine)
        return Policy(sampler, *sampler.describe())
    sampler = find(SAMPLERS["transformers"])(
        config.model, config.revision, config.dtype, config.device, config.batch_rows, config.template
    )
    info = sampler.policy_info()
    identity = {"type": config.type, "model": config.model} | {name: info[name] for name in IDENTITY_FIELDS}
    return Policy(sampler, identity, info)


def _build_endpoint(config: PolicyConfig) -> Policy:
    asked = config.endpoint
    if asked is None:
        raise ConfigError(
            "policy.endpoint.base_url: type 'openai' needs the URL of its server, such as http://127.0.0.1:8000/v1"
        )
    server = find("nbest.sampling.openai_compatible:Endpoint")(
        asked.base_url, asked.api_key_env, asked.timeout_seconds, asked.retries, asked.concurrency
    )
    form = find("nbest.sampling.openai_payloads:Form")(config.model, asked.dialect, config.template, asked.logprobs)
    # Where the model runs does not fix the result: the server may move.
    identity = {"type": "openai", "model": config.model, "template": config.template, "dialect": asked.dialect}
    return Policy(find(SAMPLERS["openai"])(server, form), identity, {"base_url": asked.base_url})


def build_encoder(config: PolicyConfig, layers: tuple[int, ...]) -> Any:
    return find(ENCODER)(config.model, layers, config.revision, config.dtype, config.device, config.template)


def describe_states(info: Mapping[str, Any]) -> dict[str, str]:
    known = {name: str(info[name]) for name in ("model", "content_hash", "dtype") if info.get(name) is not None}
    return known | {"step_rule": STEP_RULE, "last_layer_after_norm": "true"}


@dataclass(frozen=True, slots=True)
class JudgeModel:
    """A loaded model that judges, with the settings it is asked by. Close its policy. `count_tokens` counts for a
    sampler that is not loaded with a tokenizer of its own; None = nobody does."""

    config: GenerativeConfig
    policy: Policy
    count_tokens: Callable[[str], int] | None = None

    def setting(self, equivalence: Equivalence) -> Any:
        """What one generative selector or scorer works with; each gets its own, with counts of its own."""
        make = find("nbest.judging.settings:make_setting")
        return make(self.config, self.policy.sampler, equivalence, self.count_tokens)


def load_judge(config: GenerativeConfig) -> JudgeModel:
    """Loads the model of a generative selector; what `config` does not say comes from its `selection.json`, else from
    that of the tokenizer it names. Raises ConfigError."""
    policy, tokenizer = config.policy, config.tokenizer
    if tokenizer is not None and policy.type == "transformers":
        raise ConfigError(f"tokenizer: {tokenizer!r} came; type 'transformers' counts with its own: leave it out")
    fill = find("nbest.judging.settings:fill_from_model")
    # What the first folder says is given for the second one.
    for model in (policy.model if policy.type in ("transformers", "vllm") else None, tokenizer):
        config = config if model is None else fill(config, Path(find(LOCATE)(model)))
    if tokenizer is None and policy.type == "vllm" and config.budget_tokens is not None:
        tokenizer = policy.model
    count = None if tokenizer is None else find(COUNTER)(tokenizer).count_text
    return JudgeModel(config, build_policy(policy), count)


def require_judge(asker: str, judge: JudgeModel | None) -> JudgeModel:
    """Raises ConfigError where `asker`, a selector or scorer that asks a model, has none."""
    if judge is None:
        raise ConfigError(f"{asker} asks a model: name it with --model, or in a file with --config")
    return judge


def build_selector(
    name: str,
    run: Run,
    equivalence: Equivalence,
    seed: int = 0,
    combined: Path | None = None,
    judge: JudgeModel | None = None,
) -> Selector:
    """A selector by its name; `RULE:NAME` reads the scores of NAME in `run`, `combined` the fitted mixture in the file
    `combined`, those of GENERATIVE ask `judge`. Raises ConfigError for unknown names."""
    if name in GENERATIVE:
        return find(GENERATIVE[name])(require_judge(f"selector {name!r}", judge).setting(equivalence))
    if name == "combined":
        return _build_combined(combined, run, equivalence)
    rule, _, scorer = name.partition(":")
    if scorer and rule in ("score", *find(RULES)):
        return _build_scored(rule, scorer, run, equivalence)
    if name == "oracle":
        raise ConfigError("selector 'oracle' sees the verdicts: it is a bound in `nbest compare`, never a selection")
    if name not in SELECTORS:
        known = [*SELECTORS, *GENERATIVE, "combined", *(f"{rule}:NAME" for rule in ("score", *find(RULES)))]
        raise ConfigError(f"selector {name!r} is none of {', '.join(known)}")
    made = find(SELECTORS[name])
    if name == "majority":
        return made(equivalence)
    if name in ("longest", "shortest"):
        return made(name == "longest")
    return made(seed) if name == "random" else made()


def _build_combined(file: Path | None, run: Run, equivalence: Equivalence) -> Selector:
    if file is None:
        raise ConfigError("selector 'combined' needs --combined FILE.json, made by `nbest train combined`")
    model = find("nbest.selecting.combined.model:CombinedModel").load(file)
    policy = run.manifest["identity"].get("policy", {}).get("content_hash")
    if None not in (model.policy, policy) and model.policy != policy:
        raise ConfigError(f"{file}: fitted on the policy {model.policy!r}; run {run.path} is of {policy!r}")
    scores = {scorer: _read_scores(run, scorer) for scorer in model.scorers}
    return find("nbest.selecting.combined.selector:CombinedSelector")(model, scores, equivalence)


def _read_scores(run: Run, scorer: str) -> dict[str, Score]:
    return {score.trajectory_id: score for score in run.scores(scorer)}


def _build_scored(rule: str, scorer: str, run: Run, equivalence: Equivalence) -> Selector:
    scores = _read_scores(run, scorer)
    if rule == "score":
        return find("nbest.selecting.scored:ScoreSelector")(scorer, scores, str(run.path))
    made = find("nbest.selecting.weighted:WeightedVoteSelector")
    return made(scorer, scores, equivalence, find(RULES)[rule], str(run.path))


def build_scorer(
    name: str, run: Run, model: str | None = None, family: str | None = None, judge: JudgeModel | None = None
) -> Scorer:
    """A scorer by its name. Scorers of steps read `model` (a folder or hub id; without it the bundled one of that
    name), `reward` needs a model and its family, `genselect` asks `judge` and closes it. Close what has a `close`.
    Raises ConfigError, UnavailableError, DataError."""
    confidence = find(CONFIDENCE)
    if name in confidence:
        return confidence[name]()
    if name == REWARD:
        if model is None:
            raise ConfigError("scorer 'reward' needs --model, a process or outcome reward model (folder or hub id)")
        return find("nbest.scoring.reward.model:RewardModelScorer")(model, family)
    if name == GENSELECT_SCORER:
        return _build_genselect_scorer(judge)
    if model is None and name in BUNDLED_SCORERS:
        model = f"bundled:{name}"
    if model is None and name in STEP_SCORERS:
        raise ConfigError(
            f"scorer {name!r} does not come with the package: train one with `nbest train scorer CONFIG.toml` and "
            "name its folder with --model"
        )
    if model is None:
        known = ", ".join([*STEP_SCORERS, *confidence, REWARD, GENSELECT_SCORER])
        raise ConfigError(f"scorer {name!r} is none of {known}; a scorer of your own is a name and --model FOLDER")
    hidden = import_module("nbest.scoring.hidden")
    return hidden.HiddenScorer(hidden.load_step_scorer(find(LOCATE)(model)), run)


def _build_genselect_scorer(judge: JudgeModel | None) -> Scorer:
    model = require_judge(f"scorer {GENSELECT_SCORER!r}", judge)
    equivalence = Equivalence()

    def close() -> None:
        model.policy.close()
        equivalence.close()

    return find("nbest.judging.scorer:GenSelectScorer")(model.setting(equivalence), close)


def load_problems(config: ProblemsConfig) -> list[Problem]:
    """The problems of the generator, of a benchmark or of a local copy. Raises ConfigError, DataError, EngineError."""
    if config.source == "arithmetic":
        generate = find("nbest.problems.arithmetic:generate_problems")
        return generate(config.split, config.count or 200, config.seed, config.steps)
    problems = find("nbest.problems.benchmarks:load_benchmark")(config.source, config.file, config.revision)
    return problems[: config.count] if config.count else problems


def pin_revision(config: SampleConfig) -> SampleConfig:
    """The settings with the commit of a benchmark on the hub, so that the manifest names it."""
    if config.problems.source == "arithmetic" or config.problems.file:
        return config
    benchmarks = import_module("nbest.problems.benchmarks")
    entry = benchmarks.find_benchmark(config.problems.source)
    if entry.file:
        return config
    commit = benchmarks.resolve_revision(entry, config.problems.revision)
    return config.model_copy(update={"problems": config.problems.model_copy(update={"revision": commit})})


def load_sample_config(source: str) -> SampleConfig:
    """A TOML file, or the name of a preset of this package."""
    presets = Path(str(resources.files("nbest") / "presets"))
    path = Path(source)
    if not path.suffix and (presets / f"{source}.toml").is_file():
        path = presets / f"{source}.toml"
    if not path.is_file():
        known = ", ".join(sorted(preset.stem for preset in presets.glob("*.toml")))
        raise ConfigError(f"config: {source!r} is neither a TOML file nor one of the presets ({known})")
    return load_config(SampleConfig, path)


def describe_sampling(config: SampleConfig, policy: Policy, problems: list[Problem]) -> dict[str, Any]:
    """The manifest of a run that `nbest sample` makes. `n`, batch size and device may change later."""
    hash_problems = find("nbest.problems.benchmarks:content_hash")
    settings = config.model_dump(mode="json")
    sampling = settings["sampling"]
    return {
        "identity": {
            "problems": {"source": config.problems.source, "count": len(problems), "hash": hash_problems(problems)},
            "policy": dict(policy.identity),
            "sampling": sampling,
            "seed": config.seed,
        },
        "info": {
            "nbest": __version__,
            "git_commit": read_git_commit(),
            "python": platform.python_version(),
            "config": settings,
            "policy": dict(policy.info),
        },
    }


def read_git_commit() -> str | None:
    """The commit of the checkout this package runs from; None for an installed package or without git."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
