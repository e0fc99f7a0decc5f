"""Power: the smallest effect that a number of problems can detect. Pure numpy.

This module does not know what was compared.
"""

from statistics import NormalDist

from nbest.errors import ConfigError

POWER = 0.8
LEVEL = 0.95


def smallest_detectable(standard_error: float | None, power: float = POWER, level: float = LEVEL) -> float | None:
    """Return the true mean difference that a two-sided test at `1 - level` would find with probability `power`.

    (z(1 - (1 - level) / 2) + z(power)) * standard error, 2.80 standard errors at 95 % and 80 %: the minimum detectable
    effect of Bloom 1995 (Evaluation Review 19(5), 547-556), in the sample-size formula of Miller 2024 (arXiv
    2411.00640, section on power analysis) solved for the difference. `standard_error` is that of the mean *paired*
    difference, clustered by problem, which the common difficulty of a problem does not enter. The quantiles are those
    of the normal distribution, so with few problems (below about 30) the true effect is larger.

    None if the standard error is None or 0: differences that do not vary do not show how much they could vary.
    Raises ConfigError for a power or level outside 0 and 1.
    """
    for name, value in (("power", power), ("level", level)):
        if not 0 < value < 1:
            raise ConfigError(f"{name} must lie between 0 and 1, got {value}")
    if not standard_error:
        return None
    quantile = NormalDist().inv_cdf
    return (quantile(1 - (1 - level) / 2) + quantile(power)) * standard_error
