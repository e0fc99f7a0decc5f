import pytest

from nbest.errors import ConfigError
from nbest.records import SamplingParams
from nbest.sampling.limits import TokenLimit, check_ranges, find_unavailable, limit_tokens


@pytest.mark.parametrize(
    ("context", "prompt", "max_tokens", "tokens", "note"),
    [
        (None, 5, 100, 100, ""),
        (16, 5, 11, 11, ""),
        (16, 5, 12, 11, "cut at the model's context of 16 tokens, before max_tokens=12"),
        (16, 16, 1, 0, "the prompt has 16 tokens; it needs at least 1, and fewer than the context of 16"),
        (None, 0, 1, 0, "the prompt has 0 tokens; it needs at least 1, and fewer than the context of None"),
    ],
)
def test_what_a_context_leaves(context: int | None, prompt: int, max_tokens: int, tokens: int, note: str) -> None:
    assert limit_tokens(context, prompt, max_tokens) == TokenLimit(tokens, note)


def test_every_setting_out_of_its_range_is_listed() -> None:
    check_ranges(SamplingParams())
    with pytest.raises(ConfigError) as caught:
        check_ranges(SamplingParams(temperature=-1, top_p=0, top_k=-1, min_p=2, max_tokens=0, stop=("",)))
    names = [fault.partition(":")[0] for fault in caught.value.faults]
    assert names == ["temperature", "top_p", "top_k", "min_p", "max_tokens", "stop"]


def test_what_only_a_model_in_this_process_keeps() -> None:
    assert find_unavailable(SamplingParams(top_logprobs=20)) == []
    faults = find_unavailable(SamplingParams(capture=(-1,), self_certainty=True, top_logprobs=21))
    assert [fault.partition(":")[0] for fault in faults] == ["capture", "self_certainty", "top_logprobs"]
