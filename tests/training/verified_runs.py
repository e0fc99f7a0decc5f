"""Small verified runs of texts: what tasks are built from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nbest.records import Completion, Finish, Kind, Problem, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run

Attempt = tuple[str, bool | None] | tuple[str, bool | None, Finish]


def make_run(
    path: Path, pools: Mapping[str, Sequence[Attempt]], kind: Kind = "math", question: str = "What is {}?"
) -> Run:
    """Each attempt is (text, verdict) or (text, verdict, finish); the answer of a verdict is the last word."""
    run = Run.create(path, {"identity": {"made": "by a test"}, "info": {}})
    run.write_problems([Problem(key, question.format(key), "1", kind) for key in pools])
    for key, attempts in pools.items():
        made = [(trajectory_id(key, place), *attempt) for place, attempt in enumerate(attempts)]
        run.append_trajectories(
            [
                Trajectory(name, key, place, place, Completion(text, finish=finish[0] if finish else "stop"))
                for place, (name, text, _, *finish) in enumerate(made)
            ]
        )
        run.append_verdicts([Verdict(name, correct, (text.split() or [None])[-1]) for name, text, correct, *_ in made])
    return run


def mixed(right: int, wrong: int) -> list[Attempt]:
    """Distinct attempts: `right` right ones that say 1, then wrong ones that say 2."""
    return [(f"way {n} to 1", True) for n in range(right)] + [(f"path {n} to 2", False) for n in range(wrong)]
