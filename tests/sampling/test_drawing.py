"""Uniform numbers, filters and the draw, with the arithmetic beside them."""

import numpy as np
import pytest
import torch
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from nbest.records import SamplingParams
from nbest.sampling.drawing import draw_tokens, draw_uniforms, mix_seeds

# Probabilities .1 .2 .3 .4; cumulative .1 .3 .6 1.
LOGITS = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))


def draw(uniforms: list[float], **settings: float) -> list[int]:
    params = SamplingParams(**{"temperature": 1, "top_p": 1, "top_k": 0, **settings})  # pyright: ignore
    rows = LOGITS.expand(len(uniforms), -1)
    return draw_tokens(rows, torch.tensor(uniforms, dtype=torch.float64), params)[0].tolist()


def test_splitmix64_reference_values():
    # The first outputs of SplitMix64 with state 1234567, as published with its reference code.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    streams = np.full(3, 1234567, dtype=np.uint64)
    numbers = draw_uniforms(streams, np.arange(3))
    assert numbers.tolist() == [(value >> 11) / 2**53 for value in expected]


def test_uniforms_depend_on_seed_and_position_only():
    streams = mix_seeds(np.array([5, 6, 7], dtype=np.uint64))
    together = draw_uniforms(streams, np.array([0, 9, 3]))
    assert together[1] == draw_uniforms(streams[1:2], np.array([9]))[0]
    many = draw_uniforms(np.repeat(mix_seeds(np.arange(200, dtype=np.uint64)), 100), np.tile(np.arange(100), 200))
    assert many.min() >= 0
    assert many.max() < 1
    # 20,000 numbers: the mean's standard error is .2887 / 141 = .002.
    assert abs(many.mean() - 0.5) < 0.008
    assert len(set(many.tolist())) == len(many)


def test_tokens_in_vocabulary_order():
    assert draw([0.0, 0.05, 0.15, 0.35, 0.65, 0.999999999]) == [0, 0, 1, 2, 3, 3]


def test_temperature_squares_the_probabilities():
    # T = .5: .01 .04 .09 .16 of .30; cumulative .033 .167 .467 1.
    assert draw([0.03, 0.04, 0.16, 0.17, 0.46, 0.47], temperature=0.5) == [0, 1, 1, 2, 2, 3]


def test_top_k_keeps_the_most_probable():
    # .3 .4 of .7: the edge is at 3/7 = .4286.
    assert draw([0.0, 0.42, 0.43], top_k=2) == [2, 2, 3]


def test_top_p_keeps_the_smallest_set_that_holds_p():
    # .4 does not hold .5, .4 + .3 does.
    assert draw([0.0, 0.42, 0.43], top_p=0.5) == [2, 2, 3]
    assert draw([0.0, 0.999], top_p=0.3) == [3, 3]


def test_top_p_is_of_what_top_k_left():
    # top-k 3 leaves .2 .3 .4 of .9, where .4 and .3 hold .777; of all four they hold .7, and .2 is kept as well.
    assert draw([0.0, 0.42, 0.43], top_k=3, top_p=0.75) == [2, 2, 3]
    assert draw([0.0], top_p=0.75) == [1]


def test_min_p_is_relative_to_the_most_probable():
    # .6 * .4 = .24 keeps .3 and .4.
    assert draw([0.0, 0.42, 0.43], min_p=0.6) == [2, 2, 3]


def test_greedy_takes_the_first_of_equals():
    logits = torch.tensor([[1.0, 3.0, 3.0, 0.0]])
    params = SamplingParams(temperature=0)
    assert draw_tokens(logits, torch.tensor([0.9], dtype=torch.float64), params)[0].tolist() == [1]


def test_a_tie_at_the_edge_keeps_all_of_it():
    logits = torch.log(torch.tensor([[0.4, 0.2, 0.2, 0.2]])).expand(3, -1)
    params = SamplingParams(temperature=1, top_p=1, top_k=2)
    uniforms = torch.tensor([0.45, 0.65, 0.85], dtype=torch.float64)
    assert draw_tokens(logits, uniforms, params)[0].tolist() == [1, 2, 3]


def test_logprobs_and_confidence_are_of_the_policy_at_temperature_one():
    params = SamplingParams(temperature=0.5, top_p=0.9, top_k=2, top_logprobs=2)
    tokens, logprobs, confidences, certainties = draw_tokens(LOGITS, torch.tensor([0.0], dtype=torch.float64), params)
    assert certainties is None
    assert tokens.tolist() == [2]
    assert logprobs.tolist() == pytest.approx([np.log(0.3)])
    assert confidences is not None
    # (log .4 + log .3) / 2 = (-.9163 - 1.2040) / 2
    assert confidences.tolist() == pytest.approx([-1.06013], abs=1e-4)


def test_certainty_is_the_divergence_of_the_policy_from_uniform():
    # -(log .4 + log .8 + log 1.2 + log 1.6) / 4 = (.9163 + .2231 - .1823 - .4700) / 4 = .1218: the logs of V p with
    # V = 4. The second row is the first plus 5 in every logit, the third is uniform: KL(uniform || uniform) = 0.
    logits = torch.cat([LOGITS, LOGITS + 5, torch.full((1, 4), 3.0)])
    params = SamplingParams(temperature=0.5, top_p=0.9, top_k=2, self_certainty=True)
    _, _, confidences, certainties = draw_tokens(logits, torch.zeros(3, dtype=torch.float64), params)
    assert confidences is None
    assert certainties is not None
    assert certainties.tolist() == pytest.approx([0.12178, 0.12178, 0.0], abs=1e-5)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "min_p"),
    [(0.6, 20, 0.95, 0.0), (1.0, 0, 0.8, 0.0), (1.5, 7, 1.0, 0.0), (0.9, 0, 1.0, 0.1), (1.0, 12, 0.7, 0.05)],
)
def test_filters_keep_what_those_of_transformers_keep(temperature: float, top_k: int, top_p: float, min_p: float):
    torch.manual_seed(0)
    logits = torch.randn(8, 50) * 2
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)] if temperature != 1 else [])
    warpers += [TopKLogitsWarper(top_k)] if top_k else []
    warpers += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    warpers += [MinPLogitsWarper(min_p)] if min_p else []
    probabilities = warpers(torch.LongTensor([[0]] * 8), torch.FloatTensor(logits)).softmax(-1).double()
    params = SamplingParams(temperature, top_p, top_k, min_p)
    grid = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    for row in range(8):
        expected = torch.searchsorted(probabilities[row].cumsum(0), grid, right=True)
        tokens = draw_tokens(logits[row].expand(400, -1), grid, params)[0]
        # One number in 400 may fall within rounding of an edge.
        assert int((tokens != expected).sum()) <= 1


def test_shapes_and_types_are_checked_in_tests():
    from jaxtyping import TypeCheckError

    with pytest.raises(TypeCheckError):
        draw_tokens(torch.zeros(2, 5), torch.zeros(3, dtype=torch.float64), SamplingParams())
