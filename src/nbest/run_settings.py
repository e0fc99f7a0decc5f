"""From the settings of a run to its problems and its manifest. This module does not know how anything is sampled."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbest.answers.rules import parse_rule
from nbest.config import PolicyConfig, ProblemsConfig, SampleConfig, load_config, parse_config
from nbest.errors import ConfigError
from nbest.named_configs import find_config
from nbest.problems.arithmetic import generate_problems
from nbest.problems.benchmarks import content_hash, find_benchmark, load_benchmark, resolve_revision
from nbest.problems.problem_files import is_problem_file
from nbest.protocols import PolicyDescription
from nbest.records import Problem
from nbest.sampling.model_files import hash_model
from nbest.version import VERSION

LOADED_FIELDS = ("model", "revision", "dtype", "device", "template", "template_arguments")
"""The settings that say how a policy is loaded; a manifest may have other settings, written by another version."""
FOLDER = "policy_folder"
"""The entry of a manifest's `info` for the folder of the policy: its absolute path, and its path from the run."""
BUNDLED = "bundled:"
GENERATOR = "arithmetic"
"""The source of problems that are generated here and not loaded."""
GENERATED_PROBLEMS = 200
"""How many problems the generator makes if the settings give no count."""
MOST_GENERATED = 1_000_000
"""The most problems that are generated: they are all in memory, and a larger number is most likely a slip."""


def load_problems(config: ProblemsConfig) -> list[Problem]:
    """Return the problems that a config describes: generated ones, or those of a benchmark (also of a local copy).

    `config.answer_rule` replaces the answer rule of every problem. Raises ConfigError, DataError, EngineError.
    """
    if config.source == GENERATOR:
        if (config.count or 0) > MOST_GENERATED:
            raise ConfigError(
                f"problems.count: got {config.count:,} problems to generate; allowed are 1 to {MOST_GENERATED:,}"
            )
        problems = generate_problems(config.split, config.count or GENERATED_PROBLEMS, config.seed, config.steps)
    else:
        problems = load_benchmark(config.source, config.file, config.revision)[: config.count]
    if config.answer_rule is None:
        return problems
    rule = parse_rule(config.answer_rule).text
    return [replace(problem, answer_rule=rule) for problem in problems]


def pin_revision(config: SampleConfig) -> SampleConfig:
    """Return the settings with the commit of a benchmark on the hub, so that the manifest names it."""
    if config.problems.source == GENERATOR or config.problems.file or is_problem_file(config.problems.source):
        return config
    entry = find_benchmark(config.problems.source)
    if entry.file:
        return config
    commit = resolve_revision(entry, config.problems.revision)
    return config.model_copy(update={"problems": config.problems.model_copy(update={"revision": commit})})


def load_sample_config(source: str) -> SampleConfig:
    """Read a TOML file, or the package's own config of this name. Raises ConfigError."""
    return load_config(SampleConfig, find_config(source, "sample"))


def describe_sampling(
    config: SampleConfig, policy: PolicyDescription, problems: list[Problem], run_path: Path | None = None
) -> dict[str, Any]:
    """Return the manifest of a run that is sampled; `n`, batch size and device may change later.

    With the folder of the run, it records where the folder of the policy is (see `describe_folder`).
    """
    settings = config.model_dump(mode="json")
    # Runs without a system prompt have the same identity as those that were written before there was one.
    system = {} if config.system is None else {"system": config.system}
    folder = {} if run_path is None else describe_folder(config.policy.model, run_path)
    return {
        "identity": {
            "problems": {"source": config.problems.source, "count": len(problems), "hash": content_hash(problems)},
            "policy": dict(policy.identity),
            "sampling": settings["sampling"],
            **system,
            "seed": config.seed,
        },
        "info": {
            "nbest": VERSION,
            "git_commit": read_git_commit(),
            "python": platform.python_version(),
            "config": settings,
            "policy": dict(policy.info),
            **folder,
        },
    }


def describe_folder(model: str, run_path: Path) -> dict[str, Any]:
    """Return the entry of a manifest's `info` that says where the folder of a policy is; empty if it is no folder."""
    if model.startswith(BUNDLED) or not Path(model).is_dir():
        return {}
    folder = Path(model).absolute()
    return {FOLDER: {"absolute": str(folder), "from_run": os.path.relpath(folder, run_path.absolute())}}


def find_policy(manifest: Mapping[str, Any], run_path: Path) -> PolicyConfig | None:
    """Return how the policy of a run is loaded; None if its manifest names none.

    A folder is looked for at its recorded path, then at the same place relative to the run, which may have moved
    together with it; in runs that record no folder, relative to the current folder and to those above the run. Where
    the manifest records the content of the policy, a folder of other content is passed over. A model of the hub has
    the commit that sampled the run. Raises ConfigError if the
    policy has no model, or only folders of other content exist.
    """
    info = manifest["info"]
    settings = info.get("config", {}).get("policy")
    if settings is None:
        return None
    if settings.get("type", "transformers") == "scripted":
        raise ConfigError(f"{run_path}: its policy is of type 'scripted', which has no model; name one with --policy")
    values = {name: settings[name] for name in LOADED_FIELDS if name in settings}
    config = parse_config(PolicyConfig, values, f"{run_path / 'run.json'}: info.config.policy")
    identity = manifest["identity"].get("policy", {})
    if identity.get("commit"):
        return config.model_copy(update={"revision": identity["commit"]})
    if config.model.startswith(BUNDLED):
        return config
    record = info.get(FOLDER, {})
    folders = [Path(record["absolute"]), run_path / record["from_run"]] if record else []
    folders += [Path(config.model), *(parent / config.model for parent in run_path.parents)]
    existing = list(dict.fromkeys(Path(os.path.normpath(folder)) for folder in folders if folder.is_dir()))
    if not existing:
        # A hub id, or a folder that is gone: loading it says so.
        return config
    content_hash = identity.get("content_hash")
    for folder in existing:
        if content_hash is None or hash_model(str(folder)) == content_hash:
            return config.model_copy(update={"model": str(folder)})
    raise ConfigError(
        f"{run_path}: it was sampled by {config.model!r} with content hash {content_hash}, and these folders have "
        f"other content: {', '.join(map(str, existing))}. Name the folder of the same weights with --policy"
    )


def read_git_commit() -> str | None:
    """Return the commit of the checkout this package runs from; None for an installed package or without git."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return result.stdout.strip() or None
