import numpy as np
import pyarrow as pa
import pytest

from nbest.errors import DataError
from nbest.records import Completion, Problem, Score, Selection, Trajectory, Usage, Verdict
from nbest.storage.tables import (
    PROBLEMS,
    SCORES,
    SELECTIONS,
    TRAJECTORIES,
    VERDICTS,
    Table,
    tokens_checksum,
)


def round_trip(table: Table, records: list) -> list:
    return table.decode(table.encode(records))


def test_problems_come_back_equal():
    problems = [
        Problem("p1", "What is 1+1?"),
        Problem("ü/#2", "", target="", kind="choice", tests=("assert True", ""), meta={"level": 5, "of": ["a", None]}),
        Problem("p3", "line\nbreak \x00 \U0001f600", target="½", kind="code", meta={"lone": "\ud800"}),
    ]
    assert round_trip(PROBLEMS, list(enumerate(problems))) == problems


def test_trajectory_comes_back_with_every_field():
    completion = Completion(
        text="é\n\n\U0001f600",
        prompt_tokens=np.array([1, 2**31 - 1], dtype=np.int32),
        tokens=np.array([5, 0, 7], dtype=np.int32),
        logprobs=np.array([-0.5, -np.inf, 0.0], dtype=np.float32),
        confidences=np.array([-1.25, np.nan, -3.0], dtype=np.float32),
        finish="length",
        note="cut",
        certainties=np.array([0.5, np.inf, 0.0], dtype=np.float32),
    )
    trajectory = Trajectory("p#1", "p", 1, 2**63 - 1, completion, answer="", meta={"scores": {"rm": 0.25}})
    copy = round_trip(TRAJECTORIES, [trajectory])[0]
    for name in ("id", "problem_id", "index", "seed", "answer", "meta"):
        assert getattr(copy, name) == getattr(trajectory, name), name
    for name in ("text", "finish", "note", "states"):
        assert getattr(copy.completion, name) == getattr(completion, name), name
    for name in ("prompt_tokens", "tokens", "logprobs", "confidences", "certainties"):
        actual, expected = getattr(copy.completion, name), getattr(completion, name)
        assert actual.dtype == expected.dtype, name
        assert actual.flags.writeable, name
        np.testing.assert_array_equal(actual, expected)


def test_absent_and_empty_arrays_stay_apart(trajectory):
    absent = Trajectory("p#0", "p", 0, 0, Completion(""))
    empty = Trajectory("p#1", "p", 1, 0, Completion("", logprobs=np.empty(0, dtype=np.float32)))
    first, second, third = round_trip(TRAJECTORIES, [absent, empty, trajectory("p", 2)])
    assert first.completion.logprobs is None
    assert first.completion.tokens.tolist() == []
    assert first.answer is None
    assert second.completion.logprobs.tolist() == []
    assert second.completion.confidences is None
    assert second.completion.certainties is None
    assert third.completion.tokens.tolist() == [0, 1, 2, 3, 4]


def test_arrays_of_a_filtered_table_are_those_of_its_rows(trajectory):
    rows = TRAJECTORIES.encode([trajectory("p", index) for index in range(5)])
    filtered = TRAJECTORIES.decode(rows.filter(pa.array([False, True, False, True, False])))
    assert [(t.index, t.completion.tokens.tolist()) for t in filtered] == [(1, [0, 1, 2, 3]), (3, [0, 1, 2, 3, 4, 5])]
    sliced = TRAJECTORIES.decode(rows.slice(4, 1))
    assert [t.completion.tokens.tolist() for t in sliced] == [[0, 1, 2, 3, 4, 5, 6]]


def test_sampled_tokens_are_counted(trajectory):
    rows = TRAJECTORIES.encode([trajectory("p", 0), trajectory("p", 4)])
    assert rows.column("sampled_tokens").to_pylist() == [3, 7]


def test_tokens_checksum_is_that_of_the_little_endian_ids():
    # CRC-32 of the bytes 01 00 00 00 02 00 00 00; the width of the array does not matter.
    assert tokens_checksum(Completion("", tokens=np.array([1, 2], dtype=np.int64))) == 0x0381177C  # pyright: ignore[reportArgumentType]


def test_verdicts_scores_and_selections_come_back_equal():
    verdicts = [Verdict("a", True, "1"), Verdict("b", False, ""), Verdict("c", None, None, "took too long")]
    assert round_trip(VERDICTS, verdicts) == verdicts
    scores = [Score("a", 0.1, (0.1, 1e-300)), Score("b", float("-inf")), Score("c", np.float64(0.5))]
    assert round_trip(SCORES, scores) == scores
    assert np.isnan(round_trip(SCORES, [Score("a", float("nan"))])[0].value)
    selections = [
        Selection("p", 3, "42", 0.75, Usage(10, 2**40, 1.5e18, 0.25), "ok"),
        Selection("q", None),
    ]
    assert round_trip(SELECTIONS, selections) == selections


@pytest.mark.parametrize(
    ("table", "records", "message"),
    [
        (VERDICTS, [Verdict("a", True), Verdict("b", True, "\ud800")], r"verdicts 'b': answer cannot be stored"),
        (VERDICTS, [Verdict("a", True, note=None)], r"verdicts 'a': note is missing"),  # pyright: ignore
        (SCORES, [Score("a", None)], r"scores 'a': value is missing"),  # pyright: ignore
        (TRAJECTORIES, [Trajectory("p#0", "p", 0, 2**64, Completion(""))], r"trajectories 'p#0': seed cannot"),
        (
            TRAJECTORIES,
            [Trajectory("p#0", "p", 0, 0, Completion("", tokens=np.array([2**31])))],
            r"'p#0'.*: tokens cannot be stored",
        ),
        (
            TRAJECTORIES,
            [Trajectory("p#0", "p", 0, 0, Completion(""), meta={"x": object()})],
            r"trajectories 'p#0': meta is not JSON",
        ),
    ],
)
def test_what_cannot_be_stored_is_named(table: Table, records: list, message: str):
    with pytest.raises(DataError, match=message):
        table.encode(records)
