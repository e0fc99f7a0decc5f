from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from nbest.errors import DamagedRunError
from nbest.records import Score, Selection, Usage, Verdict
from nbest.storage.run import Run

COLUMNS = {
    "problems": "id position prompt target kind tests meta answer_rule",
    "trajectories": "id problem_id index seed text prompt_tokens tokens logprobs confidences certainties finish "
    "note sampled_tokens answer meta",
    "verdicts": "trajectory_id correct answer note",
    "scores": "scorer trajectory_id value steps",
    "selections": "selector problem_id index answer confidence prompt_tokens sampled_tokens flops seconds note",
}


def describe(database: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    return {
        name: [(column, kind) for column, kind, *_ in database.sql(f"DESCRIBE {name}").fetchall()] for name in COLUMNS
    }


def test_views_of_an_empty_run_have_the_columns_and_types_of_a_full_one(tmp_path: Path, run: Run, trajectory: Callable):
    run.append_trajectories([trajectory("a", 0)])
    run.append_verdicts([Verdict("a#0", True)])
    run.append_scores("s", [Score("a#0", 1.0)])
    run.append_selections("m", [Selection("a", 0)])
    empty = Run.create(tmp_path / "empty", {"identity": {}, "info": {}})
    with run.connect() as full, empty.connect() as database:
        assert describe(database) == describe(full)
        assert {name: " ".join(c for c, _ in columns) for name, columns in describe(full).items()} == COLUMNS
        for name in COLUMNS:
            assert database.sql(f"SELECT * FROM {name}").fetchall() == []


def test_scores_and_selections_carry_the_name_of_their_folder(run: Run):
    run.append_scores("b:x", [Score("a#0", 1.0, (0.5,))])
    run.append_scores("a", [Score("a#0", 2.0), Score("a#1", 3.0)])
    run.append_selections("majority", [Selection("a", None, usage=Usage(1, 2, 3.0, 4.0))])
    with run.connect() as database:
        assert database.sql("SELECT * FROM scores ORDER BY scorer, trajectory_id").fetchall() == [
            ("a", "a#0", 2.0, []),
            ("a", "a#1", 3.0, []),
            ("b:x", "a#0", 1.0, [0.5]),
        ]
        assert database.sql("SELECT * FROM selections").fetchall() == [
            ("majority", "a", None, None, None, 1, 2, 3.0, 4.0, "")
        ]


def test_duplicates_are_dropped_within_a_scorer_and_not_across(run: Run):
    run.append_scores("s", [Score("a#0", 1.0), Score("a#0", 2.0)])
    run.append_scores("s", [Score("a#0", 3.0), Score("a#1", 4.0)])
    run.append_scores("t", [Score("a#0", 5.0)])
    with run.connect() as database:
        rows = database.sql("SELECT scorer, trajectory_id, value FROM scores ORDER BY ALL").fetchall()
    assert rows == [("s", "a#0", 1.0), ("s", "a#1", 4.0), ("t", "a#0", 5.0)]


def test_views_join(run: Run, trajectory: Callable):
    run.append_trajectories([trajectory("a", index) for index in range(4)] + [trajectory("b", 0)])
    run.append_verdicts([Verdict("a#0", True), Verdict("a#1", False), Verdict("a#2", True), Verdict("b#0", None)])
    with run.connect() as database:
        rows = database.sql(
            "SELECT problem_id, count(*), avg(correct::INT) FROM trajectories "
            "JOIN verdicts ON trajectory_id = id GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    # Of a: two right of three graded.
    assert rows == [("a", 3, pytest.approx(2 / 3)), ("b", 1, None)]


def test_a_small_memory_limit_spills_and_leaves_nothing_behind(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spill"))
    (tmp_path / "spill").mkdir()
    with run.connect(memory_limit="30MB") as database:
        query = "SELECT count(*) FROM (SELECT hash(range) AS h, repeat('x', 20) FROM range(1000000) ORDER BY h)"
        assert database.sql(query).fetchall() == [(1000000,)]
        assert database.sql("SELECT current_setting('threads')").fetchall() == [(1,)]
    assert list((tmp_path / "spill").iterdir()) == []


def test_a_damaged_part_is_named_when_connecting(run: Run):
    run.append_verdicts([Verdict("a#0", True)])
    (part,) = (run.path / "verdicts").iterdir()
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(DamagedRunError, match=part.name):
        run.connect()
