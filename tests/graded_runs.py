"""Runs made by hand, with verdicts and scores, for tests of measuring and reports."""

import numpy as np
import pytest

from nbest.records import Completion, Problem, Score, Trajectory, Verdict
from nbest.storage.run import Run


class Strings:
    """Answers are one where their strings are equal; counts how often it was asked."""

    def __init__(self):
        self.asked = 0

    def cluster(self, answers):
        self.asked += 1
        numbers = {}
        return [None if answer is None else numbers.setdefault(answer, len(numbers)) for answer in answers]

    def same(self, a, b):
        return a == b


@pytest.fixture
def strings():
    return Strings()


@pytest.fixture
def make_run(tmp_path):
    """Makes a run of problems given as lists of attempts: dicts of `correct` (True, False, None or "absent"), `answer`,
    `tokens` (how many), `text`, `finish`, and `scores` by scorer. `metas` are those of the problems."""

    def make(*problems, name="run", metas=None, info=None):
        run = Run.create(tmp_path / name, {"identity": {"name": name}, "info": info or {}})
        told = metas or [{}] * len(problems)
        run.write_problems([Problem(f"p{number}", "?", "1", meta=told[number]) for number in range(len(problems))])
        trajectories, verdicts, scores = [], [], {}
        for number, attempts in enumerate(problems):
            for index, attempt in enumerate(attempts):
                key = f"p{number}#{index}"
                tokens = np.zeros(attempt.get("tokens", 10), dtype=np.int32)
                completion = Completion(attempt.get("text", "x"), tokens=tokens, finish=attempt.get("finish", "stop"))
                trajectories.append(Trajectory(key, f"p{number}", index, index, completion, attempt.get("answer")))
                if attempt.get("correct") != "absent":
                    verdicts.append(Verdict(key, attempt.get("correct", False), attempt.get("answer")))
                for scorer, value in attempt.get("scores", {}).items():
                    scores.setdefault(scorer, []).append(Score(key, value))
        run.append_trajectories(trajectories)
        run.append_verdicts(verdicts)
        for scorer, values in scores.items():
            run.append_scores(scorer, values)
        return run

    return make
