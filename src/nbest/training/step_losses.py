"""The losses of step scorers that are trained with the outcome of the trajectory alone, as pure functions.

Every loss takes `logits` [B S C] (classes right, wrong, buffer; or one logit), `labels` [B] (1 right, 0 wrong; every
step has the label of its trajectory) and `mask` [B S] (True for steps), and returns one loss per trajectory [B], the
mean over its steps. `weigh_classes` then averages over the batch. Probabilities are clamped to at least 1e-6 before the
logarithm.

Shapes: B trajectories, S steps (padded on the right), C classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from nbest.scoring.step_scorer import BUFFER, RIGHT, WRONG

_FLOOR = 1e-6


def printed_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Return the loss of TrajSelector, equation 6 as printed: -mean_t [y log(p_right + p_buffer) + (1 - y) log(p_wrong
    + p_buffer)].

    It is zero if p_buffer = 1 everywhere, and training converges to that; the loss exists to reproduce this collapse.
    """
    p = logits.softmax(-1)
    target = torch.where(labels[:, None] > 0.5, p[..., RIGHT], p[..., WRONG]) + p[..., BUFFER]
    return average_steps(-target.clamp_min(_FLOOR).log(), mask)


def guarded_loss(
    logits: Tensor, labels: Tensor, mask: Tensor, generator: torch.Generator | None = None, is_stochastic: bool = True
) -> Tensor:
    """Return the loss of FreePRM (arXiv 2506.03570).

    It is the negative logarithm of p_right + b p_buffer for a right trajectory, and of p_wrong + b p_buffer for a wrong
    one. If `is_stochastic`, b is drawn once per step, 1 with probability p_buffer and otherwise 0; else b is 0.5, as in
    FreePRM's released code, which has the draw off. A draw that says 0 lowers p_buffer, which makes the next such draw
    more likely, so that training with draws ends without a buffer class. At the last step of a trajectory b is 0,
    because the outcome is known there. Draws are made on the device of `generator`.
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
    target = torch.where(labels[:, None] > 0.5, p[..., RIGHT], p[..., WRONG]) + b * buffer
    return average_steps(-target.clamp_min(_FLOOR).log(), mask)


def outcome_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Return the cross-entropy of the outcome at every step, of two classes or of one logit, without a buffer class."""
    targets = labels[:, None].expand(mask.shape)
    if logits.shape[-1] == 1:
        losses = functional.binary_cross_entropy_with_logits(logits[..., 0], targets.to(logits.dtype), reduction="none")
    else:
        logp = logits[..., : WRONG + 1].log_softmax(-1)
        losses = -torch.where(targets > 0.5, logp[..., RIGHT], logp[..., WRONG])
    return average_steps(losses, mask)


def agreeing_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Return the loss of SPRM (arXiv 2507.01951): BCE at those steps whose current prediction agrees with the outcome.

    If no step of a trajectory agrees, all of its steps count; otherwise such a trajectory would never be learned.
    """
    agrees = (logits[..., 0] > 0) == (labels[:, None] > 0.5)
    agreeing_steps = agrees & mask
    steps = torch.where(agreeing_steps.any(-1, keepdim=True), agreeing_steps, mask)
    return outcome_loss(logits, labels, steps)


def trajectory_loss(values: Tensor, labels: Tensor) -> Tensor:
    """Return the BCE [B] of the logits `values` [B] of whole trajectories (SWIFT)."""
    return functional.binary_cross_entropy_with_logits(values, labels.to(values.dtype), reduction="none")


def average_steps(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean [B] of `values` [B S] over the steps of `mask`; 0 without steps."""
    weights = mask.to(values.dtype)
    return (values * weights).sum(-1) / weights.sum(-1).clamp_min(1.0)


def find_last(mask: Tensor) -> Tensor:
    """Return a mask [B S] that is True at the last step of each trajectory (padding is on the right)."""
    following = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    return mask & ~following


def weigh_classes(losses: Tensor, labels: Tensor, right: float = 1.0, wrong: float = 1.0) -> Tensor:
    """Return the mean of `losses` [B] over trajectories, weighed by class; a scalar."""
    weights = torch.where(labels > 0.5, right, wrong).to(losses.dtype)
    return (losses * weights).sum() / weights.sum()


def mean_buffer(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the mean p_buffer over the steps of a batch, 0 without a buffer class. Near 1, training has collapsed."""
    if logits.shape[-1] <= BUFFER:
        return logits.new_zeros(())
    return logits.softmax(-1)[..., BUFFER][mask].mean()


LOSSES: dict[str, Callable[..., Tensor]] = {
    "guarded-stochastic": guarded_loss,
    "guarded": guarded_loss,
    "guarded-half": lambda logits, labels, mask, generator=None: guarded_loss(logits, labels, mask, None, False),  # noqa: ARG005
    "printed": lambda logits, labels, mask, generator=None: printed_loss(logits, labels, mask),  # noqa: ARG005
    "outcome": lambda logits, labels, mask, generator=None: outcome_loss(logits, labels, mask),  # noqa: ARG005
    "agreeing": lambda logits, labels, mask, generator=None: agreeing_loss(logits, labels, mask),  # noqa: ARG005
}

BUFFER_LOSSES = ("guarded-half", "guarded-stochastic", "guarded", "printed")
"""The losses that train the buffer class; the others leave its probability as it happens to be."""
