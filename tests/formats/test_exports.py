"""Export and the way back."""

import csv
import gzip
import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from nbest.errors import ConfigError, StorageError
from nbest.formats import exports
from nbest.formats.exports import export_run
from nbest.formats.pools import import_pools
from nbest.records import Completion, Problem, Score, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run

DATA = Path(__file__).parents[3] / "shared" / "data" / "pools"


def new_run(path: Path) -> Run:
    return Run.create(path, {"identity": {}, "info": {}})


def plain(value: Any) -> Any:
    """Records as comparable values: arrays become lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def contents(run: Run, tokens: bool = True) -> dict[str, Any]:
    problems = [plain(asdict(problem)) for problem in run.problems()]
    pools = [plain(asdict(pool)) for pool in run.pools()]
    for pool in pools:
        for trajectory in pool["trajectories"] if not tokens else ():
            completion = trajectory["completion"]
            count = (completion["usage"] or {}).get("sampled_tokens", len(completion["tokens"]))
            completion |= {"tokens": [], "prompt_tokens": [], "confidences": None, "certainties": None, "usage": count}
    verdicts = sorted((asdict(verdict) for verdict in run.verdicts()), key=lambda row: row["trajectory_id"])
    scores = {name: sorted((s.trajectory_id, s.value, s.steps) for s in run.scores(name)) for name in run.scorers()}
    return {"problems": problems, "pools": pools, "verdicts": verdicts, "scores": scores}


@pytest.fixture
def sampled(tmp_path: Path) -> Run:
    """A run as sampling leaves it: everything a record can hold, gaps in the indices, a problem without attempts."""
    run = new_run(tmp_path / "sampled")
    meta = {"level": 3, "samples": "a key of the schema", "nbest": 1, "half a pair": "\ud800"}
    run.write_problems(
        [
            Problem("p", "q?", "2", meta=meta),
            Problem("c", "def f", None, "code", ("assert f()",)),
            Problem("e", "?", answer_rule="json:answer"),
        ]
    )
    whole = Completion(
        "é\n\\boxed{2}", np.array([1, 2], np.int32), np.array([3], np.int32), np.array([-0.1], np.float32),
        np.array([-0.7], np.float32), "stop", None, "n", np.array([2.5], np.float32),
    )  # fmt: skip
    attempts = [
        Trajectory("p#0", "p", 0, 2**62 + 1, whole, None, {"text": "a key of the schema", "k": [1]}),
        Trajectory("p#3", "p", 3, 7, Completion("failed", finish="error", note="died"), "4"),
        Trajectory("c#0", "c", 0, -1, Completion("return 1")),
    ]
    run.append_trajectories(attempts)
    run.append_verdicts([Verdict("p#0", True, "2", "math-verify"), Verdict("p#3", None, None, "timeout")])
    run.append_scores("hidden", [Score("p#0", 0.1 + 0.2, (0.25, 0.5)), Score("p#3", -1.0)])
    run.append_scores("other", [Score("p#0", 1e-300)])
    return run


def test_the_way_back_loses_nothing(sampled: Run, tmp_path: Path):
    assert export_run(sampled, tmp_path / "out.jsonl", tokens=True) == 3
    back = new_run(tmp_path / "back")
    assert import_pools(back, [tmp_path / "out.jsonl"]).is_clean
    assert contents(back) == contents(sampled)


def test_without_tokens_everything_else_comes_back(sampled: Run, tmp_path: Path):
    export_run(sampled, tmp_path / "out.jsonl.gz")
    back = new_run(tmp_path / "back")
    assert import_pools(back, [tmp_path / "out.jsonl.gz"]).is_clean
    assert contents(back, tokens=False) == contents(sampled, tokens=False)


def test_an_imported_file_is_exported_as_it_came(tmp_path: Path):
    line = {
        "problem_id": "p", "question": "q", "target": "2", "kind": "math", "level": 1,
        "samples": [{"text": r"\boxed{2}", "correct": True, "scores": {"r": 1.5}, "system": "a"}, {"text": "b"}],
    }  # fmt: skip
    (tmp_path / "in.jsonl").write_text(json.dumps(line) + "\n")
    run = new_run(tmp_path / "run")
    import_pools(run, [tmp_path / "in.jsonl"])
    export_run(run, tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == line


@pytest.mark.parametrize("name", ["math_qwen_rm8", "humaneval_codegen16b"])
def test_real_pools_come_back(tmp_path: Path, name: str):
    file = DATA / f"{name}.jsonl.gz"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    with gzip.open(file, "rb") as lines:
        (tmp_path / "some.jsonl").write_bytes(b"".join(next(lines) for _ in range(10)))
    run, back = new_run(tmp_path / "run"), new_run(tmp_path / "back")
    import_pools(run, [tmp_path / "some.jsonl"])
    export_run(run, tmp_path / "out.jsonl.gz")
    import_pools(back, [tmp_path / "out.jsonl.gz"])
    assert contents(back) == contents(run)


def test_the_same_run_gives_the_same_bytes_in_batches_of_any_size(
    sampled: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    export_run(sampled, tmp_path / "a.jsonl.gz")
    monkeypatch.setattr(exports, "BATCH_TRAJECTORIES", 1)
    export_run(sampled, tmp_path / "b.jsonl.gz")
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).count(b"\n") == 3


EXPECTED = [
    # trajectory, answer, correct, score:hidden, score:other
    ("p#0", "2", True, 0.1 + 0.2, 1e-300),
    ("p#3", "4", None, -1.0, None),
    ("c#0", None, None, None, None),
]


def test_parquet_rows(sampled: Run, tmp_path: Path):
    assert export_run(sampled, tmp_path / "out.parquet", "parquet") == 3
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    names = ("trajectory_id", "answer", "correct", "score:hidden", "score:other")
    assert [tuple(row[name] for name in names) for row in rows] == EXPECTED
    assert [(row["problem_id"], row["index"], row["sampled_tokens"]) for row in rows] == [
        ("p", 0, 1),
        ("p", 3, 0),
        ("c", 0, 0),
    ]


def test_csv_rows(sampled: Run, tmp_path: Path):
    export_run(sampled, tmp_path / "out.csv", "csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trajectory_id"], row["answer"], row["correct"]) for row in rows] == [
        ("p#0", "2", "true"),
        ("p#3", "4", ""),
        ("c#0", "", ""),
    ]
    assert float(rows[0]["score:hidden"]) == 0.1 + 0.2


def test_another_format(sampled: Run, tmp_path: Path):
    with pytest.raises(ConfigError, match="pools, csv, parquet"):
        export_run(sampled, tmp_path / "out", "xml")


def test_an_export_that_fails_leaves_the_old_file(sampled: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out" / "out.jsonl"
    out.parent.mkdir()
    out.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "_make_line", refuse)
    with pytest.raises(StorageError, match="No space left"):
        export_run(sampled, out)
    assert [path.name for path in out.parent.iterdir()] == ["out.jsonl"]
    assert out.read_text() == "old"


def test_a_folder_that_cannot_be_made(sampled: Run, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        export_run(sampled, tmp_path / "file" / "out.jsonl")


KILLED = """
import os, signal, sys
from pathlib import Path
from nbest.formats import intake
from nbest.formats.pools import import_pools
from nbest.storage.run import Run
intake.PART_TRAJECTORIES = 50
run = Run.open(sys.argv[1])
appended = []
append = run.append_trajectories
def dying(batch):
    append(batch)
    appended.append(1)
    if len(appended) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
run.append_trajectories = dying
import_pools(run, [Path(sys.argv[2])])
"""


def test_sigkill_between_parts_then_again_is_complete(tmp_path: Path):
    file = tmp_path / "in.jsonl"
    samples = [{"text": f"sample {n}", "correct": n % 2 == 0, "scores": {"r": float(n)}} for n in range(30)]
    lines = [{"problem_id": str(n), "question": "q", "samples": samples} for n in range(20)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = new_run(tmp_path / "run")
    dead = subprocess.run([sys.executable, "-c", KILLED, str(run.path), str(file)], check=False)
    assert dead.returncode == -signal.SIGKILL
    again = Run.open(tmp_path / "run")
    assert 0 < len(again.done_trajectories()) < 600
    report = import_pools(again, [file])
    assert report.present == 150
    whole = new_run(tmp_path / "whole")
    import_pools(whole, [file])
    assert contents(again) == contents(whole)
    assert {trajectory_id(str(n), i) for n in range(20) for i in range(30)} == again.done_trajectories()
