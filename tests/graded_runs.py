"""Runs made by hand, with verdicts and scores, for tests of measuring and reports."""

import numpy as np
import pytest

from nbest.records import Completion, Problem, Score, Trajectory, Verdict
from nbest.storage.run import Run

ROLES = {"oracle": "bound", "random": "chance", "first": "chance", "majority": "baseline"}
"""What these selectors are in a comparison made by hand."""


class Strings:
    """Says that answers are equal where their strings are; counts how often it was asked."""

    def __init__(self):
        self.asked = 0

    def cluster(self, answers, _kind="math"):
        self.asked += 1
        numbers = {}
        return [None if answer is None else numbers.setdefault(answer, len(numbers)) for answer in answers]

    def same(self, a, b, _kind="math"):
        return a == b


@pytest.fixture
def strings():
    return Strings()


@pytest.fixture
def make_run(tmp_path):
    """Return a function that makes a run of problems, each a list of trajectories.

    A trajectory is a dict of `correct` (True, False, None or "absent"), `answer`, `tokens` (how many), `text`, `finish`
    and `scores` by scorer. `metas` are those of the problems.
    """

    def make(*problems, name="run", metas=None, info=None):
        run = Run.create(tmp_path / name, {"identity": {"name": name}, "info": info or {}})
        metas = metas or [{}] * len(problems)
        run.write_problems([Problem(f"p{number}", "?", "1", meta=meta) for number, meta in enumerate(metas)])
        trajectories, verdicts, scores = [], [], {}
        for number, rows in enumerate(problems):
            for index, row in enumerate(rows):
                key = f"p{number}#{index}"
                tokens = np.zeros(row.get("tokens", 10), dtype=np.int32)
                completion = Completion(row.get("text", "x"), tokens=tokens, finish=row.get("finish", "stop"))
                trajectories.append(Trajectory(key, f"p{number}", index, index, completion, row.get("answer")))
                if row.get("correct") != "absent":
                    verdicts.append(Verdict(key, row.get("correct", False), row.get("answer")))
                for scorer, value in row.get("scores", {}).items():
                    scores.setdefault(scorer, []).append(Score(key, value))
        run.append_trajectories(trajectories)
        run.append_verdicts(verdicts)
        for scorer, values in scores.items():
            run.append_scores(scorer, values)
        return run

    return make
