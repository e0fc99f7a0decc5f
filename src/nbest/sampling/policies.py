"""Creates the Sampler of a policy's name or config, and imports no engine but its own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nbest.config import POLICY_FIELDS, PolicyConfig
from nbest.errors import ConfigError, UnavailableError
from nbest.protocols import PolicyDescription, Sampler
from nbest.records import SamplingParams
from nbest.registry import find_spec
from nbest.sampling.limits import find_unavailable, list_range_faults
from nbest.sampling.openai_payloads import Form, list_missing
from nbest.specs import MethodName

if TYPE_CHECKING:
    from nbest.sampling.openai_compatible import Endpoint

STEP_RULE = "blank-line"
"""The name of the rule of `text/steps.py` in the header of captured states."""


def load_policy(policy: str | PolicyConfig | Sampler) -> Sampler:
    """Return the sampler of a policy; close it when done.

    `policy` is a name (`bundled:NAME`, a folder, a hub id), a config, or a Sampler, which is returned unchanged. Raises
    ConfigError if there is no such policy, MissingExtraError.
    """
    if isinstance(policy, Sampler):
        return policy
    config = PolicyConfig(model=policy) if isinstance(policy, str) else policy
    options = {} if config.type in POLICY_FIELDS else config.engine
    return find_spec("sampler", config.type).make(config, MethodName(config.type, options))


def check_policy(policy: str | PolicyConfig, params: SamplingParams) -> None:
    """Check sampling settings against the type of a policy and the config of its model, before anything is loaded.

    Raises ConfigError that lists every fault, or UnavailableError where the policy only lacks what `params` ask for.
    """
    config = PolicyConfig(model=policy) if isinstance(policy, str) else policy
    faults, missing = list_range_faults(params), list[str]()
    if config.type == "transformers":
        from nbest.sampling.model_checks import list_model_faults

        model = (config.model, config.revision, config.dtype, config.device, config.template)
        faults += list_model_faults(*model, params.capture)
    elif config.type == "vllm":
        missing = find_unavailable(params)
    elif config.type == "openai":
        try:
            _make_endpoint(config)
        except ConfigError as error:
            faults += error.faults
        missing = list_missing(_make_form(config), params)
    if faults:
        raise ConfigError([*faults, *missing])
    if missing:
        raise UnavailableError("\n".join(missing))


def origin_of(description: PolicyDescription) -> dict[str, str]:
    """Return the origin that the header of captured states records: their policy, norm and step rule."""
    return describe_origin(description.identity)


def describe_origin(description: Mapping[str, object]) -> dict[str, str]:
    """Return the same as `origin_of`, from the identity of a policy or the info of a checkpoint."""
    names = ("model", "content_hash", "dtype")
    values = {name: str(description[name]) for name in names if description.get(name) is not None}
    return values | {"step_rule": STEP_RULE, "last_layer_after_norm": "true"}


def build_transformers(config: PolicyConfig, *_: object) -> Sampler:
    from nbest.sampling.transformers import TransformersSampler

    return TransformersSampler(
        *(config.model, config.revision, config.dtype, config.device, config.batch_rows, config.template),
        template_arguments=config.template_arguments,
    )


def build_scripted(config: PolicyConfig, *_: object) -> Sampler:
    from nbest.sampling.scripted import ScriptedSampler

    if not config.script:
        raise ConfigError("policy.script: a scripted policy needs at least one text to reply with")
    return ScriptedSampler(config.script)


def build_vllm(config: PolicyConfig, *_: object) -> Sampler:
    from nbest.sampling.vllm import VllmSampler

    model = (config.model, config.revision, config.dtype, config.template)
    return VllmSampler(*model, config.engine, config.template_arguments)


def build_openai(config: PolicyConfig, *_: object) -> Sampler:
    from nbest.sampling.openai_compatible import OpenAISampler

    return OpenAISampler(_make_endpoint(config), _make_form(config))


def _make_endpoint(config: PolicyConfig) -> "Endpoint":
    from nbest.sampling.openai_compatible import Endpoint

    server = config.endpoint
    if server is None:
        raise ConfigError(
            "policy.endpoint.base_url: type 'openai' needs the URL of its server, such as http://127.0.0.1:8000/v1"
        )
    return Endpoint(server.base_url, server.api_key_env, server.timeout_seconds, server.retries, server.concurrency)


def _make_form(config: PolicyConfig) -> Form:
    server = config.endpoint
    if server is None:
        return Form(config.model, template=config.template, template_arguments=config.template_arguments)
    return Form(config.model, server.dialect, config.template, server.logprobs, config.template_arguments)
