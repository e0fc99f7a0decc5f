"""The selectors of a question as contestants: by their estimators, or by the selections that a run holds of them.

This module does not know any selector, or how contestants are measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from nbest.errors import ConfigError, UnavailableError
from nbest.measuring.question import DEFAULT, STORED_PREFIX, Question
from nbest.measuring.stored import stored_contestant
from nbest.protocols import Clusterer
from nbest.registry import find_spec, stored_name
from nbest.selecting.estimators import Contestant, contestant, default_contestants, missing_scores
from nbest.selecting.outcomes import Survey
from nbest.storage.run import Run


@dataclass(frozen=True, slots=True)
class Entrants:
    """The contestants of one run by name, in the order of the question, and why others of the default are left out."""

    contestants: dict[str, Contestant] = field(default_factory=dict[str, Contestant])
    skipped: dict[str, str] = field(default_factory=dict[str, str])

    def find_baseline(self, name: str | None) -> str | None:
        """Return the selector that the others are paired with; without a name, the one whose role that is.

        None where it is not among the contestants. Raises ConfigError for another name that is not among them.
        """
        if name is None:
            return next((member.name for member in self.contestants.values() if member.role == "baseline"), None)
        if name in self.contestants:
            return name
        if _is_default_baseline(name):
            return None
        raise ConfigError(f"baseline {name!r} is none of the selectors compared: {', '.join(self.contestants)}")


def enter_contestants(run: Run, question: Question, contents: Survey, equivalence: Clusterer) -> Entrants:
    """Return the selectors of `question` as contestants on `run`, whose `contents` were counted.

    A selector without an estimator is entered by the selections of it that the run holds. Raises UnavailableError where
    a selector that was named cannot be measured on this run, ConfigError where two have one name, or stored selections
    are named and samples are to be resampled.
    """
    entrants = Entrants()
    faults: list[str] = []
    selectors = [DEFAULT] if question.selectors is None else list(dict.fromkeys(question.selectors))
    requests = [selector for selector in selectors if selector != DEFAULT]
    for selector in selectors:
        members = (
            _list_default(run, question, contents, equivalence)
            if selector == DEFAULT
            else [_enter(run, question, selector, equivalence)]
        )
        for member in members:
            if member.name in entrants.contestants:
                if DEFAULT in selectors:
                    continue
                raise ConfigError(f"two selectors have the name {member.name!r}; give one of them another name")
            reason = _find_obstacle(member, contents, str(run.path))
            if not reason:
                entrants.contestants[member.name] = member
            elif selector == DEFAULT and member.name not in requests:
                entrants.skipped[member.name] = reason
            else:
                faults.append(reason)
    if faults:
        raise UnavailableError("\n".join(dict.fromkeys(faults)))
    return entrants


def has_curve(name: str) -> bool:
    """Return whether a comparison knows a selector by its estimator, and needs no stored selections of it."""
    try:
        spec = find_spec("selector", name)
    except ConfigError:
        return False
    return spec.estimator is not None and spec.scorers is None


def _enter(run: Run, question: Question, selector: str | Contestant, equivalence: Clusterer) -> Contestant:
    if isinstance(selector, Contestant):
        return selector
    name = selector.removeprefix(STORED_PREFIX)
    is_stored = name != selector or (find_spec("selector", name).estimator is None and name in run.selectors())
    if is_stored:
        if question.resample != "problems":
            raise ConfigError(f"{selector}: what was selected in one pool says nothing of pools that are sampled again")
        return stored_contestant(run, name)
    where = f"run {run.path}"
    member = contestant(selector, equivalence, question.seed, policy_hash=run.policy_hash, where=where)
    return replace(member, name=stored_name("selector", selector))


def _list_default(run: Run, question: Question, contents: Survey, equivalence: Clusterer) -> Iterator[Contestant]:
    """Yield those with an estimator, then what the run holds of others: it says nothing of pools sampled again."""
    for name in default_contestants(contents):
        yield contestant(name, equivalence, question.seed)
    if question.resample == "problems":
        for name in sorted(run.selectors()):
            if not has_curve(name):
                yield stored_contestant(run, name)


def _find_obstacle(member: Contestant, contents: Survey, run: str) -> str:
    """Return why a run cannot be measured by a contestant; "" where it can."""
    faults = [missing_scores(scorer, contents, run) for scorer in member.scorers]
    return member.obstacle(contents, run) or next((f"{member.name}: {fault}" for fault in faults if fault), "")


def _is_default_baseline(name: str) -> bool:
    try:
        return find_spec("selector", name).role == "baseline"
    except ConfigError:
        return False
