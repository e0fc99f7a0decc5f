"""From a policy's name or config to a Sampler. Loads nothing that the config does not ask for."""

from collections.abc import Mapping

from nbest.config import POLICY_FIELDS, PolicyConfig
from nbest.errors import ConfigError
from nbest.protocols import PolicyDescription, Sampler
from nbest.registry import find_spec
from nbest.specs import MethodName

STEP_RULE = "blank-line"
"""The rule of `text/steps.py`, named in the header of captured states."""


def load_policy(policy: str | PolicyConfig | Sampler) -> Sampler:
    """Return the sampler of a policy; close it when done.

    `policy` is a name (`bundled:NAME`, a folder, a hub id), a config, or a Sampler, which comes back as it is. Raises
    ConfigError where there is no such policy, MissingExtraError.
    """
    if isinstance(policy, Sampler):
        return policy
    config = PolicyConfig(model=policy) if isinstance(policy, str) else policy
    options = {} if config.type in POLICY_FIELDS else config.engine
    return find_spec("sampler", config.type).make(config, MethodName(config.type, options))


def origin_of(description: PolicyDescription) -> dict[str, str]:
    """Return what the header of captured states says of their policy, norm and step rule."""
    return describe_origin(description.identity)


def describe_origin(facts: Mapping[str, object]) -> dict[str, str]:
    """Return what `origin_of` does, from the identity of a policy or the info of a checkpoint."""
    names = ("model", "content_hash", "dtype")
    values = {name: str(facts[name]) for name in names if facts.get(name) is not None}
    return values | {"step_rule": STEP_RULE, "last_layer_after_norm": "true"}


def build_transformers(config: PolicyConfig, *_: object) -> Sampler:
    from nbest.sampling.transformers import TransformersSampler

    return TransformersSampler(
        config.model, config.revision, config.dtype, config.device, config.batch_rows, config.template
    )


def build_scripted(config: PolicyConfig, *_: object) -> Sampler:
    from nbest.sampling.scripted import ScriptedSampler

    if not config.script:
        raise ConfigError("policy.script: a scripted policy needs at least one text to reply with")
    return ScriptedSampler(config.script)


def build_vllm(config: PolicyConfig, *_: object) -> Sampler:
    from nbest.sampling.vllm import VllmSampler

    return VllmSampler(config.model, config.revision, config.dtype, config.template, config.engine)


def build_openai(config: PolicyConfig, *_: object) -> Sampler:
    from nbest.sampling.openai_compatible import Endpoint, OpenAISampler
    from nbest.sampling.openai_payloads import Form

    server = config.endpoint
    if server is None:
        raise ConfigError(
            "policy.endpoint.base_url: type 'openai' needs the URL of its server, such as http://127.0.0.1:8000/v1"
        )
    endpoint = Endpoint(server.base_url, server.api_key_env, server.timeout_seconds, server.retries, server.concurrency)
    return OpenAISampler(endpoint, Form(config.model, server.dialect, config.template, server.logprobs))
