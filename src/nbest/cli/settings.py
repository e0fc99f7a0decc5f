"""What a command reads back from the manifest of a run."""

from nbest.config import PolicyConfig, parse_config
from nbest.errors import ConfigError
from nbest.storage.run import Run

LOADED = ("model", "revision", "dtype", "device", "template")
"""What says how a policy is loaded; the manifest's other settings may be those of another version."""


def policy_of(run: Run, model: str | None) -> PolicyConfig:
    """The policy that sampled the run, or `model` where one is named. Raises ConfigError where neither is known."""
    if model is not None:
        return PolicyConfig(model=model)
    settings = run.manifest["info"].get("config", {}).get("policy")
    if settings is None:
        raise ConfigError(f"{run.path}: its manifest names no policy (it was imported); give one with --model")
    held = {name: settings[name] for name in LOADED if name in settings}
    return parse_config(PolicyConfig, held, f"{run.path / 'run.json'}: info.config.policy")
