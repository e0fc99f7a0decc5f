"""The losses of step scorers, trained with the outcome of the trajectory alone: pure functions.

Every function takes `logits` [B S C] (classes right, wrong, buffer; or one logit), `labels` [B] (1 right, 0 wrong;
the outcome is copied to every step), `mask` [B S] True for steps, and gives one loss a trajectory [B], the mean over
its steps. `weigh_classes` then averages over the batch. Probabilities are clamped at 1e-6 before the logarithm.

Shapes: B trajectories, S steps (padded on the right), C classes.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from nbest.scoring.step_scorer import BUFFER, RIGHT, WRONG

LossName: TypeAlias = Literal["guarded", "guarded-half", "printed", "outcome", "agreeing"]
_FLOOR = 1e-6


def printed_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """TrajSelector, equation 6 as printed: -mean_t [y log(p_right + p_buffer) + (1 - y) log(p_wrong + p_buffer)].

    It is zero where p_buffer = 1 everywhere, and training finds that; kept to show it.
    """
    p = logits.softmax(-1)
    labelled = torch.where(labels[:, None] > 0.5, p[..., RIGHT], p[..., WRONG]) + p[..., BUFFER]
    return average_steps(-labelled.clamp_min(_FLOOR).log(), mask)


def guarded_loss(
    logits: Tensor, labels: Tensor, mask: Tensor, generator: torch.Generator | None = None, is_stochastic: bool = True
) -> Tensor:
    """FreePRM (arXiv 2506.03570): for a right trajectory p_right + b p_buffer, for a wrong one
    1 - (p_wrong + b p_buffer) is driven to 0, that is, p_right + (1 - b) p_buffer.

    b is drawn 1 with probability p_buffer and 0 otherwise, one draw a step (`is_stochastic`), or is 0.5. The last
    step of a trajectory gets no buffer: there the outcome must be said. Draws are made where `generator` lives.

    Both cases are binary cross-entropy: q = p_right + b p_buffer against y = 1; p_wrong + b p_buffer against y = 0.
    """
    p = logits.softmax(-1)
    buffer = p[..., BUFFER]
    if is_stochastic:
        device = generator.device if generator is not None else logits.device
        draws = torch.rand(buffer.shape, generator=generator, device=device).to(buffer.device)
        b = (draws < buffer.detach()).to(buffer.dtype)
    else:
        b = torch.full_like(buffer, 0.5)
    b = b.masked_fill(find_last(mask), 0.0)
    chosen = torch.where(labels[:, None] > 0.5, p[..., RIGHT], p[..., WRONG]) + b * buffer
    return average_steps(-chosen.clamp_min(_FLOOR).log(), mask)


def outcome_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the outcome at every step, without buffer: of two classes, or of a single logit (BCE)."""
    targets = labels[:, None].expand(mask.shape)
    if logits.shape[-1] == 1:
        each = functional.binary_cross_entropy_with_logits(logits[..., 0], targets.to(logits.dtype), reduction="none")
    else:
        logp = logits[..., : WRONG + 1].log_softmax(-1)
        each = -torch.where(targets > 0.5, logp[..., RIGHT], logp[..., WRONG])
    return average_steps(each, mask)


def agreeing_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """SPRM (arXiv 2507.01951): BCE only at steps whose present prediction agrees with the outcome.

    A trajectory none of whose steps agrees counts in full: otherwise what is wrong everywhere would never be learned.
    """
    agrees = (logits[..., 0] > 0) == (labels[:, None] > 0.5)
    chosen = agrees & mask
    chosen = torch.where(chosen.any(-1, keepdim=True), chosen, mask)
    return outcome_loss(logits, labels, chosen)


def trajectory_loss(values: Tensor, labels: Tensor) -> Tensor:
    """BCE [B] of the trajectory's own logit `values` [B] (SWIFT)."""
    return functional.binary_cross_entropy_with_logits(values, labels.to(values.dtype), reduction="none")


def average_steps(each: Tensor, mask: Tensor) -> Tensor:
    """The mean [B] of `each` [B S] over the steps of `mask`."""
    weights = mask.to(each.dtype)
    return (each * weights).sum(-1) / weights.sum(-1).clamp_min(1.0)


def find_last(mask: Tensor) -> Tensor:
    """[B S] True at the last step of each trajectory (padding is on the right)."""
    behind = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    return mask & ~behind


def weigh_classes(losses: Tensor, labels: Tensor, right: float = 1.0, wrong: float = 1.0) -> Tensor:
    """The mean over trajectories of `losses` [B], each weighed by its class; a scalar."""
    weights = torch.where(labels > 0.5, right, wrong).to(losses.dtype)
    return (losses * weights).sum() / weights.sum()


def mean_buffer(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean p_buffer over the steps of a batch; 0 where there is no such class. Near 1: collapsed."""
    if logits.shape[-1] <= BUFFER:
        return logits.new_zeros(())
    return logits.softmax(-1)[..., BUFFER][mask].mean()


LOSSES: dict[str, Callable[..., Tensor]] = {
    "guarded": guarded_loss,
    "guarded-half": lambda logits, labels, mask, generator=None: guarded_loss(logits, labels, mask, None, False),  # noqa: ARG005
    "printed": lambda logits, labels, mask, generator=None: printed_loss(logits, labels, mask),  # noqa: ARG005
    "outcome": lambda logits, labels, mask, generator=None: outcome_loss(logits, labels, mask),  # noqa: ARG005
    "agreeing": lambda logits, labels, mask, generator=None: agreeing_loss(logits, labels, mask),  # noqa: ARG005
}
