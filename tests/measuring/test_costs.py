import numpy as np
import pytest

from nbest.measuring.costs import policy_size

SIZES = {"non_embedding_parameters": 100, "layers": 2, "hidden_size": 8}


def test_flops_by_hand():
    # 3 + 7 = 10 tokens: 2 * 100 * 10 for the weights, 2 * 2 layers * 8 wide * 10^2 for the attention.
    size = policy_size({"info": {"policy": SIZES}})
    assert size.count_flops(np.array([3]), np.array([7])).tolist() == [2000 + 3200]
    wide = policy_size({"info": {"policy": SIZES | {"attention_width": 16}}})
    assert wide.count_flops(np.array([3]), np.array([7])).tolist() == [2000 + 6400]


@pytest.mark.parametrize(
    "manifest", [{}, {"info": {}}, {"info": {"policy": {}}}, {"info": {"policy": SIZES | {"layers": None}}}]
)
def test_a_policy_that_is_not_described_has_no_cost(manifest):
    assert policy_size(manifest) is None


def test_it_is_what_the_sampler_counts():
    checkpoint = pytest.importorskip("nbest.sampling.checkpoint")
    loaded = checkpoint.load_checkpoint("bundled:arithmetic")
    size = policy_size({"info": {"policy": loaded.info}})
    assert size.count_flops(np.array([11]), np.array([40])).tolist() == [loaded.count_flops(11, 40)]
