"""Converts between float32 numbers and the bits of bf16, a type that numpy lacks.

bf16 is the upper half of float32. This module does not know what the numbers mean.
"""

import numpy as np
from numpy.typing import NDArray

from nbest.records import Floats


def to_bfloat16(values: Floats) -> NDArray[np.uint16]:
    """Return the bits of the nearest bf16 numbers, ties to even; NaN stays NaN.

    A number that is too large becomes infinity.
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def from_bfloat16(bits: NDArray[np.uint16]) -> Floats:
    """Return the float32 numbers of bf16 bits; exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
