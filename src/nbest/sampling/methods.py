"""The specs of the built-in engines, by the `type` of a policy's config.

An engine is imported when a policy of its type is loaded.
"""

from nbest.specs import Spec

SPECS = (
    Spec(
        "transformers",
        "sampler",
        "nbest.sampling.policies:build_transformers",
        "A causal language model in this process, on CPU or GPU, with hidden states captured while it samples.",
    ),
    Spec(
        "vllm",
        "sampler",
        "nbest.sampling.policies:build_vllm",
        "A model in vLLM in this process (extra `vllm`).",
    ),
    Spec(
        "openai",
        "sampler",
        "nbest.sampling.policies:build_openai",
        "A model behind any server that speaks OpenAI's protocol (extra `openai`).",
    ),
    Spec(
        "scripted",
        "sampler",
        "nbest.sampling.policies:build_scripted",
        "Replies from a list, for tests and dry runs.",
    ),
)
