"""nbest: sample N trajectories from a reasoning model, score them, select the one to trust.

    import nbest

    bon = nbest.BestOfN("bundled:arithmetic", selector="vote:trajselector-fused", n=16)
    result = bon.ask("A shop has 47 pens. It buys 86 more. It sells 35. It buys 12 more. How many pens?")

Every public name is imported when it is first used: `import nbest` itself loads no engine and no table library.
`docs/architecture.md` is the map of the package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbest.answering import BestOfN
    from nbest.answering.events import Event, Result, Scored, Selected, TrajectoryFinished
    from nbest.errors import ConfigError, NbestError
    from nbest.measuring.compare import compare
    from nbest.protocols import Sampler, Scorer, Selector, Verifier
    from nbest.records import (
        Completion,
        Message,
        Pool,
        Problem,
        SamplingParams,
        Score,
        Selection,
        Trajectory,
        Usage,
        Verdict,
    )
    from nbest.registry import BuildContext, load_scorer, load_selector
    from nbest.sampling.policies import load_policy
    from nbest.storage.run import Run

    __version__: str

__all__ = [
    "BestOfN",
    "BuildContext",
    "Completion",
    "ConfigError",
    "Event",
    "Message",
    "NbestError",
    "Pool",
    "Problem",
    "Result",
    "Run",
    "Sampler",
    "SamplingParams",
    "Score",
    "Scored",
    "Scorer",
    "Selected",
    "Selection",
    "Selector",
    "Trajectory",
    "TrajectoryFinished",
    "Usage",
    "Verdict",
    "Verifier",
    "compare",
    "load_policy",
    "load_scorer",
    "load_selector",
]

_NAMES_BY_MODULE = {
    "nbest.answering": ("BestOfN",),
    "nbest.errors": ("ConfigError", "NbestError"),
    "nbest.answering.events": ("Event", "Result", "Scored", "Selected", "TrajectoryFinished"),
    "nbest.measuring.compare": ("compare",),
    "nbest.protocols": ("Sampler", "Scorer", "Selector", "Verifier"),
    "nbest.records": (
        "Completion",
        "Message",
        "Pool",
        "Problem",
        "SamplingParams",
        "Score",
        "Selection",
        "Trajectory",
        "Usage",
        "Verdict",
    ),
    "nbest.registry": ("BuildContext", "load_scorer", "load_selector"),
    "nbest.sampling.policies": ("load_policy",),
    "nbest.storage.run": ("Run",),
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use and keep it."""
    if name == "__version__":
        value = import_module("nbest.version").VERSION
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
