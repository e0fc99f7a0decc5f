"""Check that the selections of a comparison are stored: a selector without a curve is compared by those alone."""

from collections.abc import Sequence
from shlex import quote

from nbest.errors import ConfigError
from nbest.measuring.question import DEFAULT, STORED_PREFIX
from nbest.registry import find_spec
from nbest.storage.run import Run


def check_stored(selectors: Sequence[str] | None, runs: Sequence[Run]) -> None:
    """Raise ConfigError, with the commands to run, if a selector without a curve has no selections in a run."""
    faults: list[str] = []
    for selector in selectors or ():
        if selector == DEFAULT or selector.startswith(STORED_PREFIX):
            continue
        spec = find_spec("selector", selector)
        if spec.estimator is None:
            judge = " --judge MODEL" if "judge" in spec.needs else ""
            faults += [_describe_missing(selector, judge, run) for run in runs if selector not in run.selectors()]
    if faults:
        raise ConfigError(faults)


def _describe_missing(selector: str, judge: str, run: Run) -> str:
    limited = [name for name in run.selectors() if name.partition("@")[0] == selector]
    alternative = f", or compare those it has: -s {STORED_PREFIX}{limited[-1]}" if limited else ""
    return (
        f"selector {selector!r} has no curve, and run {run.path} holds no selections of it. Select first: "
        f"nbest select {run.path} -s {quote(selector)}{judge}{alternative}"
    )
