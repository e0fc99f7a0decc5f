"""A run folder behind the front door: what is kept, what is not drawn again, and what a kill leaves."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import nbest
from nbest import stages
from nbest.errors import ConfigError
from nbest.records import Problem, SamplingParams
from nbest.sampling.scripted import ScriptedSampler
from nbest.storage.run import Run
from tests.answering.samplers import IndexSampler, boxed

QUESTION = "2 + 2?"


def test_everything_is_kept_and_nothing_is_drawn_again(tmp_path: Path) -> None:
    sampler = IndexSampler(lambda index: boxed(7 if index < 3 else index))
    with nbest.BestOfN(sampler, n=4, run=tmp_path / "run") as bon:
        first = bon.ask(QUESTION)
        again = bon.ask(QUESTION)
    with nbest.BestOfN(sampler, n=4, run=tmp_path / "run") as bon:
        *finished, selected = bon.stream(QUESTION)
    assert len(sampler.calls) == 1
    assert [event.finished for event in finished] == [1, 2, 3, 4]
    assert first.selection == again.selection == selected.result.selection
    run = Run.open(tmp_path / "run")
    (problem,) = run.problems()
    (pool,) = run.pools()
    assert (problem.id, problem.prompt) == (first.pool.problem_id, QUESTION)
    assert [trajectory.completion.text for trajectory in pool.trajectories] == [
        trajectory.completion.text for trajectory in first.pool.trajectories
    ]
    assert list(run.selections("majority@4")) == [first.selection]


def test_a_larger_n_draws_only_the_new_ones(tmp_path: Path) -> None:
    small, large = IndexSampler(), IndexSampler(lambda _: boxed("new"))
    with nbest.BestOfN(small, n=2, run=tmp_path) as bon:
        bon.ask(QUESTION)
    with nbest.BestOfN(large, n=5, run=tmp_path) as bon:
        result = bon.ask(QUESTION)
    with nbest.BestOfN(small, n=2, run=tmp_path) as bon:
        assert len(bon.ask(QUESTION).pool.trajectories) == 2
    assert [count for _, count, _ in large.calls] == [3]
    assert result.answers == ("0", "1", "new", "new", "new")
    assert Run.open(tmp_path).selectors() == ["majority@2", "majority@5"]


def test_questions_come_one_by_one_and_many_at_once(tmp_path: Path) -> None:
    with nbest.BestOfN(IndexSampler(), n=2, run=tmp_path) as bon:
        bon.ask("first?")
        bon.ask_many([f"{number}?" for number in range(5)] + ["first?"])
        bon.ask([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "first?"}])
    run = Run.open(tmp_path)
    problems = list(run.problems())
    assert problems[0].prompt == "first?"
    assert sorted(problem.prompt for problem in problems[1:6]) == [f"{number}?" for number in range(5)]
    assert problems[6].meta["messages"][0] == ["system", "Be brief."]
    assert [len(pool.trajectories) for pool in run.pools()] == [2] * 7
    assert run.problem(problems[6].id) == problems[6]
    with run.connect() as database:
        assert database.execute("SELECT count(*) FROM problems").fetchall() == [(7,)]


def test_the_manifest_says_what_fixes_the_trajectories(tmp_path: Path) -> None:
    with nbest.BestOfN(IndexSampler(), n=2, seed=3, sampling=SamplingParams(temperature=0.5), run=tmp_path) as bon:
        bon.ask(QUESTION)
    manifest = Run.open(tmp_path).manifest
    assert manifest["identity"]["problems"] == {"source": "questions"}
    assert manifest["identity"]["policy"] == {"type": "test"}
    assert (manifest["identity"]["sampling"]["temperature"], manifest["identity"]["seed"]) == (0.5, 3)
    assert manifest["info"]["config"]["n"] == 2
    with nbest.BestOfN(IndexSampler(), n=2, seed=4, run=tmp_path) as bon, pytest.raises(ConfigError) as refused:
        bon.ask(QUESTION)
    assert "seed: the run has 3, this command 4" in str(refused.value)
    assert "sampling.temperature: the run has 0.5" in str(refused.value)


def test_another_problem_of_the_same_id_is_refused(tmp_path: Path) -> None:
    with nbest.BestOfN(IndexSampler(), n=2, run=tmp_path) as bon:
        bon.ask(Problem("p", "2 + 2?"))
        with pytest.raises(ConfigError, match="'p'"):
            bon.ask(Problem("p", "3 + 3?"))


def test_what_finished_before_an_early_close_is_kept(tmp_path: Path) -> None:
    sampler = IndexSampler(ready=3)
    with nbest.BestOfN(sampler, n=8, run=tmp_path) as bon:
        stream = bon.stream(QUESTION)
        for _ in range(3):
            next(stream)
        stream.close()
    assert len(Run.open(tmp_path).done_trajectories()) == 3
    whole = IndexSampler()
    with nbest.BestOfN(whole, n=8, run=tmp_path) as bon:
        assert len(bon.ask(QUESTION).pool.trajectories) == 8
    assert [count for _, count, _ in whole.calls] == [5]


STUCK = """
import sys, nbest
from tests.answering.samplers import IndexSampler
nbest.BestOfN(IndexSampler(ready=3), n=8, run=sys.argv[1]).ask("2 + 2?")
"""


def test_a_killed_process_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", STUCK, str(tmp_path / "run")])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list((tmp_path / "run" / "trajectories").glob("*.parquet")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert len(Run.open(tmp_path / "run").done_trajectories()) == 3
    sampler = IndexSampler()
    with nbest.BestOfN(sampler, n=8, run=tmp_path / "run") as bon:
        bon.ask(QUESTION)
    assert [count for _, count, _ in sampler.calls] == [5]


def test_scores_and_selections_of_another_judge_or_method_are_refused(tmp_path: Path) -> None:
    def open_run(judge: str, seed: int = 0) -> nbest.BestOfN:
        sampler = IndexSampler(lambda index: boxed(index % 2))
        return nbest.BestOfN(
            sampler, n=3, selector="vote:genselect", judge=ScriptedSampler([judge]), seed=seed, run=tmp_path / "run"
        )

    with open_run("Judgment: 0") as bon:
        first = bon.ask(QUESTION)
    with open_run("Judgment: 0") as bon:
        assert bon.ask(QUESTION).selection.index == first.selection.index
    with open_run("Judgment: 1") as bon, pytest.raises(ConfigError) as refused:
        bon.ask(QUESTION)
    message = str(refused.value)
    assert 'judge.model.script: the run has ["Judgment: 0"], this command ["Judgment: 1"]' in message
    assert "Choose another folder" in message
    assert f"nbest drop {tmp_path / 'run'} scores/genselect" in message


def test_the_command_line_goes_on_with_what_a_front_door_has_selected(tmp_path: Path) -> None:
    sampler = IndexSampler(lambda index: boxed(index % 2))
    with nbest.BestOfN(sampler, n=3, selector="majority", run=tmp_path / "run") as bon:
        bon.ask(QUESTION)
    [report] = stages.select(tmp_path / "run", ["majority"], n=3)
    assert (report.selected, report.note) == (1, "")
    with pytest.raises(ConfigError, match="'first'"):
        stages.select(tmp_path / "run", ["first"], n=3, as_name="majority")
