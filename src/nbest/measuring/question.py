"""What is asked of a run: which selectors, at which n, with which resamples. Does not know how it is answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from nbest.errors import ConfigError
from nbest.selecting.estimators import Estimator, check_names
from nbest.statistics.intervals import RESAMPLES

Resample: TypeAlias = Literal["problems", "samples", "both"]

BASELINE = "majority"
RESAMPLE: tuple[Resample, ...] = ("problems", "samples", "both")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a run; every field as the parameter of `compare.compare` of that name."""

    selectors: Sequence[str] | None = None
    ns: Sequence[int] | None = None
    seed: int = 0
    resamples: int = RESAMPLES
    baseline: str = BASELINE
    extra: Mapping[str, tuple[Estimator, Sequence[str]]] = field(default_factory=lambda: MappingProxyType({}))
    by: str | None = None
    resample: Resample = "problems"

    def check(self) -> None:
        """Raises ConfigError, all faults at once."""
        faults: list[str] = []
        if self.ns is not None and (not self.ns or min(self.ns) < 1):
            faults.append(f"n must be one or more numbers of at least 1, got {list(self.ns)}")
        if self.resample not in RESAMPLE:
            faults.append(f"resample {self.resample!r} is none of {', '.join(RESAMPLE)}")
        if faults:
            raise ConfigError(faults)
        if self.selectors is not None and not (self.extra and not self.selectors):
            check_names(self.selectors)
