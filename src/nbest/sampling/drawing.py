"""Draws tokens from logits: the uniform numbers, the filters, the draw. This module does not know models and batches.

Shapes: B rows, V vocabulary.

Order of the filters, as transformers applies them: temperature, top-k, top-p over what top-k left, min-p relative to
the most probable token. (vLLM applies min-p before the other two.) All three become one lowest logit per row; tokens
with exactly that logit are kept, so a tie at the edge keeps all its tokens. The token is the first, in the order of the
vocabulary, whose cumulative probability (float64) passes the uniform number: a small change of the probabilities then
moves the edges between tokens a little, where an order by probability would swap neighbours.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from nbest.records import SamplingParams

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    return values ^ (values >> np.uint64(31))


def mix_seeds(seeds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return streams [B] of `draw_uniforms` for seeds [B]; seeds that are close together become far apart."""
    return _mix(seeds + _GOLDEN)


def draw_uniforms(streams: NDArray[np.uint64], positions: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return uniform numbers [B] in [0, 1) with 53 bits: SplitMix64 of (stream, position).

    The generator is counter-based (Steele, Lea and Flood, 2014): the number of a token depends on the seed of its
    trajectory and its position, on nothing else.
    """
    counters = streams + (positions.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    return (_mix(counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw_tokens(
    logits: Float[Tensor, "B V"], uniforms: Float64[Tensor, " B"], params: SamplingParams
) -> tuple[Int64[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"] | None, Float[Tensor, " B"] | None]:
    """Return tokens [B], their log-probabilities [B], confidences [B] and certainties [B], None if off.

    `logits` [B V] float32, `uniforms` [B] float64 in [0, 1). All but the tokens belong to the policy at temperature 1,
    before any filter. Confidence is the mean log-probability of the `params.top_logprobs` most probable tokens.
    Certainty is KL(uniform || policy) = -(1/V) sum_v log(V p_v), in nats (self-certainty, arXiv 2502.18581).
    `temperature=0` takes the most probable token (the first of equals).
    """
    log_total = torch.logsumexp(logits, dim=-1)
    is_greedy = params.temperature == 0
    tokens = logits.argmax(dim=-1) if is_greedy else _invert(_weigh(logits, log_total, params), uniforms)
    logprobs = logits.gather(-1, tokens[:, None])[:, 0] - log_total
    size = logits.shape[-1]
    confidences = certainties = None
    if params.top_logprobs:
        best = torch.topk(logits, min(params.top_logprobs, size), sorted=False).values
        confidences = best.mean(dim=-1) - log_total
    if params.self_certainty:
        certainties = log_total - logits.mean(dim=-1) - math.log(size)
    return tokens, logprobs, confidences, certainties


def _weigh(logits: Tensor, log_total: Tensor, params: SamplingParams) -> Tensor:
    """Return weights [B V], proportional to the probabilities after temperature and filters."""
    top = log_total if params.temperature == 1 else logits.amax(dim=-1)
    weights = (logits - top[:, None]).div_(params.temperature).exp_()
    cutoff = _find_cutoff(weights, params)
    return weights if cutoff is None else weights.masked_fill_(weights < cutoff, 0.0)


def _find_cutoff(weights: Tensor, params: SamplingParams) -> Tensor | None:
    """Return the lowest weight [B 1] that passes the filters, or None if no filter is on."""
    size = weights.shape[-1]
    top_k = min(params.top_k, size) if params.top_k > 0 else size
    cutoff: Tensor | None = None
    if params.top_p < 1:
        best = torch.topk(weights, top_k).values if top_k < size else weights.sort(dim=-1, descending=True).values
        before = best.cumsum(dim=-1) - best
        # A token is kept while those above it have less than top_p of the mass; the first one always is.
        count = (before < params.top_p * best.sum(dim=-1, keepdim=True)).sum(dim=-1, keepdim=True).clamp_(min=1)
        cutoff = best.gather(-1, count - 1)
    elif top_k < size:
        cutoff = torch.topk(weights, top_k, sorted=True).values[:, -1:]
    if params.min_p > 0:
        floor = weights.amax(dim=-1, keepdim=True) * params.min_p
        cutoff = floor if cutoff is None else torch.maximum(cutoff, floor)
    return cutoff


def _invert(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Return the first token [B] whose cumulative weight passes `uniforms` times the total."""
    cumulative = weights.cumsum(dim=-1, dtype=torch.float64)
    total = cumulative[:, -1]
    goal = torch.minimum(uniforms * total, total * (1 - math.ulp(1.0)))
    return torch.searchsorted(cumulative, goal[:, None], right=True)[:, 0]
