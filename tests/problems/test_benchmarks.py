"""The table of published problem sets, and loading from local copies, user files and a stand-in for the hub."""

import csv
import gzip
import hashlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bestofn.errors import ConfigError, DataError, EngineError, MissingExtraError
from bestofn.problems.benchmarks import (
    apply_template,
    content_hash,
    find_benchmark,
    list_benchmarks,
    load_benchmark,
    templates,
)
from bestofn.records import Problem

DATA = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
INSTRUCTION = (
    "Solve the following math problem efficiently and clearly. "
    r"Please reason step by step, and put your final answer within \boxed{}."
)
ROWS = [{"q": "1+1?", "a": 2, "key": "x", "level": 1}, {"q": "{2}?", "a": "3", "key": "y", "level": 2}]


def own(folder: Path, file: Path, **more: object) -> str:
    """A user's benchmark of a few lines."""
    fields = {"file": file.name, "question": "q", "answer": "a", **more}
    path = folder / "mine.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items()))
    return str(path)


def write_rows(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({name: [str(row[name]) for row in rows] for name in rows[0]}), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text(text)
    return path


def test_the_table_is_whole():
    counts = {benchmark.name: benchmark.problems for benchmark in list_benchmarks()}
    assert counts == {
        "aime_2024": 30,
        "aime_2025": 30,
        "amc23": 40,
        "hmmt_feb_2025": 30,
        "brumo_2025": 30,
        "math_500": 500,
        "gsm8k": 1319,
    }
    for benchmark in list_benchmarks():
        assert benchmark.title
        assert benchmark.source
        assert benchmark.licence
        assert set(benchmark.unconfirmed) <= set(benchmark.__slots__)


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [
        ("aime_2024", "aime_2024", 30),
        ("aime_2025", "aime_2025", 30),
        ("amc23", "amc23", 40),
        ("hmmt_feb_2025", "hmmt_feb_2025", 30),
        ("brumo_2025", "brumo_2025", 30),
        ("math_500", "math500", 500),
    ],
)
def test_local_copies(name: str, file: str, count: int):
    path = DATA / f"{file}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    problems = load_benchmark(name, path)
    assert len(problems) == count
    with path.open() as lines:
        first = json.loads(next(lines))
    question = first.get("question") or first["problem"]
    assert problems[0].prompt == f"{INSTRUCTION}\n\n{question}"
    assert problems[0].meta["question"] == question
    assert problems[0].kind == "math"
    # AMC23 states its answers as 27.0.
    assert problems[0].target == ("27" if name == "amc23" else first["answer"])
    assert all(problem.target and problem.id.startswith(f"{name}/") for problem in problems)
    assert content_hash(problems) == content_hash(load_benchmark(name, path))


def test_gsm8k_takes_what_follows_the_mark(tmp_path: Path):
    rows = [{"question": f"q{n}", "answer": f"9*2=<<9*2=18>>18\n#### {n},000"} for n in range(1319)]
    problems = load_benchmark("gsm8k", write_rows(tmp_path / "a.jsonl", rows))
    assert (problems[3].id, problems[3].target) == ("gsm8k/3", "3,000")
    assert problems[3].meta["stated_answer"] == rows[3]["answer"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet"])
def test_tables_of_all_kinds(tmp_path: Path, name: str):
    path = own(tmp_path, write_rows(tmp_path / name), id="key", kind="choice", template="A: {question} {}")
    first, second = load_benchmark(path)
    assert (first.id, first.prompt, first.target, first.kind) == ("mine/x", "A: 1+1? {}", "2", "choice")
    assert second.prompt == "A: {2}? {}"
    assert {name: str(value) for name, value in first.meta.items()} == {
        "level": "1",
        "benchmark": "mine",
        "question": "1+1?",
    }


def test_five_lines_are_enough(tmp_path: Path):
    first, _ = load_benchmark(own(tmp_path, write_rows(tmp_path / "a.jsonl")))
    assert (first.id, first.prompt, first.kind) == ("mine/0", "1+1?", "math")


def test_another_template(tmp_path: Path):
    path = own(tmp_path, write_rows(tmp_path / "a.jsonl"))
    first, _ = load_benchmark(path, template="trajselector")
    assert first.prompt == f"{INSTRUCTION}\n\n1+1?"
    assert apply_template(templates()["plain"], "{x}") == "{x}"


@pytest.mark.parametrize("template", ["no place", "{question} {question}", "nonesuch"])
def test_a_template_needs_its_place(tmp_path: Path, template: str):
    with pytest.raises(ConfigError, match="plain, trajselector"):
        load_benchmark(own(tmp_path, write_rows(tmp_path / "a.jsonl")), template=template)


def test_all_faults_of_an_own_benchmark_at_once(tmp_path: Path):
    (tmp_path / "a.toml").write_text(
        'file = "a"\nquestion = 1\ncolour = "red"\nkind = "physics"\nproblems = -1\ntemplate = "x"'
    )
    with pytest.raises(ConfigError) as caught:
        find_benchmark(str(tmp_path / "a.toml"))
    assert len(caught.value.faults) == 6
    for word in ("question", "answer", "colour", "physics", "problems", "template"):
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["question = 1", "= 1", "file = 3"])
def test_own_benchmarks_that_cannot_be_read(tmp_path: Path, text: str):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.toml"):
        find_benchmark(str(tmp_path / "a.toml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        find_benchmark(str(tmp_path / "none.toml"))


def test_an_unknown_name():
    with pytest.raises(ConfigError, match="aime_2024"):
        load_benchmark("aime")


def test_a_part_of_a_benchmark_is_refused(tmp_path: Path):
    file = write_rows(tmp_path / "a.jsonl", [{"question": "q", "answer": "1"}])
    with pytest.raises(DataError, match="1 problems came; aime_2024 has 30"):
        load_benchmark("aime_2024", file)


def test_faulty_rows_are_named(tmp_path: Path):
    rows = [{"q": "a", "a": "1", "key": "k"}, {"a": "1"}, {"q": "b", "a": None}, {"q": "c", "a": "1", "key": "k"}]
    path = own(tmp_path, write_rows(tmp_path / "a.jsonl", rows), id="key")
    with pytest.raises(DataError) as caught:
        load_benchmark(path)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0].rsplit(":", 1)[1] for line in lines] == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("name", "data"), [("a.csv", b"q,a\n1\n"), ("a.parquet", b"PAR1 no"), ("a.csv", b"q,a\n\xff,1\n")]
)
def test_damaged_tables(tmp_path: Path, name: str, data: bytes):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=name):
        load_benchmark(own(tmp_path, tmp_path / name))


def test_a_table_that_is_not_there(tmp_path: Path):
    with pytest.raises(DataError, match="cannot be read"):
        load_benchmark("aime_2024", tmp_path / "none.jsonl")


def test_the_hash_depends_on_order_and_content():
    one, two = Problem("a", "q", "1"), Problem("b", "q", None)
    assert content_hash([one, two]) != content_hash([two, one])
    assert content_hash([one]) != content_hash([Problem("a", "q", "2")])
    assert content_hash([one]) == content_hash([Problem("a", "q", "1", meta={"k": 1})])
    # Pinned, because the hash stands in manifests: one JSON line a problem.
    lines = b'["a", "q", "1"]\n["b", "q", null]\n'
    assert content_hash([one, two]) == hashlib.blake2b(lines, digest_size=16).hexdigest()
    assert content_hash([one, two]) == "624a7f4ed603ffc786195b8e97c0a20d"


def hub(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    module = ModuleType("datasets")
    module.load_dataset = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_the_hub_is_asked_without_a_file(monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []

    def load(*args: Any, **options: Any) -> list[dict[str, Any]]:
        asked.append((args, options))
        return [{"id": 60 + n, "problem": f"q{n}", "answer": "1"} for n in range(30)]

    hub(monkeypatch, load)
    problems = load_benchmark("aime_2024", revision="abc")
    assert asked == [(("HuggingFaceH4/aime_2024", None), {"split": "train", "revision": "abc"})]
    assert problems[0].id == "aime_2024/60"


def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    def load(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    hub(monkeypatch, load)
    with pytest.raises(EngineError, match="--file"):
        load_benchmark("aime_2024")


def test_no_datasets_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        load_benchmark("aime_2024")


def test_an_own_table_that_is_not_there(tmp_path: Path):
    path = tmp_path / "a.toml"
    path.write_text('file = "gone.jsonl"\nquestion = "q"\nanswer = "a"\n')
    with pytest.raises(DataError, match=r"gone\.jsonl"):
        load_benchmark(str(path))
