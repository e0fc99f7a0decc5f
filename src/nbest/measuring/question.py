"""The settings of a comparison: which selectors, at which n, with which resamples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from nbest.errors import ConfigError
from nbest.registry import find_spec, resolve_method
from nbest.selecting.estimators import Contestant
from nbest.specs import did_you_mean
from nbest.statistics.intervals import RESAMPLES

Resample: TypeAlias = Literal["problems", "samples", "both"]
"""What intervals resample; see `statistics/intervals.py`."""

RESAMPLE_LEVELS: tuple[Resample, ...] = get_args(Resample)
DEFAULT = "default"
"""Stands in a list of selectors for all that a run allows."""
STORED_PREFIX = "stored:"
"""`stored:NAME` are the selections of NAME that a run holds."""


@dataclass(frozen=True, slots=True)
class Question:
    """The settings of a comparison; each field is described at the parameter of `compare.compare` of the same name."""

    selectors: Sequence[str | Contestant] | None = None
    ns: Sequence[int] | None = None
    seed: int = 0
    resamples: int = RESAMPLES
    baseline: str | None = None
    by: str | None = None
    resample: Resample = "problems"

    def check(self) -> None:
        """Raise ConfigError that lists every fault."""
        faults: list[str] = []
        if self.ns is not None and (not self.ns or min(self.ns) < 1):
            faults.append(f"n must be one or more numbers of at least 1, got {list(self.ns)}")
        if self.resample not in RESAMPLE_LEVELS:
            hint = did_you_mean(self.resample, RESAMPLE_LEVELS)
            faults.append(f"resample {self.resample!r} is none of {', '.join(RESAMPLE_LEVELS)}.{hint}")
        if self.selectors is not None and not self.selectors:
            faults.append("no selector was named; `nbest methods` lists them")
        for selector in self.selectors or ():
            faults += _list_faults(selector)
        if faults:
            raise ConfigError(faults)


def _list_faults(selector: str | Contestant) -> list[str]:
    if isinstance(selector, Contestant) or selector == DEFAULT or selector.startswith(STORED_PREFIX):
        return []
    try:
        find_spec("selector", selector).list_scorers(resolve_method("selector", selector))
    except ConfigError as error:
        return list(error.faults)
    return []
