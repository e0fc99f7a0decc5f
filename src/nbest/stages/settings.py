"""Read the settings of `nbest sample`, and override single ones."""

from collections.abc import Mapping
from typing import Any

from nbest.config import SampleConfig, parse_config, parse_partly, read_toml
from nbest.errors import ConfigError, NbestError
from nbest.named_configs import find_config
from nbest.stages.sampling import Shard, check_settings

SOURCE_FIELDS = ("file", "revision", "split", "seed", "steps")
"""The fields that belong to one source of problems and are not carried over to another."""


def override_config(base: SampleConfig, changes: Mapping[str, Any], where: str = "command line") -> SampleConfig:
    """Return `base` with some fields replaced, by dotted name (`sampling.temperature`); None leaves a field as it is.

    `policy.template_arguments` are added to those of `base`.
    `sampling.capture` may also be True (what `base` captures, else the last layer) or False (nothing). With another
    `problems.source`, the `SOURCE_FIELDS` of `base` are dropped. Raises ConfigError, with all faults at once, for a
    value that is not allowed and for a field that the policy or source does not use.
    """
    return parse_config(SampleConfig, _replace_fields(base, changes), where)


def _replace_fields(base: SampleConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    values = base.model_dump(exclude_unset=True)
    overrides = {name: value for name, value in changes.items() if value is not None}
    if overrides.get("problems.source", base.problems.source) != base.problems.source:
        problems = values.get("problems", {})
        values["problems"] = {name: value for name, value in problems.items() if name not in SOURCE_FIELDS}
    if "policy.model" in overrides and base.policy.type == "scripted":
        raise ConfigError("--policy: the config has a policy of type 'scripted', which has no model to replace")
    if isinstance(capture := overrides.get("sampling.capture"), bool):
        overrides["sampling.capture"] = (base.sampling.capture or (-1,)) if capture else None
    if arguments := overrides.get("policy.template_arguments"):
        overrides["policy.template_arguments"] = {**base.policy.template_arguments, **arguments}
    for name, value in overrides.items():
        section, _, key = name.rpartition(".")
        (values.setdefault(section, {}) if section else values)[key] = value
    return values


def read_settings(
    source: str, changes: Mapping[str, Any], *, shard: str = "0/1", allow_large_n: bool = False
) -> tuple[SampleConfig, Shard]:
    """Return the settings of `nbest sample`: those of a TOML file or named config, with `changes` as in
    `override_config`.

    Raises ConfigError with all faults at once: where a field is faulty, the other settings are checked against the
    problems and the policy nevertheless.
    """
    path = find_config(source, "sample")
    base, faults = parse_partly(SampleConfig, read_toml(path), str(path))
    part, config = Shard(), base
    try:
        part = Shard.parse(shard)
    except ConfigError as error:
        faults += error.faults
    if base is not None:
        try:
            config, new_faults = parse_partly(SampleConfig, _replace_fields(base, changes), "command line")
            faults += new_faults
        except ConfigError as error:
            faults += error.faults
    if not faults and config is not None:
        return config, part
    if config is not None:
        try:
            check_settings(config, allow_large_n)
        except ConfigError as error:
            faults += [fault for fault in error.faults if fault not in faults]
        except (NbestError, OSError):
            pass  # What has failed beside the settings is of no interest yet.
    raise ConfigError(faults)
