"""Task files: written whole or not at all, read with every row checked; what a build writes."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbest.errors import ConfigError, DataError, StorageError, UnavailableError
from nbest.judging.prompts import render_genselect
from nbest.storage.run import Run
from nbest.training import task_files
from nbest.training.settings import TasksConfig
from nbest.training.source_pools import Source
from nbest.training.step_batches import is_held_out
from nbest.training.task_building import build_task_files, build_tasks
from nbest.training.task_files import (
    NbestFormat,
    SelectionTask,
    TaskFiles,
    TaskRecord,
    iter_tasks,
    load_tasks,
    read_build_info,
)
from tests.training.verified_runs import make_run, mixed

SETTINGS = TasksConfig(tokenizer="bundled:arithmetic", style="compact")
ROW: dict[str, Any] = {
    "task_id": "p/task-0",
    "problem_id": "p",
    "prompt": "1?",
    "candidates": ["p#0", "p#1"],
    "correct": [True, False],
    "prompt_tokens": 7,
}


def task(number: int) -> SelectionTask:
    return SelectionTask(f"p/task-{number}", "p", f"prompt {number}", ("p#0", "p#1"), (False, True), 5)


def write(path: Path, *rows: dict[str, Any], schema: pa.Schema | None = None) -> Path:
    columns = schema or pa.schema([field for field in NbestFormat.schema if field.name != "kind"])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=columns), path)
    return path


def test_tasks_come_back_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(task_files, "GROUP_ROWS", 2)
    path = tmp_path / "new" / "a.parquet"
    with TaskFiles({"train": path}, NbestFormat(), {"style": "compact"}) as files:
        for number in range(5):
            files.write(TaskRecord(task(number), "code", "train"))
    assert load_tasks(path) == [task(number) for number in range(5)]
    assert read_build_info(path) == {"style": "compact", "split": "train"}
    assert pq.ParquetFile(path).metadata.num_row_groups == 3
    assert pq.read_table(path)["kind"].to_pylist() == ["code"] * 5
    assert [entry.name for entry in path.parent.iterdir()] == ["a.parquet"]


def test_after_a_failure_the_old_file_stays(tmp_path: Path):
    paths = {"train": tmp_path / "a.parquet", "validation": tmp_path / "b.parquet"}
    paths["train"].write_text("old")

    def fail() -> None:
        with TaskFiles(paths, NbestFormat(), {}) as files:
            files.write(TaskRecord(task(0), "math", "train"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]
    assert paths["train"].read_text() == "old"


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be written .*Nothing was replaced"):
        TaskFiles({"all": tmp_path / "file" / "a.parquet"}, NbestFormat(), {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": [True]}, "2 candidates but 1 value of correct"),
        ({"correct": [False, False]}, "none of its 2 candidates is right"),
        ({"candidates": ["p#0"], "correct": [True]}, "two or more, each once"),
        ({"candidates": ["p#0", "p#0"]}, "two or more, each once"),
        ({"correct": [True, None]}, "no null"),
        ({"prompt": None}, "prompt is empty"),
        ({"prompt": "", "candidates": None}, "prompt, candidates is empty"),
        ({"task_id": "p/task-1"}, "task_id 'p/task-1' is already used in row 1"),
    ],
)
def test_a_faulty_row_is_named(tmp_path: Path, change: dict[str, Any], message: str):
    path = write(tmp_path / "a.parquet", ROW | {"task_id": "p/task-1"}, ROW | change)
    with pytest.raises(DataError, match=message) as caught:
        load_tasks(path)
    assert str(caught.value).startswith(f"{path}: row 2")


def test_files_that_are_no_task_files(tmp_path: Path):
    schema = pa.schema([("task_id", pa.string()), ("prompt", pa.string())])
    with pytest.raises(DataError, match=r"columns problem_id, candidates, correct, prompt_tokens are missing"):
        load_tasks(write(tmp_path / "a.parquet", {"task_id": "a", "prompt": "b"}, schema=schema))
    column = NbestFormat.schema.get_field_index("correct")
    schema = NbestFormat.schema.remove(6).set(column, pa.field("correct", pa.list_(pa.int64())))
    with pytest.raises(DataError, match="correct is list<element: int64>"):
        load_tasks(write(tmp_path / "b.parquet", ROW | {"correct": [1, 0]}, schema=schema))
    (tmp_path / "c.parquet").write_text("{}")
    for name, message in (("c.parquet", "not a readable Parquet file"), ("d.parquet", "no such file")):
        with pytest.raises(DataError, match=message):
            next(iter_tasks(tmp_path / name))
    with pytest.raises(DataError, match="holds no tasks"):
        load_tasks(write(tmp_path / "e.parquet"))


def test_large_types_of_other_writers_are_read(tmp_path: Path):
    schema = pa.schema(
        [
            *((name, pa.large_string()) for name in ("task_id", "problem_id", "prompt")),
            ("candidates", pa.large_list(pa.large_string())),
            ("correct", pa.large_list(pa.bool_())),
            ("prompt_tokens", pa.int32()),
        ]
    )
    (only,) = load_tasks(write(tmp_path / "a.parquet", ROW, schema=schema))
    assert only.candidates == ("p#0", "p#1")
    assert read_build_info(tmp_path / "a.parquet") == {}


def build(run: Run, out: Path, **changes: Any) -> Any:
    return build_tasks([Source("r", run)], out, SETTINGS.model_copy(update=changes), NbestFormat())


def test_a_build_writes_what_was_shown(tmp_path: Path):
    pools = {"p": mixed(2, 6), "easy": mixed(4, 2), "none": mixed(0, 5)}
    run = make_run(tmp_path / "r", pools)
    out = tmp_path / "out.parquet"
    files, statistics = build(run, out)
    tasks = load_tasks(out)
    assert files == {"all": out}
    assert [task.task_id for task in tasks] == [f"p/task-{n}" for n in range(4)]
    texts = {f"p#{n}": text for n, (text, *_) in enumerate(pools["p"])}
    for task in tasks:
        assert task.correct == tuple(int(id.split("#")[1]) < 2 for id in task.candidates)
        assert task.prompt == render_genselect("What is p?", [texts[id] for id in task.candidates], "math", "compact")
    report = statistics.describe()
    assert report["problems"] == {
        "seen": 3,
        "used": 1,
        "unused": {"pass rate not below the limit": 1, "no right candidate": 1},
    }
    # All right ones say 1, all wrong ones 2: the majority is right only where half of the candidates are (a tie: half).
    halves = sum(2 * sum(task.correct) == len(task.correct) for task in tasks)
    assert report["majority_accuracy"] == halves / 2 / len(tasks)
    build_info = read_build_info(out)
    assert (build_info["style"], build_info["thinking"], build_info["tokenizer"]) == (
        "compact",
        "remove",
        "bundled:arithmetic",
    )
    assert build_info["sources"] == [{"name": "r", "run": str(tmp_path / "r"), "identity": {"made": "by a test"}}]
    assert build_info["settings"]["most"] == 16


def test_token_limits_drop_and_count(tmp_path: Path):
    run = make_run(tmp_path / "r", {"p": mixed(2, 6), "q": mixed(2, 6)})
    build(run, tmp_path / "a.parquet")
    lengths = sorted(task.prompt_tokens for task in load_tasks(tmp_path / "a.parquet"))
    limit = lengths[3]
    _, statistics = build(run, tmp_path / "b.parquet", max_prompt_tokens=limit)
    tasks = load_tasks(tmp_path / "b.parquet")
    assert all(task.prompt_tokens <= limit for task in tasks)
    assert statistics.describe()["tasks_dropped"]["over the prompt token limit"] == len(lengths) - len(tasks)
    with pytest.raises(UnavailableError, match=r"2 all tasks dropped, 8 over the prompt token limit.*Nothing was writ"):
        build(run, tmp_path / "c.parquet", max_prompt_tokens=2)
    assert not (tmp_path / "c.parquet").exists()


def test_long_candidates_are_excluded(tmp_path: Path):
    run = make_run(tmp_path / "r", {"p": [*mixed(2, 6), ("1 + 1 = 2. " * 50, False)]})
    _, statistics = build(run, tmp_path / "a.parquet", max_candidate_tokens=60)
    assert statistics.describe()["trajectories_excluded"] == {"over the candidate token limit": 1}
    assert all("p#8" not in task.candidates for task in load_tasks(tmp_path / "a.parquet"))


def test_a_problem_is_in_one_split(tmp_path: Path):
    run = make_run(tmp_path / "r", {f"p{n}": mixed(1, 4) for n in range(12)})
    files, statistics = build(run, tmp_path / "a.parquet", validation_share=0.4)
    assert [path.name for path in files.values()] == ["a.train.parquet", "a.validation.parquet"]
    for split, path in files.items():
        tasks = load_tasks(path)
        assert {is_held_out(task.problem_id, 0.4) for task in tasks} == {split == "validation"}
        assert statistics.describe()["tasks"][split] == len(tasks)
    with pytest.raises(UnavailableError, match="no tasks for validation: 12 problems gave tasks"):
        build(run, tmp_path / "b.parquet", validation_share=1e-6)
    assert not list(tmp_path.glob("*b.*"))


def test_a_tokenizer_that_cannot_be_used(tmp_path: Path):
    run = make_run(tmp_path / "r", {"p": mixed(1, 4)})
    for name in ("bundled:nonesuch", str(tmp_path)):
        with pytest.raises(ConfigError, match=r"model|tokenizer"):
            build(run, tmp_path / "a.parquet", tokenizer=name)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_build_by_the_name_of_its_format(tmp_path: Path):
    run = make_run(tmp_path / "r", {"p": mixed(2, 6)})
    counts: list[int] = []
    totals: list[int] = []
    report = build_task_files([f"x={run.path}"], tmp_path / "a.parquet", SETTINGS, "verl", counts.append, totals.append)
    assert totals == [sum(counts)]
    assert counts == [1]
    assert report.files == {"all": tmp_path / "a.parquet", "reward": tmp_path / "reward_genselect.py"}
    assert all(path.is_file() for path in report.files.values())
    assert report.to_json()["tasks"]["total"] == pq.read_metadata(tmp_path / "a.parquet").num_rows
    assert build_task_files([str(run.path)], tmp_path / "b.parquet", SETTINGS).files == {"all": tmp_path / "b.parquet"}
    assert len(load_tasks(tmp_path / "b.parquet")) == report.statistics.tasks.total()


@pytest.mark.parametrize(
    ("out", "format", "message"),
    [("c.txt", "nbest", "allowed: a name that ends in .parquet"), ("c.parquet", "verla", "Did you mean 'verl'?")],
)
def test_a_build_is_refused_before_a_run_is_opened(tmp_path: Path, out: str, format: str, message: str):
    with pytest.raises(ConfigError, match=message):
        build_task_files([str(tmp_path / "nowhere")], tmp_path / out, SETTINGS, format)
