import numpy as np
import pytest

from nbest.storage.bfloat16 import from_bfloat16, to_bfloat16


@pytest.mark.parametrize(
    ("bits", "rounded"),
    [
        (0x3F800000, 0x3F80),  # 1.0 is exact
        (0x3F808000, 0x3F80),  # half way, lower neighbour even: down
        (0x3F818000, 0x3F82),  # half way, lower neighbour odd: up
        (0x3F808001, 0x3F81),  # just above half way: up
        (0x3F807FFF, 0x3F80),  # just below half way: down
        (0xBF818000, 0xBF82),  # the sign takes no part
        (0x3FFFFFFF, 0x4000),  # a carry into the exponent: 1.9999999 becomes 2
        (0x7F7FFFFF, 0x7F80),  # the largest float32 becomes infinity
        (0x7F800000, 0x7F80),  # infinity stays
        (0x80000000, 0x8000),  # minus zero stays
        (0x00000001, 0x0000),  # the smallest subnormal becomes zero
        (0x7F800001, 0x7FC0),  # a NaN whose upper half alone would be infinity stays NaN
        (0xFFFFFFFF, 0xFFFF),  # adding before shifting would wrap around to zero
    ],
)
def test_rounding_is_to_nearest_ties_to_even(bits: int, rounded: int):
    value = np.array([bits], dtype=np.uint32).view(np.float32)
    assert to_bfloat16(value).tolist() == [rounded]
    assert np.isnan(from_bfloat16(to_bfloat16(value))).tolist() == np.isnan(value).tolist()


def test_every_bf16_number_survives_the_way_there_and_back():
    bits = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    values = from_bfloat16(bits)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(to_bfloat16(values)[numbers], bits[numbers])
    assert np.isnan(from_bfloat16(to_bfloat16(values[~numbers]))).all()


def test_error_is_at_most_half_a_unit_in_the_last_place():
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    # bf16 has 7 bits after the leading one: neighbours of 1 lie 2^-7 apart, so the relative error is at most 2^-8.
    assert (np.abs(from_bfloat16(to_bfloat16(values)) - values) <= np.abs(values) * 2.0**-8).all()


def test_shape_is_kept_also_of_views():
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(values)), values)
