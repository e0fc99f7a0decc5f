"""Benchmarks from a stand-in for the hub, and the recorded hash of each set at its first load."""

import json
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nbest.errors import DataError, EngineError, MissingExtraError, StorageError
from nbest.problems.benchmarks import load_benchmark, resolve_revision, source_hash
from nbest.problems.content_records import records_file

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"q": "1+1?", "a": 2}, {"q": "{2}?", "a": "3"}]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of recorded hashes, in a temporary folder instead of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nbest" / "benchmarks.json"


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def own(folder: Path, file: Path, **more: object) -> str:
    """A user's benchmark of a few lines."""
    fields = {"file": file.name, "question": "q", "answer": "a", **more}
    path = folder / "mine.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items()))
    return str(path)


def hub(monkeypatch: pytest.MonkeyPatch, load: Any, commit: str = COMMIT) -> list[Any]:
    """Replace the hub's packages by stand-ins; return the list of their calls."""
    calls: list[Any] = []

    class Api:
        def dataset_info(self, name: str, revision: str | None, timeout: float) -> Any:  # noqa: ARG002
            calls.append((name, revision))
            return SimpleNamespace(sha=commit)

    def load_dataset(*args: Any, **options: Any) -> Any:
        calls.append((args, options))
        return load()

    for package, attributes in {"datasets": {"load_dataset": load_dataset}, "huggingface_hub": {"HfApi": Api}}.items():
        module = ModuleType(package)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, package, module)
    return calls


def aime() -> list[dict[str, Any]]:
    return [{"id": 60 + n, "problem": f"q{n}", "answer": "1"} for n in range(30)]


def test_the_hub_is_asked_at_a_commit(monkeypatch: pytest.MonkeyPatch, cache: Path):
    calls = hub(monkeypatch, aime)
    problems = load_benchmark("aime_2024")
    dataset = "HuggingFaceH4/aime_2024"
    assert calls == [(dataset, None), ((dataset, None), {"split": "train", "revision": COMMIT})]
    assert problems[0].id == "aime_2024/60"
    entry = {"hash": source_hash(problems), "problems": 30, "revision": COMMIT}
    assert json.loads(cache.read_text()) == {"aime_2024": entry}


def test_a_whole_commit_needs_no_network(monkeypatch: pytest.MonkeyPatch):
    calls = hub(monkeypatch, aime, commit="other")
    assert resolve_revision("aime_2024", COMMIT) == COMMIT
    assert calls == []
    assert resolve_revision("aime_2024", "v1") == "other"
    assert calls == [("HuggingFaceH4/aime_2024", "v1")]


def test_another_content_is_refused_with_both_hashes(monkeypatch: pytest.MonkeyPatch, cache: Path):
    hub(monkeypatch, aime)
    first = source_hash(load_benchmark("aime_2024"))
    assert source_hash(load_benchmark("aime_2024", template="plain")) == first
    changed = [*aime()[:-1], {"id": 89, "problem": "q29", "answer": "2"}]
    hub(monkeypatch, lambda: changed, commit="f" * 40)
    with pytest.raises(DataError) as caught:
        load_benchmark("aime_2024")
    for part in (first, COMMIT, "f" * 40, str(cache)):
        assert part in str(caught.value)
    records = json.loads(cache.read_text())
    assert records["aime_2024"]["hash"] == first
    cache.write_text("{}")
    second = source_hash(load_benchmark("aime_2024"))
    assert second in str(caught.value)
    assert second != first


def test_a_changed_local_copy_is_refused(tmp_path: Path):
    path = write_rows(tmp_path / "a.jsonl", aime())
    load_benchmark("aime_2024", path)
    load_benchmark("aime_2024", write_rows(tmp_path / "b.jsonl", [{**row, "answer": "3"} for row in aime()]))
    write_rows(path, [{**row, "answer": "3"} for row in aime()])
    with pytest.raises(
        DataError, match=r"Got hash [0-9a-f]{32} \(30 problems\); [0-9a-f]{32} was recorded \(30 problems\)"
    ):
        load_benchmark("aime_2024", path)


def test_an_own_set_may_change_unless_it_states_a_hash(tmp_path: Path, cache: Path):
    path = own(tmp_path, write_rows(tmp_path / "a.jsonl", ROWS))
    digest = source_hash(load_benchmark(path))
    write_rows(tmp_path / "a.jsonl", ROWS[:1])
    assert len(load_benchmark(path)) == 1
    assert not cache.exists()
    with pytest.raises(DataError, match=digest):
        load_benchmark(own(tmp_path, tmp_path / "a.jsonl", hash=digest))


@pytest.mark.parametrize("text", ["{", "[]", '{"aime_2024": {"hash": "a"}}'])
def test_a_damaged_record_is_named(tmp_path: Path, cache: Path, text: str):
    cache.parent.mkdir(parents=True)
    cache.write_text(text)
    with pytest.raises(DataError, match=r"benchmarks\.json.*Delete it"):
        load_benchmark("aime_2024", write_rows(tmp_path / "a.jsonl", aime()))


def test_no_place_to_record_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    with pytest.raises(StorageError, match="XDG_CACHE_HOME"):
        load_benchmark("aime_2024", write_rows(tmp_path / "a.jsonl", aime()))


def test_where_hashes_are_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert records_file() == tmp_path / ".cache" / "nbest" / "benchmarks.json"


@pytest.mark.parametrize("revision", [None, COMMIT])
def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, revision: str | None):
    def fail() -> None:
        raise ConnectionError("no route")

    hub(monkeypatch, fail)
    if revision is None:
        monkeypatch.setattr(sys.modules["huggingface_hub"], "HfApi", fail)
    with pytest.raises(EngineError, match="--file"):
        load_benchmark("aime_2024", revision=revision)


@pytest.mark.parametrize("package", ["datasets", "huggingface_hub"])
def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, package: str):
    hub(monkeypatch, aime)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match="pip install"):
        load_benchmark("aime_2024")


def test_files_of_a_repository_are_read_at_the_commit(monkeypatch: pytest.MonkeyPatch):
    tests = {"public_test_cases": "[1]", "private_test_cases": "packed"}
    row = {"question_content": "Q", "starter_code": "", "contest_date": datetime(2025, 2, 1), **tests}
    rows = [{**row, "question_id": f"p{n}"} for n in range(175)]
    calls = hub(monkeypatch, lambda: rows)
    problems = load_benchmark("livecodebench_v6_new")
    files = [f"hf://datasets/livecodebench/code_generation_lite@{COMMIT}/test6.jsonl"]
    assert calls[1] == (("json",), {"data_files": files, "split": "train"})
    assert problems[0].meta["contest_date"] == "2025-02-01"


def test_an_own_set_on_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    calls = hub(monkeypatch, lambda: ROWS)
    path = tmp_path / "mine.toml"
    path.write_text('hub = "me/mine"\nsplit = "train"\nquestion = "q"\nanswer = "a"\n')
    assert [problem.id for problem in load_benchmark(str(path))] == ["mine/0", "mine/1"]
    assert calls[0] == ("me/mine", None)


def test_only_the_columns_named_are_asked_for(monkeypatch: pytest.MonkeyPatch):
    calls = hub(monkeypatch, lambda: [{"id": "a", "input": "Print 1.", "output": "long"}])
    (problem,) = load_benchmark("opencodereasoning")
    assert problem.id == "opencodereasoning/a"
    assert calls[1] == (
        ("nvidia/OpenCodeReasoning", "split_0"),
        {
            "split": "split_0",
            "revision": COMMIT,
            "columns": ["id", "input", "source", "license", "dataset", "split", "difficulty"],
            "streaming": True,
        },
    )
