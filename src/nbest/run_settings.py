"""From the settings of a run to its problems and its manifest. This module does not know how anything is sampled."""

import platform
import subprocess
from pathlib import Path
from typing import Any

from nbest.config import ProblemsConfig, SampleConfig, load_config
from nbest.named_configs import find_config
from nbest.problems.arithmetic import generate_problems
from nbest.problems.benchmarks import content_hash, find_benchmark, load_benchmark, resolve_revision
from nbest.protocols import PolicyDescription
from nbest.records import Problem
from nbest.version import VERSION

GENERATOR = "arithmetic"
"""The source of problems that are generated here and not loaded."""


def load_problems(config: ProblemsConfig) -> list[Problem]:
    """Return the problems of the generator, of a benchmark or of a local copy.

    Raises ConfigError, DataError, EngineError.
    """
    if config.source == GENERATOR:
        return generate_problems(config.split, config.count or 200, config.seed, config.steps)
    problems = load_benchmark(config.source, config.file, config.revision)
    return problems[: config.count] if config.count else problems


def pin_revision(config: SampleConfig) -> SampleConfig:
    """Return the settings with the commit of a benchmark on the hub, so that the manifest names it."""
    if config.problems.source == GENERATOR or config.problems.file:
        return config
    entry = find_benchmark(config.problems.source)
    if entry.file:
        return config
    commit = resolve_revision(entry, config.problems.revision)
    return config.model_copy(update={"problems": config.problems.model_copy(update={"revision": commit})})


def load_sample_config(source: str) -> SampleConfig:
    """Read a TOML file, or the package's own config of this name. Raises ConfigError."""
    return load_config(SampleConfig, find_config(source, "sample"))


def describe_sampling(config: SampleConfig, policy: PolicyDescription, problems: list[Problem]) -> dict[str, Any]:
    """Return the manifest of a run that is sampled; `n`, batch size and device may change later."""
    settings = config.model_dump(mode="json")
    return {
        "identity": {
            "problems": {"source": config.problems.source, "count": len(problems), "hash": content_hash(problems)},
            "policy": dict(policy.identity),
            "sampling": settings["sampling"],
            "seed": config.seed,
        },
        "info": {
            "nbest": VERSION,
            "git_commit": read_git_commit(),
            "python": platform.python_version(),
            "config": settings,
            "policy": dict(policy.info),
        },
    }


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
