import numpy as np
import pytest

from nbest.errors import ConfigError
from nbest.statistics.power import smallest_detectable


def test_the_smallest_detectable_difference_by_hand():
    # z(0.975) = 1.95996, z(0.8) = 0.84162: 2.80159 standard errors.
    assert smallest_detectable(0.02) == pytest.approx(0.0560317, abs=1e-6)
    assert smallest_detectable(0.02, power=0.5) == pytest.approx(0.0391993, abs=1e-6)  # z(0.5) = 0


def test_it_is_found_about_as_often_as_it_says():
    # 50 differences of spread 0.3 around the smallest detectable mean: 80 % of 1,000 tests reject (sd 1.3 points).
    rng = np.random.default_rng(0)
    mean = smallest_detectable(0.3 / np.sqrt(50))
    differences = rng.normal(mean, 0.3, (1000, 50))
    errors = differences.std(axis=1, ddof=1) / np.sqrt(50)
    assert np.mean(differences.mean(axis=1) > 1.96 * errors) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("error", [None, 0.0])
def test_without_spread_nothing_is_known(error):
    assert smallest_detectable(error) is None


def test_faults():
    with pytest.raises(ConfigError, match="power must lie between 0 and 1, got 1"):
        smallest_detectable(0.1, power=1)
    with pytest.raises(ConfigError, match="level must lie"):
        smallest_detectable(0.1, level=0)
