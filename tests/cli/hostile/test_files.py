"""Every file that a command reads gets odd encodings, and every field of it odd values."""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.hostile.inputs import ENCODINGS, PLACES, VALUES, Turns
from tests.cli.hostile.workspace import BENCHMARK, JUDGE, LM_EVAL, NEMO, POOLS, PROBLEMS, SCORER, SCRIPT, TASKS

IMPORTS = {
    "pools": ("import pools new FILE", "pools.jsonl"),
    "nemo-skills": ("import nemo-skills new FILE", "output-rs0.jsonl"),
    "lm-eval": ("import lm-eval new FILE", "samples_task.jsonl"),
    "problems": ("sample new -c script.toml --problems FILE", "problems.jsonl"),
}
TOML = {
    "benchmark": ("sample new -c script.toml --problems FILE", "own.toml"),
    "settings": ("sample new -c FILE", "script.toml"),
    "judge": ("select run -s genselect --judge-config FILE", "judge.toml"),
    "tasks": ("tasks build run --out new.parquet -c FILE", "tasks.toml"),
    "train scorer": ("train scorer FILE", "scorer.toml"),
    "train policy": ("train policy FILE", "policy.toml"),
    "train genselect": ("train genselect FILE", "genselect.toml"),
}
OTHERS = {
    "problems in CSV": ("sample new -c script.toml --problems FILE", "problems.csv"),
    "problems in Parquet": ("sample new -c script.toml --problems FILE", "problems.parquet"),
    "a local copy": ("sample new -c script.toml --problems aime_2024 --file FILE", "problems.jsonl"),
    "a combined selector": ("select run -s FILE", "combined.json"),
}
# An empty file of settings is whole: it leaves all to the defaults.
SMALL = {"settings": ("sample new -c FILE --n 1 --count 1 --max-tokens 4", "script.toml")}
READERS = IMPORTS | TOML | OTHERS | SMALL
"""Words of the commands that read a file, and the name of a valid one."""
FOLLOWING = ("info new", "show new 0", "select new -s majority", "compare new", "check new")
"""What can be done with a new run that was graded: one of these, chosen by the content of the file."""
ABSENT = "absent"


@pytest.fixture
def files(workspace: Path) -> Path:
    """The workspace with the files of `OTHERS`."""
    (workspace / "problems.csv").write_text("id,question,answer\na,1+1?,2\nb,1+2?,3\n")
    pq.write_table(pa.Table.from_pylist(PROBLEMS), workspace / "problems.parquet")
    (workspace / "combined.json").write_text(json.dumps({"format": 1, "scorers": ["guess"], "weights": [0.5]}))
    return workspace


def _list_encodings() -> list[tuple[str, str]]:
    turns = Turns()
    return [(reader, encoding) for reader in READERS for encoding in turns.take(ENCODINGS, 4 * PLACES)]


@pytest.mark.parametrize(("reader", "encoding"), _list_encodings())
def test_an_odd_encoding(survive: Callable[..., Any], files: Path, reader: str, encoding: str) -> None:
    words, name = READERS[reader]
    file = files / name
    try:
        file.write_bytes(ENCODINGS[encoding](file.read_bytes()))
    except UnicodeDecodeError:
        pytest.skip("a binary file has no other encoding")
    run_through(survive, files, words, name)


def run_through(survive: Callable[..., Any], folder: Path, words: str, name: str) -> None:
    """Run a command on a file, and what can follow if there is a new run."""
    has_json = not words.startswith("train policy")
    json_words = ("--json", "-") if has_json else ()
    survive(*words.replace("FILE", name).split(), *json_words, adds_valid=words.startswith("import"))
    if (folder / "new" / "run.json").exists():
        survive("verify", "new", "--json", "-")
        turn = sum((folder / name).read_bytes()[:2_000]) % len(FOLLOWING)
        survive(*FOLLOWING[turn].split(), "--json", "-")
        exported = survive("export", "new", "--out", "new.jsonl", "--tokens", "--json", "-")
        assert exported.code == 0
        assert survive("import", "pools", "again", "new.jsonl", adds_valid=True).code in (0, 3)


FIELDS: Mapping[str, list[str]] = {
    "pools": [
        *("problem_id", "question", "target", "gold", "kind", "answer_rule", "tests", "test", "entry_point"),
        *("samples", "confidences_sign", "meta", "samples.text", "samples.answer", "samples.correct"),
        *("samples.finish", "samples.sampled_tokens", "samples.logprobs", "samples.confidences"),
        *("samples.certainties", "samples.tokens", "samples.prompt_tokens", "samples.scores", "samples.scores.guess"),
        *("samples.confidence", "samples.step_scores", "samples.steps", "samples.first_wrong_step"),
        *("samples.step_labels", "samples.index", "samples.seed", "samples.note", "samples.other"),
    ],
    "nemo-skills": ["problem", "expected_answer", "generation", "predicted_answer", "is_correct", "id", "judgement"],
    "lm-eval": [
        *("doc_id", "doc", "doc.question", "target", "arguments", "resps", "filtered_resps", "filter", "exact_match"),
    ],
    "problems": ["id", "question", "answer"],
}
"""The fields of the lines of each format; after a point those of what is inside."""


def _list_values() -> Iterator[tuple[str, str, str]]:
    turns = Turns()
    for reader, fields in FIELDS.items():
        for field in fields:
            for label in turns.take([ABSENT, *VALUES]):
                yield reader, field, label


@pytest.mark.parametrize(("reader", "field", "label"), list(_list_values()))
def test_an_odd_value(survive: Callable[..., Any], files: Path, reader: str, field: str, label: str) -> None:
    lines = {"pools": POOLS, "nemo-skills": NEMO, "lm-eval": LM_EVAL, "problems": PROBLEMS}[reader]
    words, name = IMPORTS[reader]
    text = json.dumps(_set(lines[0], field.split("."), label == ABSENT))
    new_lines = [text.replace('"<odd>"', VALUES.get(label, "")), *map(json.dumps, lines[1:])]
    (files / name).write_text("\n".join(new_lines) + "\n")
    run_through(survive, files, words, name)


def _set(value: Any, path: list[str], is_absent: bool) -> Any:
    """Return a copy of a value in which the field at `path` is a mark, or absent; of a list, in the first item."""
    if isinstance(value, list):
        return [_set(value[0], path, is_absent), *value[1:]]
    fields = dict(value)
    if len(path) > 1:
        fields[path[0]] = _set(fields[path[0]], path[1:], is_absent)
    elif is_absent:
        fields.pop(path[0], None)
    else:
        fields[path[0]] = "<odd>"
    return fields


TOML_TEXTS = {"benchmark": BENCHMARK, "settings": SCRIPT, "judge": JUDGE, "tasks": TASKS, "train scorer": SCORER}
TOML_VALUES = {
    "NaN": "nan",
    "minus infinity": "-inf",
    "zero": "0",
    "minus one": "-1",
    "billion": "1_000_000_000",
    "beyond 64 bits": "18446744073709551617",
    "fraction": "0.5",
    "true": "true",
    "a date": "2020-01-01",
    "empty text": '""',
    "NUL": '"\\u0000"',
    "path upwards": '"../../x"',
    "long text": f'"{"x" * 5_000}"',
    "empty list": "[]",
    "list of lists": "[[], [[]]]",
    "deep list": "[" * 5_000 + "]" * 5_000,
    "empty table": "{}",
    "no value": "",
}


def _list_settings() -> Iterator[tuple[str, str, str]]:
    turns = Turns()
    for reader, text in TOML_TEXTS.items():
        for key in re.findall(r"^(\w+) =", text, re.M):
            for label in turns.take(TOML_VALUES):
                yield reader, key, label


@pytest.mark.parametrize(("reader", "key", "label"), list(_list_settings()))
def test_an_odd_setting(survive: Callable[..., Any], files: Path, reader: str, key: str, label: str) -> None:
    words, name = TOML[reader]
    text = re.sub(rf"^{key} =.*$", lambda _: f"{key} = {TOML_VALUES[label]}", (files / name).read_text(), flags=re.M)
    (files / name).write_text(text)
    run_through(survive, files, words, name)


@pytest.mark.parametrize("encoding", Turns().take(ENCODINGS, 4 * PLACES))
def test_an_odd_question_on_standard_input(
    survive: Callable[..., Any], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ENCODINGS[encoding](b"What is 1 + 1?\n")[:4_000]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    survive("ask", "-", "--n", "1", "--max-tokens", "2", "-s", "majority", "--json", "-")
