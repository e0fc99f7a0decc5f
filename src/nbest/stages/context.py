"""What building a scorer or selector for a run needs, and the check that no option was given in vain."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nbest.errors import ConfigError
from nbest.protocols import Clusterer
from nbest.records import Score
from nbest.registry import BuildContext, specs
from nbest.specs import MethodKind, Spec
from nbest.storage.run import Run

if TYPE_CHECKING:
    from nbest.judging.models import JudgeModel


def create_context(
    run: Run,
    equivalence: Clusterer,
    *,
    seed: int = 0,
    scorer_model: str | None = None,
    family: str | None = None,
    judge: "Callable[[], JudgeModel] | None" = None,
) -> BuildContext:
    """Return what scorers and selectors of this run are built with; stored scores are read when they are asked for."""

    def read_scores(scorer: str) -> Mapping[str, Score]:
        return {score.trajectory_id: score for score in run.scores(scorer)}

    return BuildContext(
        equivalence=equivalence,
        seed=seed,
        scores=read_scores,
        scorer_model=scorer_model,
        family=family,
        judge=judge,
        where=f"run {run.path}",
        policy_hash=run.policy_hash,
    )


def asks_judge(spec: Spec) -> bool:
    """Return whether a method asks a model that judges."""
    return "judge" in spec.needs


def draws(spec: Spec) -> bool:
    """Return whether a random seed changes what a method does."""
    return asks_judge(spec) or "seed" in spec.options.model_fields


def check_single(options: str, kind: MethodKind, names: Sequence[str]) -> None:
    """Raise ConfigError where several methods are named; `options` belong (or one belongs) to a single one."""
    if len(names) > 1:
        raise ConfigError(f"{options} to one {kind}; {len(names)} were named: {', '.join(names)}")


def check_used(option: str, named: Mapping[str, Spec], is_used_by: Callable[[Spec], bool]) -> None:
    """Raise ConfigError, saying which methods use `option`, where none of those named does."""
    if not named or any(is_used_by(spec) for spec in named.values()):
        return
    kind = next(iter(named.values())).kind
    users = ", ".join(spec.name for spec in specs(kind) if is_used_by(spec)) or f"no {kind}"
    raise ConfigError(f"{option} is not used by {', '.join(named)}; it belongs to {users}. Leave it out.")
