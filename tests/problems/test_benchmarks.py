"""The table of published problem sets, and loading from local copies, user files and a stand-in for the hub."""

import csv
import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbest.errors import ConfigError, DataError
from nbest.problems.benchmarks import (
    apply_template,
    content_hash,
    find_benchmark,
    list_benchmarks,
    load_benchmark,
    source_hash,
    templates,
)
from nbest.records import Problem
from nbest.run_settings import load_sample_config

DATA = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
INSTRUCTION = (
    "Solve the following math problem efficiently and clearly. "
    r"Please reason step by step, and put your final answer within \boxed{}."
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LCB = "livecodebench_v6"
ROWS = [{"q": "1+1?", "a": 2, "key": "x", "level": 1}, {"q": "{2}?", "a": "3", "key": "y", "level": 2}]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of recorded hashes, in a temporary folder instead of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nbest" / "benchmarks.json"


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
        "beyond_aime": 100,
        "hmmt_feb_2025": 30,
        "brumo_2025": 30,
        "math_500": 500,
        "gsm8k": 1319,
        "livecodebench_v6": 1055,
        "livecodebench_v6_2408_2505": 454,
        "livecodebench_v6_new": 175,
        "humaneval": 164,
        "humaneval_plus": 164,
        "mbpp": 500,
        "mbpp_plus": 378,
        "openmathreasoning": 0,
        "opencodereasoning": 0,
    }
    for benchmark in list_benchmarks():
        assert benchmark.title
        assert benchmark.source
        assert benchmark.licence
        assert benchmark.rule
        assert benchmark.hub
        assert benchmark.split
        assert (bool(benchmark.tests) or benchmark.untested) == (benchmark.kind == "code")
        assert set(benchmark.unconfirmed) <= set(benchmark.__slots__)


@pytest.mark.parametrize(
    ("name", "file", "count", "digest"),
    [
        ("aime_2024", "aime_2024", 30, "85d9dc6e5404c48cecd05668cec573cd"),
        ("aime_2025", "aime_2025", 30, "34bfe11fbbcf64f35d860d833300a789"),
        ("amc23", "amc23", 40, "020d51e0d81979a6e43a31a557d18567"),
        ("hmmt_feb_2025", "hmmt_feb_2025", 30, "bbf1a1dd393a23d9d015c4c60cf9186d"),
        ("brumo_2025", "brumo_2025", 30, "1d3da10d40bf97b67d45d8e4c9e79199"),
        ("math_500", "math500", 500, "8d95933c9cff79f5ab383ff87ca13430"),
    ],
)
def test_local_copies(name: str, file: str, count: int, digest: str):
    path = DATA / f"{file}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    problems = load_benchmark(name, path)
    assert len(problems) == count
    assert source_hash(problems) == digest
    with path.open() as lines:
        first = json.loads(next(lines))
    question = first.get("question") or first["problem"]
    assert problems[0].prompt == f"{INSTRUCTION}\n\n{question}"
    assert problems[0].meta["question"] == question
    assert problems[0].kind == "math"
    # AMC23 writes its answers as 27.0.
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


@pytest.mark.parametrize("template", ["no placeholder", "{question} {question}", "nonesuch"])
def test_a_template_needs_its_placeholder(tmp_path: Path, template: str):
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
    with pytest.raises(DataError, match="got 1 problem; aime_2024 has 30"):
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
    # Pinned, because manifests contain the hash: one JSON line per problem.
    lines = b'["a", "q", "1"]\n["b", "q", null]\n'
    assert content_hash([one, two]) == hashlib.blake2b(lines, digest_size=16).hexdigest()
    assert content_hash([one, two]) == "624a7f4ed603ffc786195b8e97c0a20d"


def lcb(number: int, day: str, starter: str = "") -> dict[str, Any]:
    tests = {"public_test_cases": "[1]", "private_test_cases": "packed"}
    return {
        "question_content": "Q {tests}",
        "question_id": f"p{number}",
        "contest_date": day,
        "starter_code": starter,
    } | tests


def test_code_with_starter_and_release_window(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    rows = [
        lcb(0, "2024-07-31T00:00:00"),
        lcb(1, "2024-08-01T00:00:00"),
        lcb(2, "2025-05-31T23:00:00", "def f():"),
        lcb(3, "2025-06-01T00:00:00"),
    ]
    entry = replace(find_benchmark("livecodebench_v6_2408_2505"), problems=0)
    monkeypatch.setattr("nbest.problems.benchmarks.find_benchmark", lambda _: entry)
    first, second = load_benchmark(LCB, write_rows(tmp_path / "a.jsonl", rows))
    assert (first.id, second.id) == ("livecodebench_v6_2408_2505/p1", "livecodebench_v6_2408_2505/p2")
    assert (first.kind, first.target, first.tests) == ("code", None, ("[1]", "packed"))
    # A placeholder inside a question is the question's own text.
    assert first.prompt.startswith("### Question:\nQ {tests}\n\n### Format: Read the inputs from stdin")
    assert "```python\ndef f():\n```" in second.prompt
    assert (second.meta["contest_date"], second.meta["starter_code"]) == ("2025-05-31", "def f():")
    with pytest.raises(DataError, match="contest_date"):
        load_benchmark(LCB, write_rows(tmp_path / "b.jsonl", [lcb(0, "soon")]))


def test_mbpp_shows_its_tests(tmp_path: Path):
    rows = [
        {"task_id": 11 + n, "text": "Add.", "test_list": ["assert f(1) == 2", "assert f(2) == 3"]} for n in range(500)
    ]
    problem = load_benchmark("mbpp", write_rows(tmp_path / "a.jsonl", rows))[0]
    assert problem.id == "mbpp/11"
    assert problem.tests == ("assert f(1) == 2", "assert f(2) == 3")
    assert problem.prompt.endswith("tests:\n\nassert f(1) == 2\nassert f(2) == 3\n")


def test_humaneval_keeps_its_entry_point(tmp_path: Path):
    rows = [
        {"task_id": f"HumanEval/{n}", "prompt": "def f():", "test": "check", "entry_point": "f"} for n in range(164)
    ]
    problem = load_benchmark("humaneval", write_rows(tmp_path / "a.jsonl", rows))[0]
    assert (problem.id, problem.tests, problem.meta["entry_point"]) == ("humaneval/HumanEval/0", ("check",), "f")
    assert problem.prompt.endswith("code for this function.\ndef f():")


def test_tests_are_part_of_the_content():
    one = Problem("a", "q", None, "code", ("t",))
    assert content_hash([one]) != content_hash([replace(one, tests=("u",))])


def test_a_window_needs_its_column(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('file = "a"\nquestion = "q"\nanswer = "a"\nsince = "2024"\nstarter = "s"\n')
    with pytest.raises(ConfigError) as caught:
        find_benchmark(str(path))
    assert len(caught.value.faults) == 3
    for word in ("since", "released", "starter"):
        assert word in str(caught.value)


def test_the_preset_of_the_paper():
    """TrajSelector (arXiv 2510.16449v1): thinking on, T = 0.6, top-p 0.95, top-k 20, min-p 0, 10,000 new tokens."""
    preset = load_sample_config("trajselector_qwen3_8b")
    params = preset.sampling
    values = (params.temperature, params.top_p, params.top_k, params.min_p, params.max_tokens)
    assert values == (0.6, 0.95, 20, 0.0, 10_000)
    # Qwen3's chat template switches thinking on by default.
    assert (preset.policy.model, preset.policy.template) == ("Qwen/Qwen3-8B", "chat")
    six = ("amc23", "aime_2024", "aime_2025", "beyond_aime", "hmmt_feb_2025", "brumo_2025")
    for name in six:
        assert find_benchmark(name).template == INSTRUCTION + "\n\n{question}"
    # 40 + 30 + 30 + 100 + 30 + 30 problems
    assert sum(find_benchmark(name).problems for name in six) == 260


def test_an_own_table_that_is_not_there(tmp_path: Path):
    path = tmp_path / "a.toml"
    path.write_text('file = "gone.jsonl"\nquestion = "q"\nanswer = "a"\n')
    with pytest.raises(DataError, match=r"gone\.jsonl"):
        load_benchmark(str(path))


def test_openmathreasoning_is_distinct_problems(tmp_path: Path):
    # The upstream schema: one row per solution, so a problem is in many rows.
    rows = [
        {
            "expected_answer": answer,
            "problem_type": "has_answer_extracted",
            "problem_source": "aops_c4_high_school_math",
            "generation_model": "DeepSeek-R1",
            "pass_rate_72b_tir": "0.5",
            "problem": problem,
            "generated_solution": "<think>long</think>",
            "inference_mode": "cot",
            "used_in_kaggle": True,
        }
        for problem, answer in [("1+1?", "2"), ("1+1?", "2"), ("2+2?", "4"), ("1+1?", "3")]
    ]
    first, second = load_benchmark("openmathreasoning", write_rows(tmp_path / "a.jsonl", rows))
    assert (first.id, first.target, second.id, second.target) == (
        "openmathreasoning/0",
        "2",
        "openmathreasoning/1",
        "4",
    )
    assert first.kind == "math"
    assert first.prompt.endswith("\n\n1+1?")
    assert first.meta["pass_rate_72b_tir"] == "0.5"
    assert "generated_solution" not in first.meta


def test_opencodereasoning_has_neither_answers_nor_tests(tmp_path: Path):
    rows = [
        {
            "id": id,
            "input": question,
            "output": "<think>long</think>",
            "source": "codeforces",
            "license": "cc-by-4.0",
            "dataset": "code_contests",
            "split": "train",
            "difficulty": "7",
            "solution": "print(1)",
        }
        for id, question in [("abc", "Print 1."), ("abc", "Print 1."), ("def", "Print 2.")]
    ]
    first, second = load_benchmark("opencodereasoning", write_rows(tmp_path / "a.jsonl", rows))
    assert (first.id, first.kind, first.target, first.tests) == ("opencodereasoning/abc", "code", None, ())
    assert second.id == "opencodereasoning/def"
    assert "Print 1." in first.prompt
    assert first.meta["license"] == "cc-by-4.0"
    assert not {"output", "solution"} & first.meta.keys()


def test_switches_are_true_or_false(tmp_path: Path):
    path = own(tmp_path, write_rows(tmp_path / "a.jsonl"), distinct="yes", untested=1)
    with pytest.raises(ConfigError) as caught:
        load_benchmark(path)
    assert [fault.split(": ")[1] for fault in caught.value.faults] == ["distinct", "untested"]


def test_the_answer_rule_of_a_set_and_of_a_row(tmp_path: Path):
    rows = [ROWS[0] | {"answer_rule": "last-number"}, ROWS[1] | {"answer_rule": None}]
    name = own(tmp_path, write_rows(tmp_path / "rows.jsonl", rows), answer_rule="json:answer", kind="number")
    problems = load_benchmark(name)
    assert [(problem.answer_rule, problem.kind) for problem in problems] == [
        ("last-number", "number"),
        ("json:answer", "number"),
    ]
    plain = [replace(problem, answer_rule="default") for problem in problems]
    assert content_hash(problems) != content_hash(plain)
    assert source_hash(problems) == source_hash(plain)


def test_a_faulty_answer_rule_is_named(tmp_path: Path):
    name = own(tmp_path, write_rows(tmp_path / "rows.jsonl", [*ROWS, ROWS[0] | {"key": "z", "answer_rule": "jso:x"}]))
    with pytest.raises(DataError, match=r"rows\.jsonl:3: answer_rule.*'jso:x'"):
        load_benchmark(name)
    name = own(tmp_path, write_rows(tmp_path / "rows.jsonl"), answer_rule="regex:(")
    with pytest.raises(ConfigError, match=r"mine\.toml: answer_rule: .*no regular expression"):
        load_benchmark(name)
    name = own(tmp_path, write_rows(tmp_path / "rows.jsonl"), answer_rule=3)
    with pytest.raises(ConfigError, match="answer_rule: got int 3"):
        load_benchmark(name)
