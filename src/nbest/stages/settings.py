"""The settings of a run to sample: those of a file or preset, with single ones overridden."""

from collections.abc import Mapping
from typing import Any

from nbest.config import SampleConfig, parse_config
from nbest.errors import ConfigError

SOURCE_FIELDS = ("file", "revision", "split", "seed", "steps")
"""What belongs to one source of problems, and is not carried over to another."""


def override_config(base: SampleConfig, changes: Mapping[str, Any], where: str = "command line") -> SampleConfig:
    """Return `base` with some fields replaced, by dotted name (`sampling.temperature`); None leaves a field as it is.

    `sampling.capture` may also be True (what `base` captures, else the last layer) or False (nothing). With another
    `problems.source`, what `base` says of its own source does not count. Raises ConfigError, all faults at once, where
    a value cannot be or a field is not used by the policy or source it is given for.
    """
    values = base.model_dump(exclude_unset=True)
    chosen = {name: value for name, value in changes.items() if value is not None}
    if chosen.get("problems.source", base.problems.source) != base.problems.source:
        problems = values.get("problems", {})
        values["problems"] = {name: value for name, value in problems.items() if name not in SOURCE_FIELDS}
    if "policy.model" in chosen and base.policy.type == "scripted":
        raise ConfigError("--policy: the config has a policy of type 'scripted', which has no model to replace")
    if isinstance(capture := chosen.get("sampling.capture"), bool):
        chosen["sampling.capture"] = (base.sampling.capture or (-1,)) if capture else None
    for name, value in chosen.items():
        section, _, key = name.rpartition(".")
        (values.setdefault(section, {}) if section else values)[key] = value
    return parse_config(SampleConfig, values, where)
