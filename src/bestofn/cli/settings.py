"""What a command reads back from the manifest of a run."""

from bestofn.config import PolicyConfig, parse_config
from bestofn.errors import ConfigError
from bestofn.storage.run import Run


def policy_of(run: Run, model: str | None) -> PolicyConfig:
    """The policy that sampled the run, or `model` where one is named. Raises ConfigError where neither is known."""
    if model is not None:
        return PolicyConfig(model=model)
    settings = run.manifest["info"].get("config", {}).get("policy")
    if settings is None:
        raise ConfigError(f"{run.path}: its manifest names no policy (it was imported); give one with --model")
    return parse_config(PolicyConfig, settings, f"{run.path / 'run.json'}: info.config.policy")
