"""Targets that cannot be read are found before anything is graded."""

from pathlib import Path

import pytest

from nbest.errors import DataError
from nbest.records import Completion, Kind, Problem, Trajectory, Verdict
from nbest.stages import verify
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence
from nbest.verifying.targets import find_unreadable_targets, require_readable_targets

READABLE: list[tuple[Kind, str | None]] = [
    ("math", "18"),
    ("math", "# 18"),
    ("math", "Evelyn"),
    ("math", r"\text{Evelyn}"),
    ("math", "no solution"),
    ("math", r"\frac{1}{2}"),
    ("math", r"\int_0^1 x\,dx"),
    ("math", "x^2 + 1"),
    ("math", "2 hours 30 minutes"),
    ("math", "{1, 2}"),
    ("math", None),
    ("math", "  "),
    ("number", "18"),
    ("number", "$1,596"),
    ("number", "5 cm"),
    ("number", "x = 5"),
    ("date", "May 5, 1990"),
    ("python", "[1, 2]"),
    ("choice", "B"),
    ("choice", "A, C"),
    ("exact", "18 # 2"),
    ("code", "18 # 2"),
]
UNREADABLE: list[tuple[Kind, str]] = [
    ("math", "18 #"),
    ("math", r"\frac{1}{"),
    ("math", "2 x 3"),
    ("math", "Natalia sold 48/2 = 24 clips in May.\nShe sold 48+24 = 72 clips altogether.\n#### 72"),
    ("math", r"\boxed{}"),
    ("math", "word " * 500),
    ("number", "Evelyn"),
    ("number", "3, 5"),
    ("date", "soon"),
    ("python", "foo bar"),
    ("choice", "17"),
]


@pytest.fixture(scope="module")
def equivalence():
    with Equivalence() as relation:
        yield relation


@pytest.mark.parametrize(("kind", "target"), READABLE)
def test_readable_targets(equivalence: Equivalence, kind: Kind, target: str | None):
    problems = [Problem("p", "?", target, kind)]
    assert not find_unreadable_targets(problems, equivalence)
    assert not find_unreadable_targets(problems)


@pytest.mark.parametrize(("kind", "target"), UNREADABLE)
def test_unreadable_targets(equivalence: Equivalence, kind: Kind, target: str):
    (found,) = find_unreadable_targets([Problem("p", "?", target, kind)], equivalence)
    assert (found.problem_id, found.kind, found.target) == ("p", kind, target.strip())
    assert found.reason


def test_the_message_names_five_and_counts_the_others(equivalence: Equivalence):
    problems = [Problem(f"p{number}", "?", f"{number} x 3" if number else "4") for number in range(9)]
    with pytest.raises(DataError) as caught:
        require_readable_targets(problems, equivalence, "runs/a")
    message = str(caught.value)
    assert message.startswith("runs/a: 8 targets cannot be read:")
    for part in ("'p1' (kind math): target '1 x 3'", "'p5'", "and 3 others", 'kind = "exact"', "import", "Nothing was"):
        assert part in message
    assert "'p6'" not in message


def make_run(path: Path, target: str) -> Run:
    run = Run.create(path, {"identity": {}, "info": {}})
    run.write_problems([Problem("a", "?", "4"), Problem("b", "?", target)])
    run.append_trajectories([Trajectory(f"{id}#0", id, 0, -1, Completion(r"\boxed{4}")) for id in ("a", "b")])
    return run


def test_nothing_is_graded_against_a_target_that_cannot_be_read(tmp_path: Path):
    run = make_run(tmp_path / "run", "2 x 3")
    with pytest.raises(DataError, match=r"problem 'b' \(kind math\): target '2 x 3'"):
        verify(run)
    assert not run.done_verdicts()


def test_plain_words_are_graded(tmp_path: Path):
    assert verify(make_run(tmp_path / "run", "Evelyn")).right == 1


def test_imported_verdicts_need_no_target(tmp_path: Path):
    run = make_run(tmp_path / "run", "2 x 3")
    run.append_verdicts([Verdict("a#0", True, "4", "imported"), Verdict("b#0", False, "4", "imported")])
    assert (verify(run).right, verify(run).wrong) == (1, 1)
