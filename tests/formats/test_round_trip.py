"""`export` and then `import` give the same run, whatever a run may hold."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbest.formats.exports import export_run
from nbest.formats.importing import import_files
from nbest.records import (
    KINDS,
    Completion,
    Floats,
    Ids,
    Problem,
    Score,
    Selection,
    Trajectory,
    Usage,
    Verdict,
    trajectory_id,
)
from nbest.storage.run import Run

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.sampled_from(["text", "index", "nbest", "confidence", "steps", "samples", "level", "finish_reason", "a b"])
META = st.dictionaries(NAMES, st.one_of(st.integers(-5, 5), TEXT, st.none(), st.booleans()), max_size=3)
SCORE = st.one_of(st.floats(), st.just(math.nan))
SINGLE = st.floats(max_value=0.0, min_value=-100.0, width=32) | st.just(math.nan) | st.just(-math.inf)


def make_array(values: list[float]) -> Floats:
    return np.array(values, dtype=np.float32)


def make_ids(values: list[int]) -> Ids:
    return np.array(values, dtype=np.int32)


@st.composite
def draw_completions(draw: st.DrawFn) -> Completion:
    finish = draw(st.sampled_from(["stop", "length", "error", "unknown"]))
    tokens = draw(st.lists(st.integers(0, 2**31 - 1), max_size=4))
    usage = None if tokens or draw(st.booleans()) else Usage(0, draw(st.integers(1, 9_999)))
    numbers = st.none() | st.lists(SINGLE, max_size=3)
    logprobs, confidences, certainties = draw(numbers), draw(numbers), draw(numbers)
    return Completion(
        text="" if finish == "error" else draw(TEXT),
        prompt_tokens=make_ids(draw(st.lists(st.integers(0, 99), max_size=3))),
        tokens=make_ids(tokens),
        logprobs=None if logprobs is None else make_array(logprobs),
        confidences=None if confidences is None else make_array(confidences),
        finish=finish,
        note=draw(TEXT),
        certainties=None if certainties is None else make_array([-value for value in certainties]),
        usage=usage,
    )


@st.composite
def draw_problems(draw: st.DrawFn) -> list[tuple[Problem, list[Trajectory]]]:
    pools: list[tuple[Problem, list[Trajectory]]] = []
    for number in range(draw(st.integers(1, 3))):
        problem = Problem(
            id=f"p{number}{draw(st.sampled_from(['', '#', ' é']))}",
            prompt=draw(TEXT),
            target=draw(st.none() | st.sampled_from(["4", "x", "1/2"])),
            kind=draw(st.sampled_from(KINDS)),
            tests=tuple(draw(st.lists(TEXT, max_size=2))),
            answer_rule=draw(st.sampled_from(["default", "last-number", "json:answer"])),
            meta=draw(META),
        )
        indices = sorted(draw(st.sets(st.integers(0, 20), max_size=4)))
        trajectories = [
            Trajectory(
                id=trajectory_id(problem.id, index),
                problem_id=problem.id,
                index=index,
                seed=draw(st.sampled_from([-1, 0, 2**63 - 1])),
                completion=draw(draw_completions()),
                answer=draw(st.none() | st.sampled_from(["4", "nan", "x y"])),
                meta=draw(META),
            )
            for index in indices
        ]
        pools.append((problem, trajectories))
    return pools


def plain(value: Any) -> Any:
    """Return a value whose NaNs are equal to each other, and whose arrays are lists."""
    if isinstance(value, np.ndarray):
        return [plain(number) for number in value.tolist()]
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def contents(run: Run) -> dict[str, Any]:
    return {
        "problems": [plain(asdict(problem)) for problem in run.problems()],
        "pools": [plain(asdict(pool)) for pool in run.pools()],
        "verdicts": sorted((plain(asdict(row)) for row in run.verdicts()), key=lambda row: row["trajectory_id"]),
        "scores": {n: sorted((plain(asdict(s)) for s in run.scores(n)), key=str) for n in run.scorers()},
        "selections": {n: sorted((plain(asdict(s)) for s in run.selections(n)), key=str) for n in run.selectors()},
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pools=draw_problems(), data=st.data())
def test_whatever_a_run_holds_comes_back(
    tmp_path_factory: Any, pools: list[tuple[Problem, list[Trajectory]]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    run = Run.create(folder / "run", {"identity": {}, "info": {}})
    run.write_problems([problem for problem, _ in pools])
    run.append_trajectories([trajectory for _, trajectories in pools for trajectory in trajectories])
    for problem, trajectories in pools:
        for trajectory in trajectories:
            if data.draw(st.booleans()):
                correct = data.draw(st.sampled_from([True, False, None]))
                run.append_verdicts([Verdict(trajectory.id, correct, data.draw(st.none() | TEXT), data.draw(TEXT))])
            value = math.nan if trajectory.has_failed else data.draw(SCORE)
            steps = data.draw(st.lists(st.floats(0, 1, width=32) | st.just(math.nan), max_size=2))
            run.append_scores("prm", [Score(trajectory.id, value, tuple(steps))])
        if trajectories:
            index = data.draw(st.none() | st.integers(0, len(trajectories) - 1))
            answer, usage = data.draw(st.none() | TEXT), Usage(data.draw(st.integers(0, 2**40)), 3, 1e12, 0.25)
            run.append_selections("judge@4", [Selection(problem.id, index, answer, 0.5, usage, "n")])
    out = folder / data.draw(st.sampled_from(["out.jsonl", "out.jsonl.gz"]))
    export_run(run, out, tokens=True)
    report = import_files(folder / "back", "pools", [out])
    assert report.faults == []
    assert contents(Run.open(folder / "back")) == contents(run)


def test_an_export_is_json_without_nan(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    run.write_problems([Problem("p", "?", "4")])
    run.append_trajectories(
        [
            Trajectory("p#0", "p", 0, 1, Completion("", finish="error", note="died")),
            Trajectory("p#1", "p", 1, 2, Completion("4", logprobs=make_array([-1.0, math.nan]))),
        ]
    )
    run.append_scores("prm", [Score("p#0", math.nan), Score("p#1", math.inf, (0.5, math.nan))])
    export_run(run, tmp_path / "out.jsonl")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (first, second) = json.loads((tmp_path / "out.jsonl").read_text(), parse_constant=refuse)["samples"]
    assert first["scores"] == {"prm": None}
    assert second["scores"] == {"prm": "inf"}
    assert second["nbest"] == {"seed": 2, "logprobs": [-1.0, None], "steps": {"prm": [0.5, None]}}
    report = import_files(tmp_path / "back", "pools", [tmp_path / "out.jsonl"])
    assert report.is_clean
    assert contents(Run.open(tmp_path / "back")) == contents(run)


def test_null_is_a_trajectory_that_could_not_be_scored(tmp_path: Path) -> None:
    line = {"problem_id": "p", "question": "?", "samples": [{"text": "a", "scores": {"r": None}}, {"text": "b"}]}
    (tmp_path / "in.jsonl").write_text(json.dumps(line))
    assert import_files(tmp_path / "run", "pools", [tmp_path / "in.jsonl"]).scores == 1
    (score,) = Run.open(tmp_path / "run").scores("r")
    assert score.trajectory_id == "p#0"
    assert math.isnan(score.value)
