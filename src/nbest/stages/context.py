"""Build scorers and selectors for a run, and check that every option is used by one of them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from nbest.errors import ConfigError
from nbest.protocols import Clusterer
from nbest.records import Score
from nbest.registry import BuildContext, specs
from nbest.specs import MethodKind, Spec
from nbest.storage.run import Run

if TYPE_CHECKING:
    from nbest.judging.models import JudgeModel
    from nbest.sandbox.executions import SandboxFactory
    from nbest.selecting.execution.writing import TestWriter


def create_context(
    run: Run,
    equivalence: Clusterer,
    *,
    seed: int = 0,
    scorer_model: str | None = None,
    family: str | None = None,
    judge: "Callable[[], JudgeModel] | None" = None,
    sandbox: "SandboxFactory | None" = None,
) -> BuildContext:
    """Return what scorers and selectors of this run are built with; stored scores are read on demand."""

    def read_scores(scorer: str) -> Mapping[str, Score]:
        return {score.trajectory_id: score for score in run.scores(scorer)}

    return BuildContext(
        equivalence=equivalence,
        seed=seed,
        scores=read_scores,
        scorer_model=scorer_model,
        family=family,
        judge=judge,
        sandbox=sandbox,
        writer=None if judge is None else make_writer(judge, equivalence),
        where=f"run {run.path}",
        policy_hash=run.policy_hash,
    )


def make_writer(judge: "Callable[[], JudgeModel]", equivalence: Clusterer) -> "Callable[[], TestWriter]":
    """Return a function that returns the writer of tests of a command, the same one at each call."""

    @cache
    def load() -> "TestWriter":
        from nbest.judging.writing_tests import JudgeTestWriter

        return JudgeTestWriter(judge().settings(equivalence))

    return load


def needs_judge(spec: Spec, options: Any = None) -> bool:
    """Return whether a method calls a model that judges: with these options, or with any if they are None."""
    if "judge" in spec.needs or spec.asks_judge is None:
        return "judge" in spec.needs
    return options is None or spec.asks_judge(options)


def needs_sandbox(spec: Spec, _options: Any = None) -> bool:
    """Return whether a method runs programs, with whatever options."""
    return "sandbox" in spec.needs


def uses_seed(spec: Spec, options: Any = None) -> bool:
    """Return whether a random seed changes what a method does: with these options, or with any if they are None."""
    return needs_judge(spec, options) or "seed" in spec.options.model_fields


def check_single(options: str, kind: MethodKind, names: Sequence[str]) -> None:
    """Raise ConfigError if more than one method is named; `options` begins the message, such as "--as belongs"."""
    if len(names) > 1:
        raise ConfigError(f"{options} to one {kind}; {len(names)} were named: {', '.join(names)}")


def check_used(
    option: str,
    specs_by_name: Mapping[str, Spec],
    is_used_by: Callable[[Spec, Any], bool],
    options_by_name: Mapping[str, Any] | None = None,
) -> None:
    """Raise ConfigError, which lists the methods that use `option`, if none of those named does.

    `options_by_name` are their options; a method without any there counts as one with whatever options it needs.
    """
    options = options_by_name or {}
    if not specs_by_name or any(is_used_by(spec, options.get(name)) for name, spec in specs_by_name.items()):
        return
    kind = next(iter(specs_by_name.values())).kind
    users = ", ".join(spec.name for spec in specs(kind) if is_used_by(spec, None)) or f"no {kind}"
    if any(is_used_by(spec, None) for spec in specs_by_name.values()):
        users += ", some of them with inputs=policy alone"
    raise ConfigError(f"{option} is not used by {', '.join(specs_by_name)}; it belongs to {users}. Leave it out.")
