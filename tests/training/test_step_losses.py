"""Every number here is worked by hand beside it; logits are logarithms of the probabilities meant."""

import math

import pytest
import torch

from nbest.training.step_losses import (
    agreeing_loss,
    find_last,
    guarded_loss,
    mean_buffer,
    outcome_loss,
    printed_loss,
    trajectory_loss,
    weigh_classes,
)


def logits_of(*rows: list[float]) -> torch.Tensor:
    """[1 S C] logits whose softmax is these probabilities."""
    return torch.tensor([list(rows)], dtype=torch.float64).log()


RIGHT, WRONG = torch.tensor([1.0]), torch.tensor([0.0])
TWO = torch.tensor([[True, True]])
# Step 1: right .5, wrong .2, buffer .3.  Step 2: right .1, wrong .6, buffer .3.
LOGITS = logits_of([0.5, 0.2, 0.3], [0.1, 0.6, 0.3])


def test_printed_loss_is_equation_6() -> None:
    # y = 1: -(log(.5 + .3) + log(.1 + .3)) / 2; y = 0: -(log(.2 + .3) + log(.6 + .3)) / 2.
    assert printed_loss(LOGITS, RIGHT, TWO).item() == pytest.approx(-(math.log(0.8) + math.log(0.4)) / 2)
    assert printed_loss(LOGITS, WRONG, TWO).item() == pytest.approx(-(math.log(0.5) + math.log(0.9)) / 2)


@pytest.mark.parametrize("label", [RIGHT, WRONG])
def test_printed_loss_is_zero_where_the_buffer_takes_everything_and_the_guarded_is_not(label: torch.Tensor) -> None:
    collapsed = torch.tensor([[[0.0, 0.0, 60.0], [0.0, 0.0, 60.0]]])
    assert printed_loss(collapsed, label, TWO).item() == pytest.approx(0.0, abs=1e-6)
    assert guarded_loss(collapsed, label, TWO, is_stochastic=False).item() > 5
    assert guarded_loss(collapsed, label, TWO, torch.Generator().manual_seed(0)).item() > 5


def test_half_guard_counts_half_the_buffer_but_none_at_the_last_step() -> None:
    # y = 1: step 1 .5 + .5 * .3 = .65, last step .1. y = 0: .2 + .15 = .35, last .6.
    half = guarded_loss(LOGITS, RIGHT, TWO, is_stochastic=False)
    assert half.item() == pytest.approx(-(math.log(0.65) + math.log(0.1)) / 2)
    half = guarded_loss(LOGITS, WRONG, TWO, is_stochastic=False)
    assert half.item() == pytest.approx(-(math.log(0.35) + math.log(0.6)) / 2)


def test_stochastic_guard_draws_b_with_the_probability_of_the_buffer() -> None:
    # A step before the last is worth log(.8) where b = 1 (probability .3) and log(.5) where b = 0.
    count = 20_000
    losses = guarded_loss(
        LOGITS.expand(count, 2, 3), RIGHT.expand(count), TWO.expand(count, 2), torch.Generator().manual_seed(0)
    )
    first = -2 * losses - math.log(0.1)
    is_drawn = torch.isclose(first, torch.tensor(math.log(0.8), dtype=first.dtype)).double()
    other = torch.isclose(first, torch.tensor(math.log(0.5), dtype=first.dtype)).double()
    assert bool((is_drawn + other == 1).all())
    # Three standard errors of a share of .3 in 20,000 draws: 3 * sqrt(.21 / 20000) = .0097.
    assert is_drawn.mean().item() == pytest.approx(0.3, abs=0.0097)


def test_outcome_loss_of_two_classes_leaves_the_buffer_out_and_of_one_logit_is_bce() -> None:
    # Two classes renormalised: step 1 right 5/7, step 2 right 1/7.
    expected = -(math.log(5 / 7) + math.log(1 / 7)) / 2
    assert outcome_loss(LOGITS, RIGHT, TWO).item() == pytest.approx(expected)
    # One logit of log(3): p = 3/4.
    single = torch.full((1, 2, 1), math.log(3), dtype=torch.float64)
    assert outcome_loss(single, RIGHT, TWO).item() == pytest.approx(-math.log(0.75))
    assert outcome_loss(single, WRONG, TWO).item() == pytest.approx(-math.log(0.25))


def test_agreeing_loss_counts_only_steps_that_agree_and_all_where_none_does() -> None:
    # Logits log 3 (p = .75, says right) and -log 3 (p = .25, says wrong).
    mixed = torch.tensor([[[math.log(3)], [-math.log(3)]]], dtype=torch.float64)
    assert agreeing_loss(mixed, RIGHT, TWO).item() == pytest.approx(-math.log(0.75))
    assert agreeing_loss(mixed, WRONG, TWO).item() == pytest.approx(-math.log(0.75))
    both_wrong = torch.full((1, 2, 1), -math.log(3), dtype=torch.float64)
    assert agreeing_loss(both_wrong, RIGHT, TWO).item() == pytest.approx(-math.log(0.25))


def test_padding_counts_for_nothing() -> None:
    padded = torch.cat([LOGITS, logits_of([0.9, 0.05, 0.05])], dim=1)
    mask = torch.tensor([[True, True, False]])
    for loss in (printed_loss, outcome_loss, lambda *given: guarded_loss(*given, is_stochastic=False)):
        assert loss(padded, RIGHT, mask).item() == pytest.approx(loss(LOGITS, RIGHT, TWO).item())
    assert find_last(mask).tolist() == [[False, True, False]]


def test_weights_of_classes() -> None:
    # (2 * 1 + 1 * 4) / (2 + 1)
    losses, labels = torch.tensor([1.0, 4.0]), torch.tensor([1.0, 0.0])
    assert weigh_classes(losses, labels, right=2.0).item() == pytest.approx(2.0)
    assert weigh_classes(losses, labels).item() == pytest.approx(2.5)


def test_mean_buffer() -> None:
    assert mean_buffer(LOGITS, TWO).item() == pytest.approx(0.3)
    assert mean_buffer(LOGITS[..., :1], TWO).item() == 0.0


def test_trajectory_loss_is_bce_of_its_logit() -> None:
    values = torch.tensor([math.log(3), math.log(3)], dtype=torch.float64)
    trajectory_losses = trajectory_loss(values, torch.tensor([1.0, 0.0]))
    assert trajectory_losses.tolist() == pytest.approx([-math.log(0.75), -math.log(0.25)])
