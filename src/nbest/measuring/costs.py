"""What sampling a trajectory cost, from what a run's manifest says about its policy.

Nothing is guessed: a run whose manifest does not describe the policy (an imported one, say) has no FLOPs. What a scorer
spends on top is not stored in a run and not counted here; what a selection spent stands in its `Selection.usage`, and
is not counted here either. This module does not know selectors.
Shapes: N trajectories of a problem.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_SIZES = ("non_embedding_parameters", "layers", "hidden_size")


@dataclass(frozen=True, slots=True)
class PolicySize:
    """What the cost of a token depends on. `attention_width` is heads times their size."""

    non_embedding_parameters: int
    layers: int
    attention_width: int

    def count_flops(self, prompt_tokens: NDArray[np.int64], sampled_tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        """[N] floating-point operations of one prompt and one completion each.

        As `samplers.checkpoint.Checkpoint.count_flops`: two for each non-embedding parameter and token, and 4 * layers
        * attention width for each pair of a token and one before it (Kaplan et al., arXiv 2001.08361, table 1, forward
        pass). The prompt counts for every candidate; an engine that shares it between candidates spends less.
        """
        total = (prompt_tokens + sampled_tokens).astype(np.float64)
        return 2.0 * self.non_embedding_parameters * total + 2.0 * self.layers * self.attention_width * total**2


def policy_size(manifest: Mapping[str, Any]) -> PolicySize | None:
    """The size of the policy that `manifest` describes; None where it does not say.

    Where the manifest names no `attention_width`, the hidden size stands for it (they are equal in most models; in
    Qwen3 up to 0.6B the attention is twice as wide, which matters for the quadratic term only).
    """
    policy: Any = manifest.get("info", {}).get("policy")
    if not isinstance(policy, Mapping):
        return None
    known = cast("Mapping[str, Any]", policy)
    sizes = [known.get(name) for name in _SIZES]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    parameters, layers, hidden = (int(size) for size in sizes if size is not None)
    width = known.get("attention_width")
    return PolicySize(parameters, layers, width if isinstance(width, int) and width > 0 else hidden)
