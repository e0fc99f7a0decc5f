"""`nbest audit`: our verdicts beside published labels, sorted by cause; the run stays as it is."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from nbest.records import Problem, Trajectory, Verdict
from nbest.sandbox.opening import BACKENDS, probe
from nbest.verifying import causes

needs_sandbox = pytest.mark.skipif(
    all(probe(backend).obstacle for backend in BACKENDS), reason="no isolation for programs on this machine"
)

LABELLED = [
    ("\\boxed{4}", True),  # both right
    ("\\boxed{5}", True),  # the label accepts another answer
    ("no idea", True),
    ("\\boxed{4}", False),
    ("\\boxed{4.0}", False),
    ("\\boxed{7}", False),  # both wrong
    ("\\boxed{4}", None),  # no label
]


def write_pools(path: Path, labelled, **fields) -> Path:
    samples = [{"text": text} | ({} if label is None else {"correct": label}) for text, label in labelled]
    path.write_text(json.dumps({"problem_id": "a", "question": "2 + 2?", "target": "4", "samples": samples} | fields))
    return path


def files_of(run: Path) -> dict[str, bytes]:
    files = [path for path in run.rglob("*") if path.is_file() and ".audit" not in path.parts]
    return {str(path): path.read_bytes() for path in files if path.name != ".claims"}


def test_imported_verdicts_are_the_labels(nbest, tmp_path: Path):
    run = tmp_path / "run"
    assert nbest("import", "pools", run, write_pools(tmp_path / "pools.jsonl", LABELLED)).code == 0
    before = files_of(run)
    report = nbest("audit", run, "--json", "-").json
    assert report["trajectories"] == 7
    assert report["labelled"] == 6
    assert report["agreed"] == 2
    by_id = {difference["trajectory_id"]: difference["cause"] for difference in report["differences"]}
    assert by_id == {
        "a#1": causes.OTHER_ANSWER,
        "a#2": causes.NO_ANSWER,
        "a#3": causes.SAME_TEXT,
        "a#4": causes.OTHER_FORM,
    }
    assert report["causes"] == dict.fromkeys(by_id.values(), 1)
    assert files_of(run) == before
    # A second audit grades nothing again, and says the same.
    assert nbest("audit", run, "--json", "-").json == report
    shown = nbest("audit", run)
    assert "6 of 7 trajectories labelled; our verdict is the label of 2 (33.33 %)" in shown.out
    assert f"1 difference: {causes.OTHER_ANSWER}" in shown.out
    assert "a#1: labelled right, our verdict wrong; answer '5', target '4'" in shown.out
    assert "a#1" not in nbest("audit", run, "--show", 0).out


def test_labels_come_from_files_for_a_run_with_verdicts_of_its_own(nbest, tmp_path: Path):
    run = tmp_path / "run"
    plain = write_pools(tmp_path / "plain.jsonl", [(text, None) for text, _ in LABELLED])
    labels = write_pools(tmp_path / "labels.jsonl", LABELLED)
    assert nbest("import", "pools", run, plain).code == 0
    refused = nbest("audit", run)
    assert refused.code == 5
    assert "no imported verdicts" in refused.err
    assert "--labels" in refused.err
    assert nbest("verify", run).code == 0
    report = nbest("audit", run, "--labels", labels, "--json", "-").json
    assert (report["labelled"], report["agreed"]) == (6, 2)
    assert not (run / ".audit").exists()


def test_files_that_fit_nothing_are_refused(nbest, tmp_path: Path):
    run = tmp_path / "run"
    assert nbest("import", "pools", run, write_pools(tmp_path / "pools.jsonl", LABELLED)).code == 0
    other = write_pools(tmp_path / "other.jsonl", LABELLED, problem_id="b")
    result = nbest("audit", run, "--labels", other)
    assert result.code == 5
    assert f"no trajectory of it has a label in {other}" in result.err
    (tmp_path / "broken.jsonl").write_text('{"problem_id": 3}\n')
    broken = nbest("audit", run, "--labels", tmp_path / "broken.jsonl")
    assert broken.code == 3
    assert "broken.jsonl:1" in broken.err


@needs_sandbox
def test_programs_are_run(nbest, tmp_path: Path):
    test = "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(5) == 6\n"
    labelled = [
        ("    return x + 1\n", True),
        ("    return x + 1\n", False),
        ("    return 2\n", True),
        ("    return 1 / 0\n", True),
        ("    while True: pass\n", False),
        ("    import nowhere_at_all\n", True),
    ]
    pools = write_pools(
        tmp_path / "pools.jsonl",
        labelled,
        question='def f(x):\n    """Add one."""\n',
        target=None,
        test=test,
        entry_point="f",
    )
    run = tmp_path / "run"
    assert nbest("import", "pools", run, pools).code == 0
    report = nbest("audit", run, "--json", "-").json
    by_id = {difference["trajectory_id"]: difference["cause"] for difference in report["differences"]}
    assert by_id == {
        "a#1": causes.PASSED_TESTS,
        "a#2": causes.FAILED_TEST,
        "a#3": causes.RAISED,
        "a#5": causes.PACKAGE,
    }
    assert report["agreed"] == 2


SUM = json.dumps({"stdin": "1 2\n", "stdout": "3\n"})
SQRT = "```python\nprint(int(sqrt(9)))\n```"


@needs_sandbox
def test_the_mode_is_that_of_the_runs_own_verdicts(nbest, tmp_path: Path):
    run = tmp_path / "run"
    plain = write_pools(tmp_path / "plain.jsonl", [(SQRT, None)], target=None, kind="code", tests=[SUM])
    labels = write_pools(tmp_path / "labels.jsonl", [(SQRT, False)], target=None, kind="code", tests=[SUM])
    assert nbest("import", "pools", run, plain).code == 0
    assert nbest("verify", run, "--code-mode", "upstream").code == 0
    report = nbest("audit", run, "--labels", labels, "--json", "-").json
    assert report["causes"] == {causes.PASSED_TESTS: 1}
    assert nbest("audit", run, "--labels", labels, "--code-mode", "upstream", "--json", "-").json == report
    refused = nbest("audit", run, "--labels", labels, "--code-mode", "true")
    assert refused.code == 2
    assert "are of mode 'upstream'" in refused.err


def test_what_could_not_be_graded_is_graded_by_the_next_audit(nbest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = tmp_path / "run"
    pools = write_pools(tmp_path / "pools.jsonl", [(SQRT, True)], target=None, kind="code", tests=[SUM])
    assert nbest("import", "pools", run, pools).code == 0
    outcomes = [None, None, True]

    async def verify(_: object, __: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        correct = outcomes.pop(0)
        return [Verdict(trajectory.id, correct, None, "") for trajectory in trajectories]

    monkeypatch.setattr("nbest.verifying.code.verifier.CodeVerifier.verify", verify)
    (difference,) = nbest("audit", run, "--json", "-").json["differences"]
    assert difference["verdict"] is None
    assert [nbest("audit", run, "--json", "-").json["agreed"] for _ in range(2)] == [1, 1]


def test_a_plugin_grades_code(nbest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = tmp_path / "run"
    pools = write_pools(tmp_path / "pools.jsonl", [("It prints 3.", True)], target=None, kind="code", tests=[SUM])
    assert nbest("import", "pools", run, pools).code == 0
    folder = tmp_path / "nbest_precedence-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: nbest-precedence\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[nbest.verifiers]\ncode = nbest_precedence:Generous\n")
    (tmp_path / "nbest_precedence.py").write_text(
        "from nbest.protocols import Verifier\n"
        "from nbest.records import Verdict\n"
        "class Generous(Verifier):\n"
        "    async def verify(self, problem, trajectories):\n"
        "        return [Verdict(trajectory.id, True) for trajectory in trajectories]\n"
    )
    assert nbest("audit", run, "--json", "-").json["agreed"] == 0
    monkeypatch.syspath_prepend(tmp_path)
    assert nbest("audit", run, "--json", "-").json["agreed"] == 1
