from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nbest.errors import ConfigError, DamagedRunError, DataError, UnavailableError
from nbest.records import HiddenStates, Problem, Score, Selection, Step, Usage, Verdict
from nbest.storage import parquet
from nbest.storage.run import Run

MANIFEST = {"identity": {"seed": 1}, "info": {}}


def test_layout_is_that_of_the_design(run: Run, trajectory: Callable):
    run.append_trajectories([trajectory("a", 0, captured=1.0)])
    run.append_verdicts([Verdict("a#0", True)])
    run.append_scores("reward:mean", [Score("a#0", 1.0)])
    run.append_selections("score:reward_mean", [Selection("a", 0)])
    names = sorted(str(path.parent.relative_to(run.path)) + "/" + path.suffix for path in run.path.rglob("part-*"))
    assert names == [
        "scores/reward:mean/.parquet",
        "selections/score:reward_mean/.parquet",
        "states/.safetensors",
        "trajectories/.parquet",
        "verdicts/.parquet",
    ]
    assert (run.path / "run.json").exists()
    assert (run.path / "problems.parquet").exists()


def test_every_record_comes_back_in_a_run_that_is_opened_again(run: Run, trajectory: Callable):
    verdicts = [Verdict("a#0", True, "1"), Verdict("b#0", None, None, "late")]
    scores = [Score("a#0", 0.5, (0.25, 0.75))]
    selections = [Selection("a", 0, "1", 0.5, Usage(1, 2, 3.0, 4.0), "n"), Selection("b", None)]
    run.append_trajectories([trajectory("a", 0), trajectory("b", 0)])
    run.append_verdicts(verdicts)
    run.append_scores("s", scores)
    run.append_selections("m", selections)
    reopened = Run.open(run.path)
    assert reopened.manifest == {"identity": {"seed": 1}, "info": {"host": "here"}}
    assert list(reopened.verdicts()) == verdicts
    assert list(reopened.scores("s")) == scores
    assert list(reopened.selections("m")) == selections
    assert reopened.done_trajectories() == {"a#0", "b#0"}
    assert reopened.done_verdicts() == {"a#0", "b#0"}
    assert reopened.done_scores("s") == {"a#0"}
    assert reopened.done_selections("m") == {"a", "b"}
    assert reopened.scorers() == ["s"]
    assert reopened.selectors() == ["m"]
    reopened.check(deep=True)


def test_an_untouched_run_holds_nothing(tmp_path: Path):
    run = Run.create(tmp_path / "new", MANIFEST)
    assert run.done_trajectories() == run.done_states() == run.done_verdicts() == run.done_scores("s") == set()
    assert list(run.verdicts()) == []
    assert run.scorers() == run.selectors() == []
    for read in (run.problems, run.pools):
        with pytest.raises(UnavailableError, match="holds no problems yet"):
            list(read())


def test_empty_lists_write_nothing(run: Run):
    before = sorted(run.path.rglob("*"))
    run.append_trajectories([])
    run.append_states({})
    run.append_verdicts([])
    run.append_scores("s", [])
    run.append_selections("m", [])
    assert sorted(run.path.rglob("*")) == before


def test_problems_are_written_once(run: Run):
    same = [Problem(name, f"What is {name}?") for name in "abcd"]
    run.write_problems(same)
    assert list(run.problems()) == same
    with pytest.raises(ConfigError, match=r"has id 'b', prompt 'What is b\?'; this command has id 'b', prompt 'Else'"):
        run.write_problems([same[0], Problem("b", "Else"), *same[2:]])
    with pytest.raises(ConfigError, match=r"has id 'd'.*this command has no more problems"):
        run.write_problems(same[:3])
    with pytest.raises(ConfigError, match=r"has no more problems; this command has id 'e'"):
        run.write_problems([*same, Problem("e", "")])
    with pytest.raises(DataError, match="'a' occurs twice"):
        run.write_problems([same[0], same[0]])


def test_one_problem_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 2)
    run = Run.create(tmp_path / "run", MANIFEST)
    problems = [Problem(str(n), "?", target=str(n)) for n in range(5)]
    run.write_problems(problems)
    for number in (4, 0, 1, 3, 2):
        assert run.problem(str(number)) == problems[number]
    with pytest.raises(DataError, match="no problem has the id 'x'; the run has 5 problems"):
        run.problem("x")


def test_names_cannot_leave_their_folder(run: Run):
    for name in ("", ".", "..", "../x", "a/b", ".hidden", "a\x00", " a", "a\tb", "x" * 129):
        with pytest.raises(ConfigError, match="cannot be a name"):
            run.append_scores(name, [Score("a#0", 1.0)])
        with pytest.raises(ConfigError, match="cannot be a name"):
            run.done_selections(name)


def test_another_identity_is_refused(run: Run):
    assert Run.create(run.path, MANIFEST).done_trajectories() == set()
    with pytest.raises(ConfigError, match="seed: the run has 1, this command 2"):
        Run.create(run.path, {"identity": {"seed": 2}, "info": {}})


@pytest.mark.parametrize("cut", [0, 0.5, -1])
def test_a_damaged_part_is_named_when_the_run_is_opened(run: Run, trajectory: Callable, cut: float):
    run.append_trajectories([trajectory("a", 0, captured=1.0)])
    for path in [*run.path.rglob("part-*")]:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(cut * len(whole)) if isinstance(cut, float) else cut])
        for again in (lambda: Run.open(run.path), lambda: Run.create(run.path, MANIFEST)):
            with pytest.raises(DamagedRunError, match=path.name):
                again()
        path.unlink()
        Run.open(run.path)
        path.write_bytes(whole)
    Run.open(run.path)


def test_damaged_problems_are_named(run: Run):
    (run.path / "problems.parquet").write_bytes(b"")
    with pytest.raises(DamagedRunError, match=r"problems\.parquet.*0 bytes"):
        Run.open(run.path)


def test_temporaries_are_never_read(run: Run, trajectory: Callable):
    run.append_trajectories([trajectory("a", 0)])
    for folder in (run.path, run.path / "trajectories"):
        (folder / ".123-abc.tmp").write_bytes(b"half a pa")
    reopened = Run.open(run.path)
    assert reopened.done_trajectories() == {"a#0"}
    reopened.check(deep=True)


def test_deep_check_finds_what_footers_do_not_show(run: Run):
    states = HiddenStates((1,), (Step(0, 1),), np.ones((1, 1, 4), dtype=np.float32))
    run.append_states({"a#0": states})
    (path,) = run.path.rglob("part-*.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    reopened = Run.open(run.path)
    with pytest.raises(DamagedRunError, match=path.name):
        reopened.check(deep=True)


def test_ids_tokens_and_prompts_may_be_any_text(tmp_path: Path, trajectory: Callable):
    run = Run.create(tmp_path / "ü [1] * 'x'", MANIFEST)
    name = "Ω/..\\\n'\"#[*]"
    run.write_problems([Problem(name, "")])
    run.append_trajectories([trajectory(name, 0, captured=2.0)])
    assert [pool.trajectories[0].id for pool in run.pools()] == [f"{name}#0"]
    assert run.done_states() == {f"{name}#0"}
    assert [states.values[0, 0, 0] for states in run.states([f"{name}#0"])] == [2.0]
    with run.connect() as database:
        assert database.sql("SELECT problem_id FROM trajectories").fetchall() == [(name,)]
