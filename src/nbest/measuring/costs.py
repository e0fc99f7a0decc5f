"""What sampling a trajectory cost, from what a run's manifest says about its policy.

Nothing is guessed: a run whose manifest does not describe the policy (an imported one, say) has no FLOPs. What a scorer
spends is not stored in a run and not counted here; what a selection spent is in its `Selection.usage`, and not counted
here either. This module does not know selectors. Shapes: N trajectories of a problem.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nbest.statistics.flops import forward_flops

_SIZES = ("non_embedding_parameters", "layers", "hidden_size")


@dataclass(frozen=True, slots=True)
class PolicySize:
    """What the cost of a token depends on. `attention_width` is the number of heads times their size."""

    non_embedding_parameters: int
    layers: int
    attention_width: int

    def count_flops(self, prompt_tokens: NDArray[np.int64], sampled_tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return [N] the floating-point operations of each prompt and completion (`statistics.flops`)."""
        return forward_flops(
            prompt_tokens,
            sampled_tokens,
            parameters=self.non_embedding_parameters,
            layers=self.layers,
            attention_width=self.attention_width,
        )


def policy_size(manifest: Mapping[str, Any]) -> PolicySize | None:
    """Return the size of the policy that `manifest` describes; None where it does not say.

    Where the manifest names no `attention_width`, the hidden size stands for it: they are equal in most models. In
    Qwen3 up to 0.6B the attention is twice as wide, which matters for the quadratic term only.
    """
    policy: Any = manifest.get("info", {}).get("policy")
    if not isinstance(policy, Mapping):
        return None
    description = cast("Mapping[str, Any]", policy)
    sizes = [description.get(name) for name in _SIZES]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    parameters, layers, hidden = (int(size) for size in sizes if size is not None)
    width = description.get("attention_width")
    return PolicySize(parameters, layers, width if isinstance(width, int) and width > 0 else hidden)
