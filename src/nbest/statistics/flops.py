"""The cost of one forward pass over a prompt and a completion. Pure arithmetic; this module does not know models."""

from typing import cast, overload

import numpy as np
from numpy.typing import NDArray


@overload
def forward_flops(
    prompt_tokens: int, sampled_tokens: int, *, parameters: int, layers: int, attention_width: int
) -> float: ...
@overload
def forward_flops(
    prompt_tokens: NDArray[np.int64],
    sampled_tokens: NDArray[np.int64],
    *,
    parameters: int,
    layers: int,
    attention_width: int,
) -> NDArray[np.float64]: ...
def forward_flops(
    prompt_tokens: int | NDArray[np.int64],
    sampled_tokens: int | NDArray[np.int64],
    *,
    parameters: int,
    layers: int,
    attention_width: int,
) -> float | NDArray[np.float64]:
    """Return the approximate floating-point operations of a prompt and its completion, for one count or an array [N].

    They are 2 for each token and each of the `parameters` outside the embeddings, and 4 * layers * attention_width for
    each pair of a token and an earlier one (Kaplan et al., arXiv 2001.08361, table 1, forward pass). `attention_width`
    is the number of heads times their size. Mixtures of experts are counted as dense. The prompt is counted for every
    completion, although an engine that shares it between completions needs less.
    """
    total = cast("NDArray[np.float64]", (prompt_tokens + sampled_tokens) * 1.0)
    return 2.0 * parameters * total + 2.0 * layers * attention_width * total * total
