"""A process that writes a run until it is done or killed: `writer.py RUN PROBLEMS N WORKER WORKERS`.

Samples, verifies and scores what its share of the problems lacks, one problem at a time. With WORKERS 0 its share is
all of them, as for several processes that know nothing of each other.
"""

import sys
from collections.abc import Iterator

import numpy as np

from nbest.records import Completion, HiddenStates, Problem, Score, Step, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run


def draw(problem: str, index: int) -> Trajectory:
    tokens = np.arange(3 + index, dtype=np.int32)
    states = HiddenStates((1,), (Step(0, 3),), np.full((1, 1, 8), index, dtype=np.float32))
    completion = Completion(
        f"{problem} {index}", tokens=tokens, logprobs=-np.ones(3 + index, np.float32), states=states
    )
    return Trajectory(trajectory_id(problem, index), problem, index, index, completion)


def work(run: Run, problems: list[str], n: int) -> Iterator[str]:
    done, verified, scored = run.done_trajectories(), run.done_verdicts(), run.done_scores("length")
    for problem in problems:
        ids = [trajectory_id(problem, index) for index in range(n)]
        run.append_trajectories([draw(problem, index) for index in range(n) if ids[index] not in done])
        run.append_verdicts([Verdict(key, key.endswith("0")) for key in ids if key not in verified])
        run.append_scores("length", [Score(key, float(len(key))) for key in ids if key not in scored])
        yield problem


def main(path: str, problems: int, n: int, worker: int, workers: int) -> None:
    run = Run.create(path, {"identity": {"problems": problems, "n": n}, "info": {"worker": worker}})
    names = [f"p{number}" for number in range(problems)]
    run.write_problems([Problem(name, f"What is {name}?") for name in names])
    for name in work(run, names[worker::workers] if workers else names, n):
        print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
