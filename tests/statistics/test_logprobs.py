"""Summaries of log-probabilities by hand and against the plain loops they replace."""

import math

import numpy as np
import pytest

from nbest.errors import DataError
from nbest.records import Step
from nbest.statistics.logprobs import STEP_FEATURES, lowest_share_mean, span_features, step_features, window_means

LOGPROBS = np.array([-1.0, -3.0, -0.5, -0.5, -2.0], dtype=np.float32)


def test_steps_by_hand():
    features = step_features(LOGPROBS, [Step(0, 2), Step(2, 5)])
    # [-1, -3]: mean -2, minimum -3, sum -4, 2 tokens. [-0.5, -0.5, -2]: mean -1, minimum -2, sum -3, 3 tokens.
    assert features.tolist() == [[-2.0, -3.0, -4.0, 2.0], [-1.0, -2.0, -3.0, 3.0]]
    assert features.dtype == np.float32
    assert features.shape[1] == len(STEP_FEATURES)


def test_spans_may_leave_gaps_overlap_and_come_in_any_order():
    spans = [[3, 5], [1, 2], [0, 5], [1, 3]]
    sums = span_features(LOGPROBS, spans)[:, 2]
    assert sums.tolist() == [-2.5, -3.0, -7.0, -3.5]


def test_many_trajectories_in_one_call_equal_each_alone():
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 200, 20)
    arrays = [-rng.random(length).astype(np.float32) for length in lengths]
    cuts = [np.sort(rng.choice(np.arange(1, length), 2, replace=False)) for length in lengths]
    spans = [np.array([[0, a], [a, b]]) for a, b in cuts]
    shifted = [span + begin for span, begin in zip(spans, np.cumsum(lengths) - lengths, strict=True)]
    together = span_features(np.concatenate(arrays), np.concatenate(shifted))
    alone = [span_features(array, span) for array, span in zip(arrays, spans, strict=True)]
    assert np.array_equal(together, np.concatenate(alone))
    slices = [array[a:b] for array, span in zip(arrays, spans, strict=True) for a, b in span]
    plain = [[part.mean(), part.min(), part.sum(), len(part)] for part in (values.astype(float) for values in slices)]
    np.testing.assert_allclose(together, plain, rtol=1e-6)


def test_no_steps():
    assert step_features(LOGPROBS, []).shape == (0, 4)
    assert span_features(np.empty(0), np.empty((0, 2))).shape == (0, 4)


def test_what_is_not_finite_stays_in_its_own_step():
    features = step_features([-1.0, math.nan, -1.0, -math.inf], [Step(0, 1), Step(1, 2), Step(2, 4)])
    assert features[0].tolist() == [-1.0, -1.0, -1.0, 1.0]
    assert np.isnan(features[1, :3]).all()
    assert features[2, :3].tolist() == [-math.inf] * 3


@pytest.mark.parametrize("step", [Step(-1, 2), Step(2, 2), Step(3, 1), Step(4, 6), Step(5, 6)])
def test_a_step_outside_the_tokens_is_named(step):
    with pytest.raises(DataError, match=rf"step 1 is the span \[{step.start}, {step.end}\) of 5 log-probabilities"):
        step_features(LOGPROBS, [Step(0, 1), step])


def test_wrong_shapes_are_named():
    with pytest.raises(DataError, match=r"\(2, 2\)"):
        span_features(np.zeros((2, 2)), [[0, 1]])
    with pytest.raises(DataError, match=r"\(3,\)"):
        span_features(LOGPROBS, [0, 1, 2])


def test_windows_by_hand():
    # (1+2+6)/3 = 3, (2+6+4)/3 = 4, (6+4+2)/3 = 4.
    assert window_means([1, 2, 6, 4, 2], 3).tolist() == [3.0, 4.0, 4.0]
    assert window_means([1, 2, 6, 4, 2], 1).tolist() == [1.0, 2.0, 6.0, 4.0, 2.0]


def test_a_short_array_is_one_window():
    assert window_means([1, 2], 3).tolist() == [1.5]
    assert window_means([1, 2, 6], 3).tolist() == [3.0]
    assert window_means([], 3).tolist() == []


def test_windows_equal_the_plain_loop():
    values = np.random.default_rng(0).gamma(2.0, 5.0, 20_000)
    plain = [values[start : start + 2048].mean() for start in range(20_000 - 2048 + 1)]
    np.testing.assert_allclose(window_means(values, 2048), plain, rtol=1e-12)


def test_lowest_share_by_hand():
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert lowest_share_mean(values, 0.4) == 1.5  # int(5 * 0.4) = 2: (1 + 2) / 2
    assert lowest_share_mean(values, 0.59) == 1.5  # int(2.95) = 2
    assert lowest_share_mean(values, 0.1) == 1.0  # at least one
    assert lowest_share_mean(values, 1.0) == 3.0
    assert math.isnan(lowest_share_mean([], 0.1))
