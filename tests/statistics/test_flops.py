import numpy as np

from nbest.statistics.flops import forward_flops

SIZE = {"parameters": 1000, "layers": 3, "attention_width": 32}


def test_by_hand() -> None:
    # 30 tokens: 2 * 1000 * 30 for the parameters, and 4 * 3 * 32 for each of the 30 * 30 / 2 pairs of tokens.
    assert forward_flops(10, 20, **SIZE) == 60_000 + 172_800
    assert forward_flops(0, 0, **SIZE) == 0


def test_an_array_is_computed_as_each_of_its_counts() -> None:
    prompts, sampled = np.array([10, 0, 7_000]), np.array([20, 0, 9_000])
    expected = [forward_flops(int(p), int(s), **SIZE) for p, s in zip(prompts, sampled, strict=True)]
    assert forward_flops(prompts, sampled, **SIZE).tolist() == expected


def test_large_counts_do_not_overflow() -> None:
    size = {"parameters": 10**12, "layers": 100, "attention_width": 16_384}
    assert forward_flops(10**6, 10**6, **size) == 2e12 * 2e6 + 2.0 * 100 * 16_384 * 2e6**2
