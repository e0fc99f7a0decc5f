"""Write small verified runs of texts, from which tasks are built."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbest.records import Completion, Finish, Kind, Problem, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run

GradedText = tuple[str, bool | None] | tuple[str, bool | None, Finish]


def make_run(
    path: Path,
    pools: Mapping[str, Sequence[GradedText]],
    kind: Kind = "math",
    question: str = "What is {}?",
    meta: Mapping[str, Any] | None = None,
) -> Run:
    """Write a run; each trajectory is (text, verdict[, finish]), and the answer of its verdict is its last word."""
    run = Run.create(path, {"identity": {"made": "by a test"}, "info": {}})
    run.write_problems([Problem(key, question.format(key), "1", kind, meta=meta or {}) for key in pools])
    for key, texts in pools.items():
        rows = [(trajectory_id(key, index), *text) for index, text in enumerate(texts)]
        run.append_trajectories(
            [
                Trajectory(name, key, index, index, Completion(text, finish=finish[0] if finish else "stop"))
                for index, (name, text, _, *finish) in enumerate(rows)
            ]
        )
        run.append_verdicts([Verdict(name, correct, (text.split() or [None])[-1]) for name, text, correct, *_ in rows])
    return run


def mixed(right: int, wrong: int) -> list[GradedText]:
    """Return distinct texts: `right` right ones that say 1, then wrong ones that say 2."""
    return [(f"way {n} to 1", True) for n in range(right)] + [(f"path {n} to 2", False) for n in range(wrong)]
